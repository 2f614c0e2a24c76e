"""What each scenario stands on: a cluster, clients of it, what was found wrong, and the proof at
the end.
"""

import collections
import contextlib
import itertools
import math
import random
import statistics
import threading
import time

from driver.clients import Clients
from driver.plans import Plan
from driver.proof import violations

from .cluster import Cluster
from .processes import wait_until

# Until everything that was open is settled: the leases of the dead run out, and whoever could not
# renew waits for one more.
SETTLED_SECS = 180
# Of the output of the model that is asked for.
BYTES_PER_TOKEN = 3.5


def honest(size):
    """The output tokens of so many bytes, a little below what they are estimated at while they
    pass: whoever reports more makes accounts owe what could not be held.
    """
    return max(1, math.floor(size / BYTES_PER_TOKEN) - 2)


class Long(Plan):
    """A stream that takes its time and is read to its end."""

    patience = 150
    max_tokens = 20000
    slack = 40

    def __init__(self, email, number, secs, size=10):
        super().__init__(email, number, random.Random(number))
        self.model, self.stream, self.behaviour = "claude-haiku-4-5", True, "read"
        events = max(1, round(secs * 10))
        self.output = honest(events * size)
        self.set_script(
            [
                "text",
                f"events={events}",
                f"bytes={size}",
                "pace_ms=100",
                f"input={self.input}",
                f"output={self.output}",
            ]
        )


class Short(Long):
    """The same in one piece at once."""

    patience = 60

    def __init__(self, email, number, is_stream=False):
        super().__init__(email, number, 1)
        self.stream = is_stream
        self.set_script(
            ["text", "events=5", "bytes=10", f"input={self.input}", f"output={self.output}"]
        )


class Request(threading.Thread):
    """One request that runs beside the scenario."""

    def __init__(self, stage, plan, account, port):
        super().__init__(daemon=True)
        self.stage, self.plan, self.account, self.port = stage, plan, account, port
        self.result = self.ended = None
        self.began = time.monotonic()
        self.start()

    def run(self):
        self.result = self.stage.clients.ask_once(self.plan, self.account[1], self.port)
        self.ended = time.monotonic()

    def end(self):
        self.join()
        return self.result


class Prober(threading.Thread):
    """Asks for one short answer after the other, and knows the longest time without a whole one."""

    def __init__(self, stage, account, port):
        super().__init__(daemon=True)
        self.stage, self.account, self.port = stage, account, port
        self.over = threading.Event()
        self.whole = [time.monotonic()]
        self.start()

    def run(self):
        while not self.over.wait(0.1):
            plan = self.stage.plan(self.account, Short)
            if self.stage.clients.ask_once(plan, self.account[1], self.port) == "whole":
                self.whole.append(time.monotonic())

    def longest(self):
        """Seconds, from when it was begun to now."""
        self.over.set()
        self.join()
        ends = [*self.whole, time.monotonic()]
        return max(later - earlier for earlier, later in itertools.pairwise(ends))


class Load(threading.Thread):
    """So many streams a second, each of about a second, whatever becomes of them."""

    def __init__(self, stage, accounts, rate):
        super().__init__(daemon=True)
        self.stage, self.accounts, self.rate = stage, accounts, rate
        self.requests = []
        self.over = threading.Event()
        self.start()

    def run(self):
        next_at = time.monotonic()
        while not self.over.wait(max(0, next_at - time.monotonic())):
            account = self.accounts[len(self.requests) % len(self.accounts)]
            self.requests.append(self.stage.begin(account, secs=1))
            # What was missed is not made up for.
            next_at = max(next_at + 1 / self.rate, time.monotonic() - 1)

    def end(self):
        """All requests, each at its end."""
        self.over.set()
        self.join()
        for request in self.requests:
            request.join()
        return self.requests


class Stage:
    """See the module."""

    def __init__(self, arguments, **settings):
        self.arguments = arguments
        self.dice = random.Random(arguments.seed)
        self.cluster = Cluster(arguments, **settings)
        self.nodes = self.cluster.nodes
        self.clients = Clients(self.cluster, [], argparse_of(arguments, clients=0))
        self.found = []
        self.facts = collections.Counter()

    def expect(self, is_so, words):
        if not is_so:
            self.found.append(words)

    def account(self, name, usd="1000"):
        return self.cluster.account(f"{name}@example.org", usd)

    def plan(self, account, kind, **more):
        return self.clients.plan(
            account[0], None, lambda email, number, _: kind(email, number, **more)
        )

    def begin(self, account, node=None, kind=Long, **more):
        """Begins a request on a node, or through the balancer."""
        port = node.port if node else self.cluster.port
        return Request(self, self.plan(account, kind, **more), account, port)

    def ask(self, account, node=None, **more):
        """A short request; what came of it, and its seconds."""
        began = time.monotonic()
        result = self.begin(account, node, kind=Short, **more).end()
        return result, time.monotonic() - began

    def ask_until_whole(self, account, node=None, secs=90):
        """Seconds until an answer is whole."""
        began = time.monotonic()
        wait_until("a whole answer", lambda: self.ask(account, node)[0] == "whole", secs, pause=0.2)
        return time.monotonic() - began

    def all_whole(self, requests, what):
        results = collections.Counter(request.end() for request in requests)
        self.expect(set(results) <= {"whole"}, f"{what}: {dict(results)}")

    def median_secs(self, account, node, count=20):
        taken = [self.ask(account, node) for _ in range(count)]
        self.expect(
            all(result == "whole" for result, _ in taken),
            f"{node.name}: {[one[0] for one in taken]}",
        )
        return statistics.median(secs for _, secs in taken)

    def endings(self):
        return dict(
            self.cluster.primary.ask(
                "SELECT ending, count(*) FROM usage_logs GROUP BY ending ORDER BY ending"
            )
        )

    def leases_run(self, what, nodes, least=1):
        leases = self.cluster.leases()
        self.expect(
            all(leases.get(node.name, -1) > least for node in nodes),
            f"{what}: seconds of leases left: {leases}",
        )

    def prove(self):
        """The proof of the books, when everything works again."""
        self.cluster.heal()
        deadline = time.monotonic() + SETTLED_SECS
        while self.cluster.open_reservations() and time.monotonic() < deadline:
            time.sleep(0.5)
        self.found += self.cluster.end()
        report = self.cluster.command("books", "verify", "--json")
        found, endings = violations(self.cluster.url(), self.clients, report)
        self.found += found
        return endings

    def summary(self, name, endings):
        def told(counts):
            return " ".join(
                f"{key.replace(' ', '_')}={count}" for key, count in sorted(counts.items())
            )

        return (
            f"scenario={name} seed={self.arguments.seed} nodes={len(self.nodes)} "
            f"requests={len(self.clients.plans)} "
            f"| {told(self.facts)} | {told(endings)} | {told(self.clients.seen)} "
            f"| violations={len(self.found)}"
        )

    def show_logs(self):
        for node in self.nodes:
            print(f"--- the end of {node.name}'s log")
            print("\n".join(line[:300] for line in node.log().splitlines()[-60:]))


def argparse_of(arguments, **more):
    """The arguments with others beside them."""
    copy = type(arguments)(**vars(arguments))
    for name, value in more.items():
        setattr(copy, name, value)
    return copy


@contextlib.contextmanager
def taking(facts, name):
    """Notes the tenths of a second that something takes."""
    began = time.monotonic()
    yield
    facts[name] = round(time.monotonic() - began, 1)
