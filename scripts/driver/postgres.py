"""What PostgreSQL counts of the statements and transactions of one database."""

import statistics
import subprocess
import time

from .load import Load


class Statements:
    """The database at a URL, whose server has pg_stat_statements loaded."""

    def __init__(self, url):
        self.url = url

    def ask(self, sql):
        """The fields of the only row."""
        command = ["psql", self.url, "-XqAtF,", "-v", "ON_ERROR_STOP=1", "-c", sql]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip().split(",")

    def count_from_here(self):
        """Sessions that begin from now on are counted; a server that runs already is told to."""
        self.ask("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self.ask("ALTER SYSTEM SET pg_stat_statements.track = 'all'")
        self.ask("SELECT pg_reload_conf()")

    def stop_counting(self):
        self.ask("ALTER SYSTEM SET pg_stat_statements.track = 'none'")
        self.ask("SELECT pg_reload_conf()")

    def so_far(self):
        """(statements, transactions); those that begin and end a transaction are no statements."""
        statements, transactions = self.ask(
            """SELECT (SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s
                       JOIN pg_database d ON d.oid = s.dbid
                       WHERE d.datname = current_database()
                         AND query !~* '^(begin|commit|rollback|start)'
                         AND query NOT LIKE '%pg_stat%'),
                      pg_stat_get_db_xact_commit(oid)
               FROM pg_database WHERE datname = current_database()"""
        )
        return int(statements), int(transactions)


def split_of_call(bench, database, statements):
    """Microseconds of a JSON call in the node and in PostgreSQL, at 48 connections; and what a
    call alone takes.
    """
    sluice, size = bench.relay("sluice"), bench.size
    load = Load(sluice, sluice.key, "text;events=20;bytes=20", stream=False)
    bench.warm(sluice)
    node, server, nginx = [], [], []
    for _ in range(size["rounds"]):
        before = database.cpu()
        node.append(bench.cpu_of(sluice, load, size["calls"], 48)[0])
        server.append((database.cpu() - before) / size["calls"] * 1e6)
        floor = bench.relay("nginx")
        beside = Load(floor, floor.key, "text;events=20;bytes=20", stream=False)
        nginx.append(bench.cpu_of(floor, beside, size["calls"], 48)[0])
    figures = {
        "postgres_call_us": {
            "nginx": statistics.median(nginx),
            "node": statistics.median(node),
            "database": statistics.median(server),
            "rounds": {"node": node, "database": server, "nginx": nginx},
        }
    }
    statements.count_from_here()
    calls = size["statement_calls"]
    # Sessions learn of the setting between two statements, and tell of transactions a while later.
    bench.generator.closed(load, 10, 1)
    time.sleep(size["flush_seconds"])
    before = statements.so_far()
    bench.generator.closed(load, calls, 1)
    time.sleep(size["flush_seconds"])
    after = statements.so_far()
    statements.stop_counting()
    figures["postgres_alone"] = {
        name: (later - earlier) / calls
        for name, earlier, later in zip(("statements", "transactions"), before, after, strict=True)
    }
    return figures
