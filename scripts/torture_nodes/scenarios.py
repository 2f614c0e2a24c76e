"""The scenarios of what goes wrong with time, each by itself. `reviews` of several nodes found the
first program to fail in each of them.
"""

import subprocess
import time

from .contention import contention
from .cost import cost
from .processes import start, wait_until
from .stage import BYTES_PER_TOKEN, Load, Prober, taking

LEASE = 30
RENEWAL = 10
# Of output, from the first usage on: `counted_output_tokens` of 3.5 bytes.
HELD_BYTES = 1536 * BYTES_PER_TOKEN


def commitlost(stage):
    """A reservation's commit lands, its answer is lost, and its node is away for longer than its
    lease. Others settle it; it must not be opened again, and no node may stumble over it, neither
    that one nor its successor.
    """
    node, *others = stage.nodes
    mine, other = stage.account("mine"), stage.account("other")
    stage.ask_until_whole(mine, node)
    prober = Prober(stage, other, others[0].port)
    node.command("cut-and-refuse")
    cut = stage.begin(mine, node, secs=1)
    wait_until("a commit is cut", lambda: node.command("caught") == "1")
    wait_until("the commit has landed", lambda: stage.cluster.open_reservations() > 0, 10)
    with taking(stage.facts, "settled_secs"):
        wait_until("another node has settled it", lambda: "E12" in stage.endings(), 120, pause=0.5)
    # It comes back in the middle of whatever it does.
    time.sleep(stage.dice.uniform(0, 5))
    node.command("normal")
    cut.end()
    with taking(stage.facts, "back_secs"):
        stage.ask_until_whole(mine, node)
    stage.facts["median_ms"] = round(1000 * stage.median_secs(mine, node))
    stage.expect(
        stage.facts["median_ms"] < 1000, f"answers take {stage.facts['median_ms']} ms afterwards"
    )
    lines = len(node.log().splitlines())
    time.sleep(RENEWAL + 2)
    lines = len(node.log().splitlines()) - lines
    stage.expect(lines < 10, f"{lines} lines of trouble in 12 s")
    stage.leases_run("after the cut", stage.nodes)
    node.kill()
    with taking(stage.facts, "start_secs"):
        node.start()
    time.sleep(LEASE + 10)
    stage.leases_run("after the kill", stage.nodes)
    stage.ask_until_whole(mine, node)
    stage.facts["longest_of_others_secs"] = round(prober.longest(), 1)
    stage.expect(stage.facts["longest_of_others_secs"] < 10, "others had no answer for that long")


def lockstall(stage):
    """A node is stopped inside a transaction that has an account's row. Other accounts do not
    notice, and that one has to wait only until the database ends the idle transaction.
    """
    node, *others = stage.nodes
    hot, cold = stage.account("hot"), stage.account("cold")
    for one in stage.nodes:
        stage.ask_until_whole(hot, one)
    node.command("hold")
    held = stage.begin(hot, node, secs=1)
    wait_until("a commit is held", lambda: node.command("caught") == "1")
    node.pause()
    unrelated = [Prober(stage, cold, other.port) for other in others]
    locked = Prober(stage, hot, others[-1].port)
    time.sleep(stage.dice.uniform(20, LEASE - 2))
    for prober, name, most in [
        (unrelated[0], "cold_secs", 5),
        (unrelated[-1], "cold_too_secs", 5),
        (locked, "hot_secs", 15),
    ]:
        stage.facts[name] = round(prober.longest(), 1)
        stage.expect(stage.facts[name] < most, f"{name}: no whole answer for {stage.facts[name]}")
    node.go_on()
    node.command("normal")
    held.end()
    stage.ask_until_whole(hot, node)


def outage(stage):
    """PostgreSQL is away for longer than a lease under running streams. Nobody is taken for dead:
    they run on and end whole, also those that need a larger hold afterwards.
    """
    secs = stage.dice.uniform(LEASE + 5, 2 * LEASE)
    accounts = [stage.account(f"reader{number}") for number in range(5)]
    # The last third of them outgrows what is held at first, but not before the database is back.
    growing = round(HELD_BYTES * 0.7 / (secs + 5) / 10)
    streams = [
        stage.begin(
            accounts[number % 5],
            stage.nodes[number % len(stage.nodes)],
            secs=secs + 60,
            size=3 if number < 16 else growing,
        )
        for number in range(25)
    ]
    wait_until("all streams run", lambda: stage.cluster.open_reservations() == 25, 30)
    time.sleep(3)
    stage.cluster.primary.stop(stage.dice.random() < 0.5)
    stage.facts["outage_secs"] = round(secs)
    time.sleep(secs)
    stage.cluster.primary.start()
    with taking(stage.facts, "back_secs"):
        stage.ask_until_whole(accounts[0])
    stage.all_whole(streams, "streams beside an outage")
    stage.expect("E12" not in stage.endings(), f"living streams were settled: {stage.endings()}")


