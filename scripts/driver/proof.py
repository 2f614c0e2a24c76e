"""The proof at the end: what was charged, against what was asked for and received."""

import collections
import sqlite3
import subprocess


def query(database, sql):
    """Rows of text."""
    if database.startswith("sqlite://"):
        with sqlite3.connect(database.removeprefix("sqlite://")) as connection:
            return [[str(value) for value in row] for row in connection.execute(sql)]
    done = subprocess.run(
        ["psql", database, "-XAtF,", "-c", sql], capture_output=True, text=True, check=True
    )
    return [line.split(",") for line in done.stdout.splitlines()]


def rows(database):
    """Every usage row as (address, input tokens, cost, ending), and every balance that is below
    zero.
    """
    usage = query(
        database,
        """SELECT a.email, u.input_tokens, u.cost_nanousd, u.ending
                               FROM usage_logs u JOIN accounts a ON a.id = u.account_id""",
    )
    below = query(
        database, "SELECT email, available_nanousd FROM accounts WHERE available_nanousd < 0"
    )
    return [(row[0], int(row[1]), int(row[2]), row[3]) for row in usage], below


def violations(database, clients, report):
    """Everything that is not as promised, in words."""
    usage, below = rows(database)
    found = [f"books: {one}" for one in report["discrepancies"]]
    if report["open_reservations"]:
        found.append(f"{report['open_reservations']} reservations are open")
    if report["parked_settlements"]:
        found.append(f"settlements are parked: {report['parked_settlements']}")
    for email, balance in below:
        own = sorted(row[1:] for row in usage if row[0] == email)
        found.append(f"{email} has {balance} nano-dollars: {own[-30:]}")
    by_key = collections.defaultdict(list)
    for email, tokens, cost, ending in usage:
        if tokens:
            by_key[email, tokens].append((cost, ending))
        elif cost:
            # Nothing was reported, so nothing may be charged.
            found.append(f"charged without any report: {email}, {cost}, {ending}")
    for key, same in by_key.items():
        plan = clients.plans.get(key)
        if plan is None or len(same) != 1:
            found.append(f"{key}: {len(same)} rows, plan {plan is not None}")
        elif same[0][0] > plan.most(same[0][1]):
            found.append(
                f"{key}: charged beyond the whole answer ({plan.cost()}, {plan.script}): {same[0]}"
            )
    for key in clients.whole:
        plan = clients.plans[key]
        same = by_key.get(key, [])
        if same != [(plan.cost(), "E1")]:
            found.append(f"{key}: whole answer of {plan.cost()} ({plan.script}): {same}")
    return found, collections.Counter(row[3] for row in usage)
