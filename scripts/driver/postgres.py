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

    def count_from_now_on(self):
        """Sessions that begin from now on are counted."""
        self.ask("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self.ask("ALTER DATABASE postgres SET pg_stat_statements.track = 'all'")

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


def split_of_call(bench, database):
    """Microseconds of a JSON call in the node and in PostgreSQL, at 48 connections."""
    sluice, nginx, calls = bench.relay("sluice"), bench.relay("nginx"), bench.size["calls"]
    spent = {"nginx": [], "node": [], "database": []}
    bench.warm(sluice)
    for _ in range(bench.size["rounds"]):
        before = database.cpu()
        spent["node"].append(bench.cpu_of(sluice, json_call(sluice), calls, 48)[0])
        spent["database"].append((database.cpu() - before) / calls * 1e6)
        spent["nginx"].append(bench.cpu_of(nginx, json_call(nginx), calls, 48)[0])
    medians = {name: statistics.median(each) for name, each in spent.items()}
    return {"postgres_call_us": medians | {"rounds": spent}}


def call_alone(bench, statements):
    """Statements and transactions of a JSON call, one at a time."""
    sluice, size = bench.relay("sluice"), bench.size
    bench.warm(sluice)
    # Sessions tell of their transactions a while later.
    time.sleep(size["flush_seconds"])
    before = statements.so_far()
    bench.generator.closed(json_call(sluice), size["statement_calls"], 1)
    time.sleep(size["flush_seconds"])
    after = statements.so_far()
    return {
        "postgres_alone": {
            name: (later - earlier) / size["statement_calls"]
            for name, earlier, later in zip(
                ("statements", "transactions"), before, after, strict=True
            )
        }
    }


def json_call(relay):
    return Load(relay, relay.key, "text;events=20;bytes=20", stream=False)
