"""Drives scripts/torture: clients with random endings, a server that is ended at random moments, and
the proof at the end. Python's standard library only; everything random comes from the seed."""

import argparse
import collections
import http.client
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

# Nano-dollars per token, input and output, of the models that are asked for.
PRICES = {"claude-haiku-4-5": (1000, 5000), "claude-sonnet-4-6": (3000, 15000)}
# Every request of an account reports its own number of input tokens, so that its row is known by it.
FIRST_INPUT = 1000
# Output tokens that are held at first: `reserve_output_tokens`.
HELD_OUTPUT = 3072

SETTINGS = """
[server]
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:0"
max_streams_per_account = 1000
requests_per_minute_per_account = 1000000
drain_secs = 1
client_stall_secs = 2
[database]
url = "{database}"
[privacy]
tombstone_secret = "for-a-throwaway-gateway-of-a-script"
[stream]
first_byte_secs = 5
idle_secs = 2
hold_head_max_secs = 2
json_head_secs = 5
settle_wait_secs = 5
checkpoint_secs = 1
drain_secs_max = 5
[log]
filter = "warn"
[[upstreams]]
name = "sandbox"
base_url = "{sandbox}"
auth = "x-api-key"
credential = "sandbox"
"""


class Server:
    """The program under torture."""

    def __init__(self, arguments):
        self.program = arguments.program
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with open("torture.toml", "w", encoding="utf-8") as file:
            file.write(SETTINGS.format(port=self.port, database=arguments.database, sandbox=arguments.sandbox))
        self.process = None

    def command(self, *words):
        done = subprocess.run(
            [self.program, "--config", "torture.toml", *words], capture_output=True, text=True, check=False
        )
        if done.returncode not in (0, 1) or not done.stdout:
            raise RuntimeError(f"sluice {' '.join(words)}: {done.stderr}")
        return json.loads(done.stdout)

    def start(self):
        if os.path.exists("torture.address"):
            os.remove("torture.address")
        with open("sluice.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--config", "torture.toml", "serve", "--address-file", "torture.address"], stderr=log
            )
        deadline = time.monotonic() + 60
        while not os.path.exists("torture.address"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the server did not start:\n" + open("sluice.log", encoding="utf-8").read()[-3000:])
            time.sleep(0.02)

    def end(self, word):
        self.process.send_signal(word)
        return self.process.wait(timeout=60)


class Plan:
    """One request: what is asked for, how its client behaves, what it would cost when whole."""

    # Seconds without a byte after which its client gives up.
    patience = 30
    max_tokens = 8000
    # Output tokens that an estimate, which counts blocks as well, may be above what is reported.
    slack = 0

    def __init__(self, email, number, dice):
        self.input = FIRST_INPUT + number
        self.key = (email, self.input)
        self.model = dice.choice(list(PRICES))
        self.stream = dice.random() < 0.7
        scenario = dice.choice(["text", "text", "thinking", "tool_use"])
        events, size = dice.randint(1, 40), dice.randint(1, 60)
        # Above what the bytes of all deltas would be estimated at, so that no bill exceeds it.
        self.output = (2 * events * size + 2000) // 3
        words = [scenario, f"events={events}", f"bytes={size}", f"input={self.input}", f"output={self.output}"]
        words.append(f"pace_ms={dice.choice([0, 0, 1, 5, 30])}")
        fault = dice.random()
        at = dice.randint(0, events + 6)
        if fault < 0.05:
            words.append(f"error_at={at}")
        elif fault < 0.10:
            words.append(f"cut_at={at}")
        elif fault < 0.15:
            words.append(f"end_at={at}")
        elif fault < 0.18:
            words.append(f"silent_at={at}")
        elif fault < 0.22:
            words.append(f"status={dice.choice([400, 429, 500, 529])}")
        self.set_script(words)
        self.behaviour = dice.choices(["read", "leave", "stall"], [0.7, 0.25, 0.05])[0]
        self.leave_after = dice.randint(0, 4000)

    def set_script(self, words):
        self.script = "sandbox:" + ";".join(words)

    def cost(self):
        price = PRICES[self.model]
        return self.input * price[0] + self.output * price[1]

    def most(self, ending):
        """What a row may say at most: what the whole answer costs. Of an answer that its client has left, hidden work that
        could not be read to its end is charged at what was held for it."""
        is_hidden = "thinking" in self.script and ending in ("E8", "E15", "E18")
        price = PRICES[self.model]
        output = max(self.output + self.slack, HELD_OUTPUT if is_hidden else 0)
        return self.input * price[0] + output * price[1]

    def body(self):
        return json.dumps(
            {
                "model": self.model,
                "max_tokens": self.max_tokens,
                "stream": self.stream,
                "metadata": {"user_id": self.script},
                "tools": [{"name": "look", "input_schema": {"type": "object"}}],
                # About as long as it is said to be, so that what is held for it is enough.
                "messages": [{"role": "user", "content": "torture " * (self.input // 2)}],
            }
        )


class Clients:
    """Threads that ask until they are told to stop, and note which answers they received whole."""

    def __init__(self, server, accounts, arguments):
        # Each account is its address and its key.
        self.server, self.accounts = server, accounts
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.plans = {}
        self.asked = collections.Counter()
        self.whole = set()
        self.seen = collections.Counter()
        self.threads = [
            threading.Thread(target=self.run, args=(random.Random(f"{arguments.seed}/{n}"), n))
            for n in range(arguments.clients)
        ]

    def run(self, dice, number):
        email, key = self.accounts[number % len(self.accounts)]
        while not self.stop.is_set():
            result = self.ask_once(self.plan(email, dice), key)
            # Whoever was refused comes back later: the load is to be answers, not refusals.
            if result == "connection lost" or result.startswith("status"):
                time.sleep(dice.uniform(0, 0.2))

    def plan(self, email, dice, kind=Plan):
        """The next request of an account."""
        with self.lock:
            plan = kind(email, self.asked[email], dice)
            self.asked[email] += 1
            self.plans[plan.key] = plan
        return plan

    def ask_once(self, plan, key, port=None):
        """Makes one request and notes what came of it."""
        try:
            result = self.ask(plan, key, port or self.server.port)
        except (OSError, http.client.HTTPException, ValueError):
            result = "connection lost"
        with self.lock:
            self.seen[result] += 1
            if result == "whole":
                self.whole.add(plan.key)
        return result

    def ask(self, plan, key, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=plan.patience)
        try:
            headers = {"x-api-key": key, "anthropic-version": "2023-06-01", "content-type": "application/json"}
            connection.request("POST", "/v1/messages", plan.body(), headers)
            if plan.behaviour == "leave" and plan.leave_after < 200:
                return "left before the head"
            response = connection.getresponse()
            if response.status != 200:
                response.read()
                return f"status {response.status}"
            if plan.behaviour == "stall":
                time.sleep(3)
                return "stalled"
            if plan.behaviour == "leave":
                response.read(plan.leave_after)
                return "left"
            return self.judge(plan, response.read())
        finally:
            connection.close()

    @staticmethod
    def judge(plan, body):
        """Whether an official client would take the answer as whole, checked against the plan."""
        if not plan.stream:
            usage = json.loads(body)["usage"]
            reported = (usage["input_tokens"], usage["output_tokens"])
            return "whole" if reported == (plan.input, plan.output) else "misreported"
        if b"event: error" in body:
            return "error event"
        if b'"stop_reason":"' not in body:
            return "incomplete"
        return "whole"


def query(database, sql):
    """Rows of text."""
    if database.startswith("sqlite://"):
        with sqlite3.connect(database.removeprefix("sqlite://")) as connection:
            return [[str(value) for value in row] for row in connection.execute(sql)]
    done = subprocess.run(["psql", database, "-XAtF,", "-c", sql], capture_output=True, text=True, check=True)
    return [line.split(",") for line in done.stdout.splitlines()]


def rows(database):
    """Every usage row as (address, input tokens, cost, ending), and every balance that is below zero."""
    usage = query(database, """SELECT a.email, u.input_tokens, u.cost_nanousd, u.ending
                               FROM usage_logs u JOIN accounts a ON a.id = u.account_id""")
    below = query(database, "SELECT email, available_nanousd FROM accounts WHERE available_nanousd < 0")
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
        found.append(f"{email} has {balance} nano-dollars: {sorted(row[1:] for row in usage if row[0] == email)[-30:]}")
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
            found.append(f"{key}: charged beyond the whole answer ({plan.cost()}, {plan.script}): {same[0]}")
    for key in clients.whole:
        plan = clients.plans[key]
        same = by_key.get(key, [])
        if same != [(plan.cost(), "E1")]:
            found.append(f"{key}: whole answer of {plan.cost()} ({plan.script}): {same}")
    return found, collections.Counter(row[3] for row in usage)


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
        print(f"\r{len(clients.plans)} requests, {sum(words.values())} ends", end="", file=sys.stderr, flush=True)
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
    seen = " ".join(f"{name.replace(' ', '_')}={count}" for name, count in sorted(clients.seen.items()))
    print(
        f"seed={arguments.seed} requests={len(clients.plans)} whole={len(clients.whole)} "
        f"{ends_told} rows={report['usage_rows']} | {figures} | {seen} | violations={len(found)}"
    )
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
