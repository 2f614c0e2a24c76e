"""The database behind the program's back: filled with very many rows, and asked."""

import os
import subprocess

DAY = 24 * 60 * 60 * 1000
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Books:
    """The database, asked and filled behind the program's back."""

    def __init__(self, url):
        self.url, self.is_sqlite = url, url.startswith("sqlite://")

    def run(self, sql):
        """Runs statements; the rows of the last one, as text."""
        if self.is_sqlite:
            command = [
                "sqlite3",
                "-bail",
                "-cmd",
                ".timeout 60000",
                self.url.removeprefix("sqlite://"),
            ]
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
            SELECT 'acct_volume' || n, 'volume' || n || '@example.org', 'active', 0
            FROM {self.series(count)};
            INSERT INTO api_keys (public_id, account_id, name, hash, created_at)
            SELECT 'key_volume' || n, id, 'volume', {hash_of}, 0
            FROM (SELECT id, id AS n FROM accounts
                  WHERE id NOT IN (SELECT account_id FROM api_keys)) a;
            INSERT INTO ledger_entries (account_id, kind, reference, amount_nanousd, created_at)
            SELECT id, 'adjustment', 'volume' || id, 1000000000000000, 0 FROM accounts;
            UPDATE accounts SET available_nanousd = available_nanousd + 1000000000000000;
            COMMIT;""")

    def series(self, count):
        """The numbers from 0 on, as `n`."""
        if self.is_sqlite:
            steps = f"SELECT 0 UNION ALL SELECT n + 1 FROM s LIMIT {count}"
            return f"(WITH RECURSIVE s (n) AS ({steps}) SELECT n FROM s)"
        return f"generate_series(0::bigint, {count - 1}) AS s (n)"

    def fill_usage(self, count, begin, end, accounts, label):
        """So many usage rows, evenly spread over a time and over accounts, as the program would
        have left them: names that sort by time, one row in ten for nothing, ledger lines for the
        others, balances and what keys have cost.
        """
        letters = " || ".join(
            f"substr('{ALPHABET}', CAST(1 + ((at >> {5 * digit}) & 31) AS INTEGER), 1)"
            for digit in reversed(range(9))
        )
        noise = (
            "substr(hex(randomblob(8)), 1, 15)"
            if self.is_sqlite
            else f"substr(md5(n::text || '{label}'), 1, 15)"
        )
        fast = (
            "PRAGMA synchronous = OFF; PRAGMA cache_size = -400000;"
            if self.is_sqlite
            else "SET synchronous_commit = off; SET session_replication_role = replica;"
        )
        false = "0" if self.is_sqlite else "false"
        self.run(f"""
            {fast}
            BEGIN;
            INSERT INTO usage_logs (id, account_id, api_key_id, created_at, endpoint,
                requested_model, served_model, upstream, input_tokens, output_tokens,
                cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens, web_searches,
                price_version, cost_nanousd, first_byte_ms, latency_ms, http_status, ending,
                is_estimated)
            SELECT 'req_' || {letters} || lower({noise}), account,
                (SELECT MIN(id) FROM api_keys WHERE account_id = account),
                at, 'messages', 'claude-haiku-4-5', 'claude-haiku-4-5-20251001', 'sandbox',
                n % 5000, n % 700, 0, 0, n % 9000, 0, '2026-01-01/1',
                CASE WHEN n % 10 = 0 THEN 0 ELSE (n * 7919) % 2000000 + 1 END,
                300 + n % 500, 2000 + n % 9000, 200, 'E1', {false}
            FROM (SELECT n, {begin} + CAST(n * {(end - begin) / count} AS BIGINT) AS at,
                         {accounts[0]} + (n * 7919) % {len(accounts)} AS account
                  FROM {self.series(count)}) r;
            INSERT INTO ledger_entries (account_id, kind, reference, amount_nanousd, created_at)
            SELECT account_id, 'usage', id, -cost_nanousd, created_at FROM usage_logs
            WHERE created_at >= {begin} AND created_at < {end} AND cost_nanousd > 0
            ORDER BY created_at;
            COMMIT;""")

    def settle(self):
        """Balances and what keys have cost, as the ledger says."""
        self.run("""
            BEGIN;
            UPDATE accounts SET available_nanousd = s.total FROM
                (SELECT account_id, SUM(amount_nanousd) AS total
                 FROM ledger_entries GROUP BY account_id) s
                WHERE s.account_id = accounts.id;
            UPDATE api_keys SET spent_nanousd = s.total FROM
                (SELECT api_key_id, SUM(cost_nanousd) AS total
                 FROM usage_logs GROUP BY api_key_id) s
                WHERE s.api_key_id = api_keys.id;
            COMMIT;""")
        if self.is_sqlite:
            self.run("PRAGMA wal_checkpoint(TRUNCATE);")
        else:
            tables = ("usage_logs", "ledger_entries")
            vacuum = "".join(f"VACUUM ANALYZE {table}; " for table in tables)
            self.run(f"{vacuum}ANALYZE accounts; CHECKPOINT;")

    def hold_purge(self):
        """No usage row can be deleted: a purge is broken off at its first piece, and the server is
        as it is without.
        """
        if self.is_sqlite:
            self.run("""CREATE TRIGGER volume_hold BEFORE DELETE ON usage_logs
                        BEGIN SELECT RAISE(ABORT, 'held'); END;""")
        else:
            self.run("""CREATE FUNCTION volume_hold() RETURNS trigger LANGUAGE plpgsql
                        AS $$ BEGIN RAISE 'held'; END $$;
                        CREATE TRIGGER volume_hold BEFORE DELETE ON usage_logs
                        EXECUTE FUNCTION volume_hold();""")

    def free_purge(self):
        self.run(
            "DROP TRIGGER volume_hold;" if self.is_sqlite else "DROP FUNCTION volume_hold CASCADE;"
        )

    def size(self):
        if self.is_sqlite:
            path = self.url.removeprefix("sqlite://")
            return sum(
                os.path.getsize(path + end) for end in ("", "-wal") if os.path.exists(path + end)
            )
        return self.number("SELECT pg_database_size(current_database())")


def nanos(dollars):
    whole, _, part = dollars.partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))
