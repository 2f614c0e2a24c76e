"""Everything at once: nodes, wires and databases are disturbed at random under random clients,
payments and mails.
"""

import collections
import heapq
import itertools
import sys
import time
from pathlib import Path

from driver.clients import Clients
from driver.plans import Plan

from . import beside
from .stage import Stage, honest

# Disturbances of a node, and how often each is chosen. What outlasts a lease needs a long run.
KINDS = {
    "kill": 4,
    "stop": 3,
    "pause": 3,
    "skew": 2,
    "cut": 4,
    "away": 2,
    "delay": 2,
    "silence": 1,
    "reset": 3,
}
OUTLASTING = {"long_pause": 2, "long_away": 2}
# Shorter than this, nothing lasts longer than a lease.
LONG_SECS = 120
# Seconds within which a stop must end, whatever the database does.
STOP_SECS = 60


class Tight(Plan):
    """A stream of an account that can hardly afford it."""

    slack = 40

    def __init__(self, email, number, dice):
        super().__init__(email, number, dice)
        self.model, self.stream, self.behaviour = "claude-haiku-4-5", True, "read"
        size = dice.randint(5, 40)
        self.output = honest(50 * size)
        self.set_script(
            [
                "text",
                "events=50",
                f"bytes={size}",
                f"pace_ms={dice.choice([0, 20, 100])}",
                f"input={self.input}",
                f"output={self.output}",
            ]
        )


class Crowd(Clients):
    """Random clients, of which some are short of money."""

    def run(self, dice, number):
        email, key = self.accounts[number % len(self.accounts)]
        if not email.startswith("tight"):
            super().run(dice, number)
            return
        while not self.stop.wait(dice.uniform(0.2, 1)):
            self.ask_once(self.plan(email, dice, Tight), key)


class Everything:
    """The calendar of disturbances, and who is disturbed now."""

    def __init__(self, stage):
        self.stage, self.dice, self.cluster = stage, stage.dice, stage.cluster
        self.began = time.monotonic()
        self.end = self.began + stage.arguments.seconds
        self.due, self.numbers = [], itertools.count()
        self.counts = collections.Counter()
        # Nodes that something is done to; those that must run, with their clocks' errors; those
        # that are being stopped.
        self.busy, self.skews, self.stopping = set(), {}, {}
        self.ready = set()
        # Until when the database's absence explains what happens.
        self.away_until = 0
        self.is_down = self.was_promoted = False
        kinds = KINDS | (OUTLASTING if stage.arguments.seconds >= LONG_SECS else {})
        self.kinds, self.weights = list(kinds), list(kinds.values())
        for node in stage.nodes:
            self.skews[node.name] = 0

    def later(self, secs, what):
        """Puts something into the calendar, at the latest for the end."""
        heapq.heappush(self.due, (min(time.monotonic() + secs, self.end), next(self.numbers), what))

    def run(self):
        span = self.stage.arguments.seconds
        self.later(1, self.disturb_node)
        self.later(span * self.dice.uniform(0.15, 0.3), self.disturb_database)
        if len(self.cluster.servers) > 1:
            self.later(span * self.dice.uniform(0.4, 0.7), self.promote)
        while self.due:
            when, _, what = heapq.heappop(self.due)
            while time.monotonic() < when:
                time.sleep(min(0.2, max(0, when - time.monotonic())))
                self.look_after_nodes()
            what()
        deadline = time.monotonic() + STOP_SECS
        while self.stopping and time.monotonic() < deadline:
            time.sleep(0.2)
            self.look_after_nodes()

    def is_over(self):
        return time.monotonic() >= self.end - 1

    def disturb_node(self):
        if self.is_over():
            return
        self.later(self.dice.uniform(0.5, 8) * 3 / len(self.stage.nodes), self.disturb_node)
        (kind,) = self.dice.choices(self.kinds, self.weights)
        node = self.dice.choice(self.stage.nodes)
        if node.name in self.busy or node.name not in self.ready:
            return
        self.busy.add(node.name)
        self.counts[kind] += 1
        secs = self.dice.uniform(35, 55) if kind.startswith("long") else self.dice.uniform(1, 12)
        getattr(self, kind.removeprefix("long_"))(node, secs)

    def free(self, node):
        node.command("normal")
        self.busy.discard(node.name)

    def kill(self, node, secs):
        self.ready.discard(node.name)
        node.kill()
        self.later(secs / 2, lambda: self.revive(node))

    def revive(self, node, skew_secs=0):
        self.skews[node.name] = skew_secs
        node.spawn(skew_secs)
        self.free(node)

    def stop(self, node, secs, skew_secs=0):
        self.ready.discard(node.name)
        node.signal(15)
        self.stopping[node.name] = (node, time.monotonic(), skew_secs)

    def skew(self, node, secs):
        self.stop(node, secs, self.dice.choice([-25, -10, 10, 25]))

    def pause(self, node, secs):
        node.pause()

        def go_on():
            node.go_on()
            self.free(node)

        self.later(secs, go_on)

    def wire(self, node, secs, *words):
        node.command(*words)
        self.later(secs, lambda: self.free(node))

    def cut(self, node, secs):
        self.wire(node, 2, "cut")

    def away(self, node, secs):
        self.wire(node, secs, "cut-and-refuse")

    def delay(self, node, secs):
        self.wire(node, secs, "delay", self.dice.choice([1, 5, 20]))

    def silence(self, node, secs):
        self.wire(node, 30, "silence")

    def reset(self, node, secs):
        self.wire(node, 1, "reset")

    def disturb_database(self):
        if self.is_over():
            return
        self.later(self.dice.uniform(20, 60), self.disturb_database)
        if self.is_down:
            return
        is_long = self.stage.arguments.seconds >= LONG_SECS and self.dice.random() < 0.4
        secs = self.dice.uniform(30, 60) if is_long else self.dice.uniform(0, 6)
        self.counts["outage" if is_long else "restart"] += 1
        self.is_down = True
        self.cluster.primary.stop(self.dice.random() < 0.5)
        self.later(secs, self.restore)

    def restore(self):
        if self.is_down:
            self.cluster.primary.start()
            self.is_down = False
        self.away_until = time.monotonic() + 20

    def promote(self):
        self.restore()
        self.cluster.fail_over()
        self.counts["promotion"] += 1
        self.away_until = time.monotonic() + 20

    def is_excused(self):
        return self.is_down or time.monotonic() < self.away_until

    def look_after_nodes(self):
        """Ends of stops, starts that failed because the database was away, and ends that nobody
        asked for.
        """
        for name, (node, since, skew_secs) in list(self.stopping.items()):
            code, took = node.process.poll(), time.monotonic() - since
            if code is None and took < STOP_SECS:
                continue
            del self.stopping[name]
            self.stage.expect(code is not None, f"{name} did not stop within {STOP_SECS} s")
            is_excused = self.is_excused() or self.away_until > since
            self.stage.expect(
                code in (0, None) or is_excused, f"a stop of {name} exited with {code}"
            )
            node.kill()
            self.revive(node, skew_secs)
        for node in self.stage.nodes:
            if node.name in self.busy:
                continue
            if node.process.poll() is None:
                if node.name not in self.ready and node.is_ready():
                    self.ready.add(node.name)
            else:
                was_ready = node.name in self.ready
                self.stage.expect(
                    not was_ready, f"{node.name} ended by itself with {node.process.returncode}"
                )
                self.ready.discard(node.name)
                node.spawn(self.skews[node.name])


