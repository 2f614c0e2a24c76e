"""PostgreSQL servers that are stopped, killed, followed and promoted."""

import os
import secrets
import signal
import subprocess
from pathlib import Path

from .processes import free_ports, kill, run, start, wait_until

PASSWORD = secrets.token_hex(16)


class Postgres:
    """One server with its cluster of databases."""

    def __init__(self, binaries, name):
        self.binaries, self.name = binaries, name
        self.folder = os.path.abspath(name)
        (self.port,) = free_ports(1)
        self.process = None

    def program(self, name):
        return os.path.join(self.binaries, name)

    def url(self):
        return f"postgres://sluice:{PASSWORD}@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def make(self):
        with open("postgres.password", "w", encoding="utf-8") as file:
            file.write(PASSWORD)
        run(
            [
                self.program("initdb"),
                f"--pgdata={self.folder}",
                "--username=sluice",
                "--pwfile=postgres.password",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ]
        )

    def start(self):
        words = [
            "-D",
            self.folder,
            "-k",
            os.getcwd(),
            "-p",
            str(self.port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "max_connections=300",
            "-c",
            "wal_retrieve_retry_interval=200ms",
            # Half an hour of a script, and the standby need not be told what it must keep.
            "-c",
            "wal_keep_size=512MB",
        ]
        # SIGQUIT ends all of it.
        self.process = start(
            [self.program("postgres"), *words], f"{self.name}.log", pdeathsig="QUIT"
        )
        ready = [self.program("pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={self.port}"]

        def is_ready():
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"postgres: {Path(f'{self.name}.log').read_text(encoding='utf-8')[-2000:]}"
                )
            return subprocess.run(ready, check=False).returncode == 0

        wait_until("PostgreSQL", is_ready, secs=120)

    def stop(self, is_in_order):
        """In order, as `fast` does, or at once, as `immediate` does."""
        self.process.send_signal(signal.SIGINT if is_in_order else signal.SIGQUIT)
        self.process.wait(timeout=120)

    def kill(self):
        """SIGKILL for it and every process of it at once."""
        kill(self.process)

    def ask(self, sql):
        """Rows of text."""
        out = run(["psql", self.url(), "-XqAtF,", "-v", "ON_ERROR_STOP=1", "-c", sql])
        return [line.split(",") for line in out.splitlines()]

    def follow(self, primary):
        """Becomes the standby that each commit of the primary waits for."""
        run(
            [
                self.program("pg_basebackup"),
                f"--dbname={primary.url()}",
                f"--pgdata={self.folder}",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--wal-method=stream",
            ]
        )
        self.start()
        primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.ask("SELECT pg_reload_conf()")
        sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_until("a synchronous standby", lambda: primary.ask(sync) == [["1"]])

    def promote(self):
        run([self.program("pg_ctl"), "promote", "-D", self.folder, "--wait", "--timeout=60"])
