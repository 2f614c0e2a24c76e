"""Exports of very many usage rows, while the server's memory stays flat."""

import csv
import http.client
import io
import json
import os
import signal
import threading
import time
from pathlib import Path

from .books import DAY, Books, nanos
from .relay import MIB
from .server import Server

POOL_SIZE = 8


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
        self.arguments, self.server, self.books = (
            arguments,
            Server(arguments),
            Books(arguments.database),
        )

    def fill(self):
        server, books = self.server, self.books
        server.command("account", "create", "export@example.org", "--json")
        self.key = server.command(
            "key", "create", "export@example.org", "--scopes", "read", "--json"
        )["key"]
        now = int(time.time() * 1000)
        account = books.number("SELECT id FROM accounts;")
        books.run(f"""INSERT INTO ledger_entries
                          (account_id, kind, reference, amount_nanousd, created_at)
                      VALUES ({account}, 'adjustment', 'volume', 10000000000000000, 0);""")
        books.fill_usage(self.arguments.rows, now - 80 * DAY, now - DAY, [account], "export")
        books.settle()
        server.books("before")
        self.cost = books.number("SELECT CAST(SUM(cost_nanousd) AS BIGINT) FROM usage_logs;")

    def ask(self, form):
        relay = self.server.relay
        connection = http.client.HTTPConnection(relay.host, relay.port, timeout=120)
        connection.request(
            "GET", f"/api/v1/usage/export?format={form}", headers={"x-api-key": self.key}
        )
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
        cost, count, last = 0, 0, ""
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
            raise RuntimeError(
                f"{form}: {count} rows of {cost} nano-dollars, "
                f"not {self.arguments.rows} of {self.cost}"
            )
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
        figures = {
            "rows": self.arguments.rows,
            "mib_cold": cold,
            "mib": self.server.relay.memory() / MIB,
        }
        for form in ("csv", "jsonl"):
            before = self.server.relay.cpu()
            figures[form] = self.read_whole(form) | {"cpu_s": self.server.relay.cpu() - before}
        figures["slow"] = self.read_slowly()
        figures["left"] = self.leave()
        if self.server.end(signal.SIGTERM):
            raise RuntimeError("the stop failed")
        self.server.books("after")
        return figures
