"""What a request costs a node and PostgreSQL: the processor's time of each, transactions and bytes
of the log.
"""

import http.client
import os
import threading
import time

from .stage import Short

TICK = 1e6 / os.sysconf("SC_CLK_TCK")


def processor_us(pids):
    """Microseconds of these processes and of those that they have had."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue
        # utime, stime, cutime, cstime
        total += sum(map(int, fields[11:15])) * TICK
    return total


def family(pid):
    """A process and its children."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [pid, *map(int, file.read().split())]


def books(primary):
    """Transactions and bytes of the log so far."""
    (row,) = (
        primary.ask("""SELECT pg_stat_get_db_xact_commit(oid), pg_current_wal_lsn() - '0/0'::pg_lsn
                            FROM pg_database WHERE datname = current_database()""")
    )
    return int(row[0]), int(float(row[1]))


def cost(stage):
    """One account for each four connections, JSON calls on connections that are kept, on all nodes
    in turn.
    """
    accounts = [stage.account(f"payer{number}") for number in range(16)]
    for node in stage.nodes:
        stage.ask_until_whole(accounts[0], node)
    for connections in (1, 16, 64):
        measure(stage, accounts, connections)


def ask_without_end(stage, accounts, number, over, done):
    """JSON calls on one connection, one after the other, by the accounts in turn."""
    node = stage.nodes[number % len(stage.nodes)]
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    while not over.is_set():
        account = accounts[number % len(accounts)]
        number += 1
        headers = {
            "x-api-key": account[1],
            "anthropic-version": "2023-06-01",
            "content-type": "application/json",
        }
        plan = stage.plan(account, Short)
        connection.request("POST", "/v1/messages", plan.body(), headers)
        result = stage.clients.judge(plan, connection.getresponse().read())
        if result == "whole":
            stage.clients.whole.add(plan.key)
        stage.clients.seen[result] += 1
        done.append(result)


def measure(stage, accounts, connections):
    over = threading.Event()
    done = []

    nodes = [node.process.pid for node in stage.nodes]
    database = stage.cluster.primary
    threads = [
        threading.Thread(target=ask_without_end, args=(stage, accounts, number, over, done))
        for number in range(connections)
    ]
    before = processor_us(nodes), processor_us(family(database.process.pid)), *books(database)
    began = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(stage.arguments.seconds / 3)
    over.set()
    for thread in threads:
        thread.join()
    secs = time.monotonic() - began
    # Backends tell of their transactions within a second.
    time.sleep(1.5)
    after = processor_us(nodes), processor_us(family(database.process.pid)), *books(database)
    names = ("node_us", "postgres_us", "transactions", "wal_bytes")
    figures = {
        name: (later - earlier) / len(done)
        for name, earlier, later in zip(names, before, after, strict=True)
    }
    told = " ".join(
        f"{name}={figure:.2f}" if figure < 10 else f"{name}={figure:.0f}"
        for name, figure in figures.items()
    )
    print(
        f"connections={connections} requests_per_second={len(done) / secs:.0f} {told}", flush=True
    )
