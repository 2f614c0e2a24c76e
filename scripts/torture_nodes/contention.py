"""How much of their time the ledgers wait for rows that another node holds, with few accounts and
with many, at full speed.
"""

import threading

from .cost import ask_without_end

# Milliseconds between two looks at what every connection does.
LOOK_MS = 10
# What only a ledger's statements have.
OF_A_LEDGER = "%xmin%"
# Of the ledgers' time at most, with 64 accounts.
WAITED_MAX = 0.15


def contention(stage):
    """16 connections to each node, with 1, 64 and 512 accounts in turn."""
    accounts = [stage.account(f"payer{number}") for number in range(512)]
    for node in stage.nodes:
        stage.ask_until_whole(accounts[0], node)
    for count in (1, 64, 512):
        waited, calls = measure(stage, accounts[:count])
        stage.facts[f"waited_permille_{count}"] = round(1000 * waited)
        stage.facts[f"calls_{count}"] = calls
        if count == 64:
            stage.expect(waited <= WAITED_MAX, f"64 accounts: {waited:.1%} are waited")


def measure(stage, accounts):
    """The share of the ledgers' time that is spent waiting for a lock, and the calls meanwhile."""
    over, done = threading.Event(), []
    threads = [
        threading.Thread(target=ask_without_end, args=(stage, accounts, number, over, done))
        for number in range(16 * len(stage.nodes))
    ]
    for thread in threads:
        thread.start()
    looks = round(stage.arguments.seconds / 3 * 1000 / LOOK_MS)
    (row,) = stage.cluster.primary.ask(f"""
        CREATE TEMP TABLE looks (pid INT, waits BOOL, is_ledger BOOL);
        DO $$ BEGIN
            FOR look IN 1..{looks} LOOP
                PERFORM pg_stat_clear_snapshot();
                INSERT INTO looks
                    SELECT pid, state = 'active' AND wait_event_type = 'Lock',
                        query LIKE '{OF_A_LEDGER}'
                    FROM pg_stat_activity
                    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid();
                PERFORM pg_sleep({LOOK_MS / 1000});
            END LOOP;
        END $$;
        WITH ledgers AS (
            SELECT pid FROM looks GROUP BY pid
            HAVING count(*) FILTER (WHERE is_ledger) > {looks} / 10
        )
        SELECT count(*) FILTER (WHERE waits), count(*) FROM looks JOIN ledgers USING (pid)""")
    over.set()
    for thread in threads:
        thread.join()
    waits, seen = map(int, row)
    stage.expect(seen >= looks * len(stage.nodes), f"{seen} looks at ledgers are too few")
    return waits / max(1, seen), len(done)