def frozen(stage):
    """A node's connections to the database are forgotten without a word; new ones work. It says so,
    and helps itself.
    """
    node = stage.nodes[0]
    direct, balanced = stage.account("direct"), stage.account("balanced")
    stage.ask_until_whole(direct, node)
    streams = [stage.begin(direct, node, secs=20) for _ in range(5)]
    time.sleep(1)
    prober = Prober(stage, balanced, stage.cluster.port)
    node.command("silence")
    began = time.monotonic()
    lost = stage.begin(direct, node, secs=0.5)
    readiness = set()
    while not (503 in readiness or lost.result):
        readiness.add(node.readiness(timeout=10))
        stage.expect(time.monotonic() - began < 60, "/readyz says 200, and nothing is answered")
        if stage.found:
            break
    stage.facts["told_secs"] = round(time.monotonic() - began, 1)
    with taking(stage.facts, "back_secs"):
        stage.ask_until_whole(direct, node)
    lost.end()
    for stream in streams:
        stream.end()
    stage.facts["longest_of_all_secs"] = round(prober.longest(), 1)
    stage.expect(
        stage.facts["longest_of_all_secs"] < 60, "no answer by way of the balancer for that long"
    )
    wait_until("ready again", node.is_ready, 60)


def paused(stage):
    """A node is stopped for longer than its lease under running streams. Its holds are released and
    spent elsewhere; when it wakes, what can be paid for goes on to its end, and nobody's balance is
    below zero.
    """
    node, other = stage.nodes[:2]
    secs = stage.dice.uniform(LEASE + 10, LEASE + 25)
    rich = stage.account("rich")
    tight = [stage.account(f"tight{number}", "0.03") for number in range(4)]
    plain = [stage.begin(rich, node, secs=secs + 25) for _ in range(5)]
    growing = [stage.begin(rich, node, secs=secs + 25, size=60) for _ in range(3)]
    # These would be at their end while the node sleeps.
    short = [stage.begin(rich, node, secs=8) for _ in range(3)]
    firsts = [stage.begin(account, node, secs=secs + 15, size=25) for account in tight[:2]]
    firsts += [stage.begin(account, node, secs=8, size=60) for account in tight[2:]]
    wait_until("all streams run", lambda: stage.cluster.open_reservations() == 15, 30)
    time.sleep(4)
    node.pause()
    began = time.monotonic()
    wait_until("all are settled", lambda: stage.cluster.open_reservations() == 0, 90, pause=0.5)
    stage.facts["settled_secs"] = round(time.monotonic() - began, 1)
    # Nearly all that was released: by streams that run on, and by some that have ended before the
    # node wakes.
    seconds = [stage.begin(account, other, secs=secs, size=40) for account in tight[:2]]
    seconds += [stage.begin(account, other, secs=2, size=900) for account in tight[2:]]
    time.sleep(max(0, began + secs - time.monotonic()))
    node.go_on()
    # Whoever asks at once is not taken for dead.
    at_once = [stage.begin(rich, node, secs=3) for _ in range(5)]
    stage.all_whole(plain, "plain streams")
    stage.all_whole(growing, "streams that need a larger hold")
    stage.all_whole(short, "streams that had ended")
    stage.all_whole(at_once, "streams right after it")
    for request in firsts + seconds:
        request.end()
    stage.facts["paused_secs"] = round(secs)