def everything(arguments):
    """Plays it; the stage and what the rows say."""
    more = beside.settings(arguments) if arguments.mail else ""
    stage = Stage(arguments, has_standby=True, idle_secs=2, more=more)
    accounts = [stage.account(f"client{number}") for number in range(arguments.clients * 3 // 4)]
    tight = [
        stage.account(f"tight{number}", "0.05") for number in range(max(1, arguments.clients // 4))
    ]
    stage.clients = clients = Crowd(stage.cluster, accounts + tight, arguments)
    calendar = Everything(stage)
    if arguments.mail:
        journal = Path(arguments.folder, "mail.journal")
        stage.mails_before = 0
        if journal.exists():
            stage.mails_before = len(journal.read_text(encoding="utf-8").splitlines())
        payments, notices = beside.Payments(stage, accounts[:8]), beside.Notices(stage)
        payments.start()
        for part in (0.05, 0.4, 0.75):
            calendar.later(arguments.seconds * part, lambda: attempt(stage, notices.publish))
    for turn in range(1, arguments.seconds // 5):
        email = tight[turn % len(tight)][0]
        credit = ("account", "credit", email, "0.02", "--reference", f"{email}/{turn}", "--json")
        calendar.later(
            turn * 5, lambda credit=credit: attempt(stage, lambda: stage.cluster.command(*credit))
        )
    for thread in clients.threads:
        thread.start()
    calendar.run()
    clients.stop.set()
    calendar.restore()
    stage.cluster.heal()
    for thread in clients.threads:
        thread.join()
    if arguments.mail:
        stage.found += payments.prove()
        stage.found += notices.prove(sum(calendar.counts.values()) * len(stage.nodes))
    stage.facts |= calendar.counts
    return stage, stage.prove()


def attempt(stage, what):
    """Does what the operator would do; not where the database is away."""
    try:
        what()
    except RuntimeError as error:
        stage.facts["commands_refused"] += 1
        print(f"· {str(error)[:200]}", file=sys.stderr)
