"""Drives scripts/torture: clients with random endings, a server that is ended at random moments,
and the proof at the end. Python's standard library only; everything random comes from the seed.
"""

import argparse
import collections
import random
import signal
import sys
import time

from driver.clients import Clients
from driver.proof import violations
from driver.server import Server


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--sandbox", required=True)
    for name in ("seconds", "kills", "clients", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()

    dice = random.Random(arguments.seed)
    server = Server(arguments)
    accounts = []
    for number in range(max(2, arguments.clients // 8)):
        email = f"client{number}@example.org"
        server.command("account", "create", email, "--json")
        # A few have so little that they are refused now and then.
        amount = "0.50" if number % 4 == 3 else "10000"
        server.command("account", "credit", email, amount, "--reference", email, "--json")
        accounts.append((email, server.command("key", "create", email, "--json")["key"]))
    server.start()
    clients = Clients(server, accounts, arguments)
    for thread in clients.threads:
        thread.start()

    started = time.monotonic()
    ends = sorted(dice.uniform(0.5, arguments.seconds) for _ in range(arguments.kills))
    words = collections.Counter()
    for end in ends:
        time.sleep(max(0, started + end - time.monotonic()))
        word = dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        words[word.name] += 1
        code = server.end(word)
        if word == signal.SIGTERM and code:
            words[f"SIGTERM exit {code}"] += 1
        server.start()
        print(
            f"\r{len(clients.plans)} requests, {sum(words.values())} ends",
            end="",
            file=sys.stderr,
            flush=True,
        )
    time.sleep(max(0, started + arguments.seconds - time.monotonic()))
    clients.stop.set()
    for thread in clients.threads:
        thread.join()
    print(file=sys.stderr)

    # What the last dead node left open waits for its lease to run out; drains wait for their end.
    deadline = time.monotonic() + 90
    report = server.command("books", "verify", "--json")
    while report["open_reservations"] and time.monotonic() < deadline:
        time.sleep(1)
        report = server.command("books", "verify", "--json")
    final = server.end(signal.SIGTERM)
    found, endings = violations(arguments.database, clients, report)
    if final:
        found.append(f"the last stop exited with {final}")
    found += [f"a stop in order failed: {name}" for name in words if "exit" in name]
    for line in found[:20]:
        print("VIOLATION", line)
    figures = " ".join(f"{name}={count}" for name, count in sorted(endings.items()))
    ends_told = " ".join(f"{name}={count}" for name, count in sorted(words.items()))
    seen = " ".join(
        f"{name.replace(' ', '_')}={count}" for name, count in sorted(clients.seen.items())
    )
    print(
        f"seed={arguments.seed} requests={len(clients.plans)} whole={len(clients.whole)} "
        f"{ends_told} rows={report['usage_rows']} | {figures} | {seen} | violations={len(found)}"
    )
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
