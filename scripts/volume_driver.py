"""Drives scripts/volume: a database with very many usage rows, a purge of them while requests run, and exports.
Python's standard library only."""

import argparse
import csv
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import bench_driver
import torture_driver

DAY = 24 * 60 * 60 * 1000
KEPT_DAYS = 90
SPAN_DAYS = 200
LIVE = 8
MIB = 1 << 20
POOL_SIZE = 8
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Books:
    """The database, asked and filled behind the program's back."""

    def __init__(self, url):
        self.url, self.is_sqlite = url, url.startswith("sqlite://")

    def run(self, sql):
        """Runs statements; the rows of the last one, as text."""
        if self.is_sqlite:
            command = ["sqlite3", "-bail", "-cmd", ".timeout 60000", self.url.removeprefix("sqlite://")]
        else:
            command = ["psql", self.url, "-qAtX", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{sql[:200]}…: {done.stderr[-2000:]}")
        return [line.split("|") for line in done.stdout.splitlines()]

    def number(self, sql):
        return int(self.run(sql)[0][0])

    def fill_accounts(self, count):
        """So many accounts beside those that are there, each with a key and plenty of credit."""
        hash_of = "CAST(printf('%032d', n) AS BLOB)" if self.is_sqlite else "sha256(n::text::bytea)"
        self.run(f"""
            BEGIN;
            INSERT INTO accounts (public_id, email, status, created_at)
            SELECT 'acct_volume' || n, 'volume' || n || '@example.org', 'active', 0 FROM {self.series(count)};
            INSERT INTO api_keys (public_id, account_id, name, hash, created_at)
            SELECT 'key_volume' || n, id, 'volume', {hash_of}, 0
            FROM (SELECT id, id AS n FROM accounts WHERE id NOT IN (SELECT account_id FROM api_keys)) a;
            INSERT INTO ledger_entries (account_id, kind, reference, amount_nanousd, created_at)
            SELECT id, 'adjustment', 'volume' || id, 1000000000000000, 0 FROM accounts;
            UPDATE accounts SET available_nanousd = available_nanousd + 1000000000000000;
            COMMIT;""")

    def series(self, count):
        """The numbers from 0 on, as `n`."""
        if self.is_sqlite:
            return f"""(WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s LIMIT {count}) SELECT n FROM s)"""
        return f"generate_series(0::bigint, {count - 1}) AS s (n)"

    def fill_usage(self, count, begin, end, accounts, label):
        """So many usage rows, evenly spread over a time and over accounts, as the program would have left them: names
        that sort by time, one row in ten for nothing, ledger lines for the others, balances and what keys have cost."""
        letters = " || ".join(
            f"substr('{ALPHABET}', CAST(1 + ((at >> {5 * digit}) & 31) AS INTEGER), 1)" for digit in reversed(range(9)))
        noise = "substr(hex(randomblob(8)), 1, 15)" if self.is_sqlite else f"substr(md5(n::text || '{label}'), 1, 15)"
        fast = ("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000;" if self.is_sqlite
                else "SET synchronous_commit = off; SET session_replication_role = replica;")
        false = "0" if self.is_sqlite else "false"
        self.run(f"""
            {fast}
            BEGIN;
            INSERT INTO usage_logs (id, account_id, api_key_id, created_at, endpoint, requested_model, served_model,
                upstream, input_tokens, output_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens,
                web_searches, price_version, cost_nanousd, first_byte_ms, latency_ms, http_status, ending, is_estimated)
            SELECT 'req_' || {letters} || lower({noise}), account, (SELECT MIN(id) FROM api_keys WHERE account_id = account),
                at, 'messages', 'claude-haiku-4-5', 'claude-haiku-4-5-20251001', 'sandbox', n % 5000, n % 700, 0, 0,
                n % 9000, 0, '2026-01-01/1', CASE WHEN n % 10 = 0 THEN 0 ELSE (n * 7919) % 2000000 + 1 END,
                300 + n % 500, 2000 + n % 9000, 200, 'E1', {false}
            FROM (SELECT n, {begin} + CAST(n * {(end - begin) / count} AS BIGINT) AS at,
                         {accounts[0]} + (n * 7919) % {len(accounts)} AS account
                  FROM {self.series(count)}) r;
            INSERT INTO ledger_entries (account_id, kind, reference, amount_nanousd, created_at)
            SELECT account_id, 'usage', id, -cost_nanousd, created_at FROM usage_logs
            WHERE created_at >= {begin} AND created_at < {end} AND cost_nanousd > 0 ORDER BY created_at;
            COMMIT;""")

    def settle(self):
        """Balances and what keys have cost, as the ledger says."""
        self.run("""
            BEGIN;
            UPDATE accounts SET available_nanousd = s.total FROM
                (SELECT account_id, SUM(amount_nanousd) AS total FROM ledger_entries GROUP BY account_id) s
                WHERE s.account_id = accounts.id;
            UPDATE api_keys SET spent_nanousd = s.total FROM
                (SELECT api_key_id, SUM(cost_nanousd) AS total FROM usage_logs GROUP BY api_key_id) s
                WHERE s.api_key_id = api_keys.id;
            COMMIT;""")
        self.run("PRAGMA wal_checkpoint(TRUNCATE);" if self.is_sqlite
                 else "VACUUM ANALYZE usage_logs; VACUUM ANALYZE ledger_entries; ANALYZE accounts; CHECKPOINT;")

    def hold_purge(self):
        """No usage row can be deleted: a purge is broken off at its first piece, and the server is as it is without."""
        if self.is_sqlite:
            self.run("""CREATE TRIGGER volume_hold BEFORE DELETE ON usage_logs
                        BEGIN SELECT RAISE(ABORT, 'held'); END;""")
        else:
            self.run("""CREATE FUNCTION volume_hold() RETURNS trigger LANGUAGE plpgsql
                        AS $$ BEGIN RAISE 'held'; END $$;
                        CREATE TRIGGER volume_hold BEFORE DELETE ON usage_logs EXECUTE FUNCTION volume_hold();""")

    def free_purge(self):
        self.run("DROP TRIGGER volume_hold;" if self.is_sqlite else "DROP FUNCTION volume_hold CASCADE;")

    def size(self):
        if self.is_sqlite:
            path = self.url.removeprefix("sqlite://")
            return sum(os.path.getsize(path + end) for end in ("", "-wal") if os.path.exists(path + end))
        return self.number("SELECT pg_database_size(current_database())")


class Server(torture_driver.Server):
    """The program, with addresses of its own and its metrics."""

    def start(self):
        super().start()
        lines = dict(line.split("=", 1) for line in open("torture.address", encoding="utf-8").read().split())
        self.relay = bench_driver.Relay("sluice", f"http://{lines['client']},{self.process.pid}")
        self.admin = lines["admin"]

    def metrics(self):
        connection = http.client.HTTPConnection(self.admin, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return {name: float(value) for name, value in re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text, re.M)}

    def books(self, moment):
        report = self.command("books", "verify", "--json")
        if report["discrepancies"]:
            raise RuntimeError(f"{moment} the books do not balance: {report['discrepancies'][:3]}")
        return report


class Clients:
    """Streams at a steady rate from several clients; milliseconds to the first byte of each."""

    def __init__(self, server, keys, rate):
        self.server, self.keys, self.pause = server, keys, len(keys) / rate
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.times, self.refused = [], 0
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(len(keys))]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        load = bench_driver.Load(self.server.relay, self.keys[number], "text;events=4;bytes=20")
        wire, due = None, time.monotonic() + self.pause * number / len(self.keys)
        while not self.stop.wait(max(0, due - time.monotonic())):
            # Who had to wait does not catch up, but the others come all the same.
            due = max(due + self.pause, time.monotonic())
            try:
                if wire is None:
                    wire = socket.create_connection((load.relay.host, load.relay.port), timeout=600)
                    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                took = bench_driver.Bench.time_to_first_byte(wire, load.request) * 1e3
                with self.lock:
                    self.times.append(took)
            except (RuntimeError, OSError):
                with self.lock:
                    self.refused += 1
                wire = None

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def warm_up(server, keys, rate):
    """Connections and caches are made in the first moments."""
    clients = Clients(server, keys, rate)
    time.sleep(1)
    clients.end()