def skew(stage):
    """A node's clock is wrong by up to 25 s. Nobody notices; one that is wrong by more than a
    minute does not start.
    """
    node = stage.nodes[0]
    off = (
        stage.dice.choice([-25, 25, -10, 10])
        if stage.arguments.seed > 2
        else 25 * (-1) ** stage.arguments.seed
    )
    stage.facts["skew_secs"] = off
    stage.expect(node.stop() == 0, "the stop failed")
    node.start(skew_secs=off)
    rich = stage.account("rich")
    streams = [
        stage.begin(
            rich, stage.nodes[number % len(stage.nodes)], secs=45, size=10 if number < 9 else 60
        )
        for number in range(12)
    ]
    # Each affords one at a time.
    tight = [stage.account(f"tight{number}", "0.018") for number in range(2)]
    time.sleep(2)
    races = [stage.begin(account, one, secs=40) for account in tight for one in stage.nodes]
    stage.all_whole(streams, "streams")
    for race in races:
        race.end()
    stage.expect("E12" not in stage.endings(), f"living streams were settled: {stage.endings()}")
    stage.leases_run("with a wrong clock", stage.nodes)
    stage.expect(node.stop() == 0, "the stop failed")
    for wrong in (90, -90):
        node.spawn(skew_secs=wrong)
        try:
            code = node.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            code = 0
            node.kill()
        stage.expect(code != 0, f"it started with a clock that is {wrong} s off")
    node.start()


def fence(stage):
    """A node wakes just when others take it for dead, which are slow. Nothing is settled twice or
    under its feet.
    """
    node, *others = stage.nodes
    rich = stage.account("rich")
    tight = [stage.account(f"tight{number}", "0.03") for number in range(2)]
    for turn in range(3):
        streams = [stage.begin(rich, node, secs=LEASE + 20, size=30) for _ in range(20)]
        races = [stage.begin(account, node, secs=LEASE + 15, size=20) for account in tight]
        wait_until("all streams run", lambda: stage.cluster.open_reservations() >= 20, 30)
        node.pause()
        began = time.monotonic()
        time.sleep(LEASE - 12)
        millis = stage.dice.choice([50, 150, 300])
        for other in others:
            other.command("delay", millis)
        time.sleep(began + stage.dice.uniform(LEASE - 10, LEASE + 8) - time.monotonic())
        node.go_on()
        races += [stage.begin(account, others[-1], secs=3, size=20) for account in tight]
        time.sleep(5)
        for other in others:
            other.command("normal")
        stage.all_whole(streams, f"streams of turn {turn}")
        for race in races:
            race.end()
    held_erasure(stage)


def held_erasure(stage):
    """Accounts that are to be erased are locked by somebody for longer than a lease; the leases are
    renewed all the same.
    """
    for number in range(16):
        email, _ = stage.account(f"leaver{number}", None)
        stage.cluster.command("account", "delete", email, "--json")
    primary = stage.cluster.primary
    which = "email LIKE 'leaver%'"
    primary.ask(f"UPDATE accounts SET closing_at = 1 WHERE {which}")
    holder = start(
        [
            "psql",
            primary.url(),
            "-qc",
            f"BEGIN; SELECT id FROM accounts WHERE {which} FOR UPDATE;"
            f" SELECT pg_sleep({LEASE + 15})",
        ],
        "holder.log",
    )
    while holder.poll() is None:
        stage.leases_run("while erasure is held up", stage.nodes, least=3)
        time.sleep(1)
    left = f"SELECT count(*) FROM accounts WHERE {which}"
    wait_until("they are erased", lambda: primary.ask(left) == [["0"]], 120, pause=1)


def failover(stage):
    """The primary is killed under 32 streams a second, its synchronous standby promoted. No settled
    charge is lost, and service comes back without a restart.
    """
    accounts = [stage.account(f"reader{number}") for number in range(16)]
    secs = stage.arguments.seconds
    long = [stage.begin(account, secs=secs + 10) for account in accounts[:8]]
    load = Load(stage, accounts, 32)
    time.sleep(secs * stage.dice.uniform(0.3, 0.5))
    stage.facts["whole_before"] = len(stage.clients.whole)
    promoted = stage.cluster.fail_over()
    time.sleep(max(20, secs / 2))
    ends = [one.ended for one in load.end() if one.result == "whole" and one.began > promoted]
    for stream in long:
        stream.end()
    stage.facts["back_secs"] = round(min(ends) - promoted, 1) if ends else 999
    stage.expect(stage.facts["back_secs"] < 15, "no whole answer within 15 s of the promotion")
    stage.expect(all(node.process.poll() is None for node in stage.nodes), "a node ended")


SCENARIOS = {
    "commitlost": commitlost,
    "lockstall": lockstall,
    "outage": outage,
    "frozen": frozen,
    "paused": paused,
    "skew": skew,
    "fence": fence,
    "failover": failover,
    "cost": cost,
    "contention": contention,
}
