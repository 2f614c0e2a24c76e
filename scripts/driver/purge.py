"""A purge of very many usage rows, beside requests and without."""

import os
import re
import signal
import socket
import threading
import time

from .books import DAY, Books
from .figures import percentile, say, time_to_sync
from .load import Load, time_to_first_byte
from .relay import MIB
from .server import Server

KEPT_DAYS = 90
SPAN_DAYS = 200
LIVE = 8


class Clients:
    """Streams at a steady rate from several clients; milliseconds to the first byte of each."""

    def __init__(self, server, keys, rate):
        self.server, self.keys, self.pause = server, keys, len(keys) / rate
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.times, self.refused = [], 0
        self.threads = [
            threading.Thread(target=self.run, args=(number,)) for number in range(len(keys))
        ]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        load = Load(self.server.relay, self.keys[number], "text;events=4;bytes=20")
        wire, due = None, time.monotonic() + self.pause * number / len(self.keys)
        while not self.stop.wait(max(0, due - time.monotonic())):
            # Who had to wait does not catch up, but the others come all the same.
            due = max(due + self.pause, time.monotonic())
            try:
                if wire is None:
                    wire = socket.create_connection((load.relay.host, load.relay.port), timeout=600)
                    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                took = time_to_first_byte(wire, load.request) * 1e3
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
    return percentile(times, 50), percentile(times, 99), max(times)


def piece_figures(metrics, seconds, chore="purge"):
    """Of a process's pieces: how many, the bounds that 99 % and all of them are within, and their
    share of the time.
    """
    name = "sluice_chore_piece_seconds"
    label = f'chore="{chore}"'
    count = metrics.get(f"{name}_count{{{label}}}", 0)
    buckets = sorted(
        (float(re.search(r'le="([^"]+)"', key).group(1)), value)
        for key, value in metrics.items()
        if key.startswith(f"{name}_bucket") and label in key
    )

    def within(part):
        return next((bound * 1e3 for bound, value in buckets if value >= part * count), 0)

    at_most_5 = next((value for bound, value in buckets if bound == 0.005), 0)
    total = metrics.get(f"{name}_sum{{{label}}}", 0)
    return {
        "pieces": int(count),
        "held_s": total,
        "share": total / seconds,
        "p99_bound_ms": within(0.99),
        "longest_bound_ms": within(1),
        "within_5_ms": at_most_5 / count if count else 0,
    }


def purged(metrics):
    return int(metrics.get('sluice_purged_rows_total{table="usage_logs"}', 0))


def fsync_figures(count=200):
    file = os.open("fdatasync", os.O_CREAT | os.O_WRONLY)
    times = [time_to_sync(file, page) * 1e3 for page in range(count)]
    os.close(file)
    return percentile(times, 50), percentile(times, 99)


def is_running(metrics, chore="purge"):
    return metrics.get(f'sluice_chore_running{{chore="{chore}"}}', 0) == 1


class Purge:
    """The purge while requests run, and without."""

    def __init__(self, arguments):
        self.arguments, self.server, self.books = (
            arguments,
            Server(arguments),
            Books(arguments.database),
        )
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
        say(
            f"{report['usage_rows']:,} usage rows, {report['entries']:,} entries, "
            f"{books.size() / MIB:,.0f} MiB"
        )

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
        elif is_running(before):
            self.with_it += clients.times
            self.seconds += seconds
            self.gone += purged(metrics) - purged(before)
            self.pieces.append(
                {
                    key: metrics.get(key, 0) - before.get(key, 0)
                    for key in metrics
                    if key.startswith("sluice_chore_piece_seconds")
                }
            )
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
        """The database is written anew, which the server does at its start if it has missed its
        turn.
        """
        books, server = self.books, self.server
        size = books.size()
        books.run(
            "DELETE FROM chores; INSERT INTO chores (name, finished_at) VALUES ('compact', 1);"
        )
        server.start()
        clients = Clients(server, self.keys, self.arguments.rate)
        deadline = time.monotonic() + 1800
        done = 'sluice_chore_finished_timestamp_seconds{chore="compact"}'
        while not server.metrics().get(done) and time.monotonic() < deadline:
            time.sleep(0.1)
        metrics = server.metrics()
        clients.end()
        server.end(signal.SIGTERM)
        took = metrics.get('sluice_chore_piece_seconds_sum{chore="compact"}', 0)
        server.books("after the compaction")
        return {
            "seconds": took,
            "longest_wait_ms": max(clients.times),
            "answered": len(clients.times),
            "refused": clients.refused,
            "mib_before": size / MIB,
            "mib_after": books.size() / MIB,
        }

    def prove(self, before, is_done):
        """Nothing younger has gone, and no history has changed a balance: only the live requests
        have.
        """
        books = self.books
        young = books.number(
            f"SELECT COUNT(*) FROM usage_logs WHERE created_at >= {self.kept_from}"
            " AND upstream = 'sandbox' AND price_version = '2026-01-01/1';"
        )
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
        return self.books.run("""SELECT id, available_nanousd, reserved_nanousd FROM accounts
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
        pieces = {
            key: sum(one.get(key, 0) for one in self.pieces) for key in (self.pieces or [{}])[0]
        }
        figures = {
            "rows": self.arguments.rows,
            "fill_s": filled,
            "is_done": is_done,
            "old_left": old,
            "fdatasync_p50_p99_ms": sync,
            "compaction": compaction,
            "rest_rows_s": getattr(self, "rest", None),
        }
        if self.with_it and self.without:
            one, other = percentiles(self.with_it), percentiles(self.without)
            figures |= {
                "first_byte_with_p50_p99_max_ms": one,
                "first_byte_without_p50_p99_max_ms": other,
                "p99_ratio": one[1] / other[1],
                "requests": (len(self.with_it), len(self.without)),
                "rows_per_s": self.gone / self.seconds,
                "seconds": self.seconds,
            }
            figures |= piece_figures(pieces, self.seconds)
        return figures