def percentiles(times):
    return bench_driver.percentile(times, 50), bench_driver.percentile(times, 99), max(times)


def piece_figures(metrics, seconds, chore="purge"):
    """Of a process's pieces: how many, the bounds that 99 % and all of them are within, and their share of the time."""
    name = "sluice_chore_piece_seconds"
    label = f'chore="{chore}"'
    count = metrics.get(f"{name}_count{{{label}}}", 0)
    buckets = sorted((float(re.search(r'le="([^"]+)"', key).group(1)), value) for key, value in metrics.items()
                     if key.startswith(f"{name}_bucket") and label in key)

    def within(part):
        return next((bound * 1e3 for bound, value in buckets if value >= part * count), 0)

    at_most_5 = next((value for bound, value in buckets if bound == 0.005), 0)
    total = metrics.get(f"{name}_sum{{{label}}}", 0)
    return {"pieces": int(count), "held_s": total, "share": total / seconds, "p99_bound_ms": within(0.99),
            "longest_bound_ms": within(1), "within_5_ms": at_most_5 / count if count else 0}


def purged(metrics):
    return int(metrics.get('sluice_purged_rows_total{table="usage_logs"}', 0))


def fsync_figures(count=200):
    file = os.open("fdatasync", os.O_CREAT | os.O_WRONLY)
    times = [bench_driver.Bench.time_to_sync(file, page) * 1e3 for page in range(count)]
    os.close(file)
    return bench_driver.percentile(times, 50), bench_driver.percentile(times, 99)


