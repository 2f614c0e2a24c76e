"""Drives scripts/soak migrate: a large SQLite database comes over to PostgreSQL with three
interruptions. Python's standard library only.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time

from driver.books import DAY, Books
from driver.relay import MIB

NOON = 1_795_348_800_000


class Copy:
    """One run of `sluice migrate-to`."""

    def __init__(self, arguments):
        environment = {"PATH": os.environ["PATH"], "TARGET": arguments.target}
        words = [arguments.program, "--config", "source.toml", "migrate-to", "--url-env", "TARGET"]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.peak = 0
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        """How much memory it has had at most."""
        path = f"/proc/{self.process.pid}/status"
        while self.process.poll() is None:
            try:
                with open(path, encoding="utf-8") as status:
                    found = re.search(r"VmHWM:\s+(\d+)", status.read())
            except OSError:
                return
            self.peak = max(self.peak, int(found[1]) * 1024 if found else 0)
            time.sleep(0.05)

    def lines(self):
        """What it says, with the second of it."""
        for line in self.process.stderr:
            yield time.monotonic() - self.began, line.strip()

    def until(self, target, table, rows):
        """Waits until so many rows of a table are over there."""
        while self.process.poll() is None:
            found = target.run(
                """SELECT COALESCE(MAX(relname), '') FROM pg_class WHERE relname = 'sluice_copy';"""
            )
            copied = found[0][0] and target.run(
                f"SELECT COALESCE(MAX(copied), 0) FROM sluice_copy WHERE table_name = '{table}';"
            )
            if copied and int(copied[0][0]) >= rows:
                return int(copied[0][0])
            time.sleep(0.02)
        raise RuntimeError(f"it ended before {rows} rows of {table}: {self.process.stderr.read()}")


def fill(books, rows):
    books.fill_accounts(1000)
    accounts = [int(row[0]) for row in books.run("SELECT id FROM accounts ORDER BY id;")]
    books.fill_usage(rows, NOON - 60 * DAY, NOON, accounts, "migrate")
    books.settle()


def interrupt(arguments, target):
    """Twice by SIGKILL and once by the loss of the connection; how far it was each time, and how
    long it ran.
    """
    places, seconds, peak = [], 0, 0
    for number, share in enumerate((0.1, 0.4, 0.7)):
        copy = Copy(arguments)
        places.append(copy.until(target, "usage_logs", int(share * arguments.rows)))
        if number < 2:
            copy.process.kill()
        else:
            target.run("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                          WHERE datname = current_database() AND pid <> pg_backend_pid();""")
        if copy.process.wait() == 0:
            raise RuntimeError("an interrupted copy has succeeded")
        seconds += time.monotonic() - copy.began
        peak = max(peak, copy.peak)
    return places, seconds, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--rows", type=int, required=True)
    arguments = parser.parse_args()
    url = f"sqlite://{os.getcwd()}/source.db"
    for name, value in (("source", url), ("target", arguments.target)):
        with open(f"{name}.toml", "w", encoding="utf-8") as file:
            file.write(f'[database]\nurl = "{value}"\n')
    sluice = [arguments.program, "--config"]
    subprocess.run([*sluice, "source.toml", "migrate"], check=True, stdout=subprocess.DEVNULL)
    source, target = Books(url), Books(arguments.target)
    fill(source, arguments.rows)
    places, seconds, peak = interrupt(arguments, target)
    copy, compared = Copy(arguments), None
    for at, line in copy.lines():
        if line.endswith(": comparing") and compared is None:
            compared = at
    out = copy.process.stdout.read()
    if copy.process.wait() or "the copy is whole" not in out:
        sys.exit(f"the copy failed: {out}")
    whole = time.monotonic() - copy.began
    for table in ("usage_logs", "ledger_entries", "accounts"):
        if source.number(f"SELECT COUNT(*) FROM {table};") != target.number(
            f"SELECT COUNT(*) FROM {table};"
        ):
            sys.exit(f"{table} has another number of rows")
    for name in ("source", "target"):
        subprocess.run([*sluice, f"{name}.toml", "books", "verify"], check=True, stdout=sys.stderr)
    print(
        json.dumps(
            {
                "rows": arguments.rows,
                "interrupted_at": places,
                "copy_s": round(seconds + compared, 1),
                "compare_s": round(whole - compared, 1),
                "peak_mib": round(max(peak, copy.peak) / MIB, 1),
                "source_mib": round(source.size() / MIB),
                "target_mib": round(target.size() / MIB),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