def is_running(metrics, chore="purge"):
    return metrics.get(f'sluice_chore_running{{chore="{chore}"}}', 0) == 1


def say(words):
    print(f"· {words}", file=sys.stderr, flush=True)


class Purge:
    """The purge while requests run, and without."""

    def __init__(self, arguments):
        self.arguments, self.server, self.books = arguments, Server(arguments), Books(arguments.database)
        self.with_it, self.without = [], []
        self.seconds, self.gone, self.pieces = 0.0, 0, []

    def fill(self):
        server, books, rows = self.server, self.books, self.arguments.rows
        self.keys = []
        for number in range(LIVE):
            email = f"client{number}@example.org"
            server.command("account", "create", email, "--json")
            self.keys.append(server.command("key", "create", email, "--json")["key"])
        books.fill_accounts(self.arguments.accounts - LIVE)
        ids = [int(row[0]) for row in books.run("SELECT id FROM accounts ORDER BY id;")]
        now = int(time.time() * 1000)
        # A limit that moves on while this runs must not reach what is to stay.
        self.kept_from = now - KEPT_DAYS * DAY + DAY
        self.young = max(1, rows // 10)
        books.fill_usage(rows, now - SPAN_DAYS * DAY, self.kept_from - 2 * DAY, ids, "old")
        books.fill_usage(self.young, self.kept_from, now - DAY, ids, "young")
        books.settle()
        report = server.books("before")
        say(f"{report['usage_rows']:,} usage rows, {report['entries']:,} entries, {books.size() / MIB:,.0f} MiB")

    def phase(self, is_held):
        """The same load for a while, in a process of its own, with or without a purge beside it."""
        server = self.server
        if is_held:
            self.books.hold_purge()
        server.start()
        warm_up(server, self.keys, self.arguments.rate)
        before, began = server.metrics(), time.monotonic()
        clients = Clients(server, self.keys, self.arguments.rate)
        end = began + self.arguments.window
        while time.monotonic() < end and (is_held or is_running(server.metrics())):
            time.sleep(0.2)
        seconds = time.monotonic() - began
        clients.end()
        metrics = server.metrics()
        if clients.refused:
            raise RuntimeError(f"{clients.refused} requests were refused")
        if is_held:
            self.without += clients.times
            if purged(metrics):
                raise RuntimeError("something went while the purge was held")
        else:
            if is_running(before):
                self.with_it += clients.times
                self.seconds += seconds
                self.gone += purged(metrics) - purged(before)
                self.pieces.append({key: metrics.get(key, 0) - before.get(key, 0) for key in metrics
                                    if key.startswith("sluice_chore_piece_seconds")})
        is_done = not is_held and not is_running(metrics)
        code = server.end(signal.SIGTERM)
        if code:
            raise RuntimeError(f"a stop in order exited with {code}")
        if is_held:
            self.books.free_purge()
        server.books("meanwhile")
        return is_done

    def finish(self):
        """What is left goes, with nobody waiting, for as long as it may take."""
        server = self.server
        server.start()
        deadline = time.monotonic() + self.arguments.seconds
        began = time.monotonic()
        while is_running(server.metrics()) and time.monotonic() < deadline:
            time.sleep(0.5)
        metrics = server.metrics()
        self.rest = (purged(metrics), time.monotonic() - began)
        is_done = not is_running(metrics)
        server.end(signal.SIGTERM)
        return is_done

    def compact(self):
        """The database is written anew, which the server does at its start if it has missed its turn."""
        books, server = self.books, self.server
        size = books.size()
        books.run("DELETE FROM chores; INSERT INTO chores (name, finished_at) VALUES ('compact', 1);")
        server.start()
        clients = Clients(server, self.keys, self.arguments.rate)
        deadline = time.monotonic() + 1800
        done = "sluice_chore_finished_timestamp_seconds{chore=\"compact\"}"
        while not server.metrics().get(done) and time.monotonic() < deadline:
            time.sleep(0.1)
        metrics = server.metrics()
        clients.end()
        server.end(signal.SIGTERM)
        took = metrics.get('sluice_chore_piece_seconds_sum{chore="compact"}', 0)
        server.books("after the compaction")
        return {"seconds": took, "longest_wait_ms": max(clients.times), "answered": len(clients.times),
                "refused": clients.refused, "mib_before": size / MIB, "mib_after": books.size() / MIB}

    def prove(self, before, is_done):
        """Nothing younger has gone, and no history has changed a balance: only the live requests have."""
        books = self.books
        young = books.number(f"SELECT COUNT(*) FROM usage_logs WHERE created_at >= {self.kept_from}"
                             " AND upstream = 'sandbox' AND price_version = '2026-01-01/1';")
        if young != self.young:
            raise RuntimeError(f"{young} of {self.young} younger rows are left")
        old = books.number(f"SELECT COUNT(*) FROM usage_logs WHERE created_at < {self.kept_from};")
        if is_done and old:
            raise RuntimeError(f"{old} old rows are left")
        if self.balances() != before:
            raise RuntimeError("a balance has changed")
        return old

    def balances(self):
        """Of those who make no requests."""
        return self.books.run(f"""SELECT id, available_nanousd, reserved_nanousd FROM accounts
                                  WHERE email LIKE 'volume%' ORDER BY id;""")

    def run(self):
        began = time.monotonic()
        self.fill()
        filled = time.monotonic() - began
        before = self.balances()
        sync = fsync_figures()
        is_done = False
        for round_ in range(self.arguments.rounds):
            self.phase(is_held=True)
            is_done = self.phase(is_held=False)
            say(f"round {round_ + 1}: {self.gone:,} rows gone beside requests")
            if is_done:
                break
        if not is_done:
            is_done = self.finish()
        self.server.books("after")
        old = self.prove(before, is_done)
        compaction = self.compact() if is_done else None
        if compaction:
            self.prove(before, is_done)
        return self.figures(filled, sync, is_done, old, compaction)

    def figures(self, filled, sync, is_done, old, compaction):
        pieces = {key: sum(one.get(key, 0) for one in self.pieces) for key in (self.pieces or [{}])[0]}
        figures = {"rows": self.arguments.rows, "fill_s": filled, "is_done": is_done, "old_left": old,
                   "fdatasync_p50_p99_ms": sync, "compaction": compaction,
                   "rest_rows_s": getattr(self, "rest", None)}
        if self.with_it and self.without:
            one, other = percentiles(self.with_it), percentiles(self.without)
            figures |= {"first_byte_with_p50_p99_max_ms": one, "first_byte_without_p50_p99_max_ms": other,
                        "p99_ratio": one[1] / other[1], "requests": (len(self.with_it), len(self.without)),
                        "rows_per_s": self.gone / self.seconds, "seconds": self.seconds}
            figures |= piece_figures(pieces, self.seconds)
        return figures


class Memory(threading.Thread):
    """The server's memory, looked at all the time."""

    def __init__(self, relay):
        super().__init__()
        self.relay, self.samples, self.over = relay, [], threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            self.samples.append(self.relay.memory())

    def growth(self):
        """Above what it was at first, at most."""
        self.over.set()
        self.join()
        return (max(self.samples) - self.samples[0]) / MIB if self.samples else 0


class Export:
    """Exports of very many rows."""

    def __init__(self, arguments):
        self.arguments, self.server, self.books = arguments, Server(arguments), Books(arguments.database)

    def fill(self):
        server, books = self.server, self.books
        server.command("account", "create", "export@example.org", "--json")
        self.key = server.command("key", "create", "export@example.org", "--scopes", "read", "--json")["key"]
        now = int(time.time() * 1000)
        account = books.number("SELECT id FROM accounts;")
        books.run(f"""INSERT INTO ledger_entries (account_id, kind, reference, amount_nanousd, created_at)
                      VALUES ({account}, 'adjustment', 'volume', 10000000000000000, 0);""")
        books.fill_usage(self.arguments.rows, now - 80 * DAY, now - DAY, [account], "export")
        books.settle()
        server.books("before")
        self.cost = books.number("SELECT CAST(SUM(cost_nanousd) AS BIGINT) FROM usage_logs;")

    def ask(self, form):
        relay = self.server.relay
        connection = http.client.HTTPConnection(relay.host, relay.port, timeout=120)
        connection.request("GET", f"/api/v1/usage/export?format={form}", headers={"x-api-key": self.key})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {response.read()[:500]}")
        return connection, response

    def read_a_part(self):
        connection, response = self.ask("csv")
        response.read(10_000_000)
        response.close()
        connection.close()

    def read_whole(self, form):
        memory, began = Memory(self.server.relay), time.monotonic()
        connection, response = self.ask(form)
        text = io.TextIOWrapper(io.BufferedReader(response, 1 << 16), encoding="utf-8", newline="")
        rows = csv.DictReader(text, strict=True) if form == "csv" else map(json.loads, text)
        ids, cost, count, last = 0, 0, 0, ""
        for row in rows:
            count += 1
            # Names sort by time, so this holds that none comes twice.
            if row["id"] <= last:
                raise RuntimeError(f"{row['id']} comes behind {last}")
            last = row["id"]
            cost += nanos(row["cost"])
        connection.close()
        growth = memory.growth()
        if (count, cost) != (self.arguments.rows, self.cost):
            raise RuntimeError(f"{form}: {count} rows of {cost} nano-dollars, not {self.arguments.rows} of {self.cost}")
        self.expect_flat(form, growth)
        return {"seconds": time.monotonic() - began, "growth_mib": growth}

    @staticmethod
    def expect_flat(what, growth):
        if growth > 8:
            raise RuntimeError(f"{what}: the server grew by {growth:.1f} MiB")

    def quiet_within(self, seconds):
        """Until the server does nothing for half a second."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            before = self.server.relay.cpu()
            time.sleep(0.5)
            if self.server.relay.cpu() - before < 0.03:
                return
        raise RuntimeError(f"the server still works {seconds} s later")

    def read_slowly(self):
        """A client that stops reading stops the export, and gets all of it when it goes on."""
        memory = Memory(self.server.relay)
        connection, response = self.ask("jsonl")
        response.read(1000)
        self.quiet_within(5)
        time.sleep(2)
        lines = 0
        while data := response.read(1 << 16):
            lines += data.count(b"\n")
        connection.close()
        growth = memory.growth()
        if abs(lines - self.arguments.rows) > 5:
            raise RuntimeError(f"{lines} lines behind a pause")
        self.expect_flat("a client that reads slowly", growth)
        return {"growth_mib": growth}

    def connections(self):
        """Those that the server has with clients; its files are for root alone to list."""
        port = f":{self.server.relay.port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        # Established, and left by the client alone.
        return sum(row[1].endswith(port) and row[3] in ("01", "08") for row in rows)

    def leave(self):
        """A client that leaves ends its export."""
        before, connections = self.server.relay.cpu(), self.connections()
        connection, response = self.ask("jsonl")
        response.read(1000)
        response.close()
        connection.close()
        self.quiet_within(5)
        spent, deadline = self.server.relay.cpu() - before, time.monotonic() + 5
        while self.connections() > connections:
            if time.monotonic() > deadline:
                raise RuntimeError("the connection of a client that has left is still open")
            time.sleep(0.05)
        return {"cpu_s": spent}

    def run(self):
        self.fill()
        os.environ["SLUICE__SERVER__CLIENT_STALL_SECS"] = "60"
        os.environ["SLUICE__DATABASE__POOL_SIZE"] = str(POOL_SIZE)
        self.server.start()
        cold = self.server.relay.memory() / MIB
        # What the first requests make is no growth: threads, and each connection's cache of pages.
        first = [threading.Thread(target=self.read_a_part) for _ in range(POOL_SIZE)]
        for thread in first:
            thread.start()
        for thread in first:
            thread.join()
        self.quiet_within(30)
        figures = {"rows": self.arguments.rows, "mib_cold": cold, "mib": self.server.relay.memory() / MIB}
        for form in ("csv", "jsonl"):
            before = self.server.relay.cpu()
            figures[form] = self.read_whole(form) | {"cpu_s": self.server.relay.cpu() - before}
        figures["slow"] = self.read_slowly()
        figures["left"] = self.leave()
        if self.server.end(signal.SIGTERM):
            raise RuntimeError("the stop failed")
        self.server.books("after")
        return figures


def nanos(dollars):
    whole, _, part = dollars.partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["purge", "export"])
    parser.add_argument("--program", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--sandbox", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=32, help="streams each second")
    parser.add_argument("--window", type=float, default=20, help="seconds of a phase with or without the purge")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4 * 60 * 60, help="that the rest of the purge may take")
    arguments = parser.parse_args()
    part = {"purge": Purge, "export": Export}[arguments.what](arguments)
    try:
        figures = part.run()
    except RuntimeError as error:
        sys.exit(f"{arguments.what}: {error}")
    finally:
        process = part.server.process
        if process and process.poll() is None:
            process.kill()
            process.wait()
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
