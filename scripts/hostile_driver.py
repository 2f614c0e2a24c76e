"""Drives scripts/hostile: streams that are paid for, alone and beside an attack, and the proof at
the end. Python's standard library only.
"""

import argparse
import asyncio
import http.client
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

from driver.figures import say
from driver.load import Answer, Load
from driver.relay import MIB
from driver.server import Server

# What a pause of a stream may be longer than without the attack.
GAP_MS = 500
PACE_MS = 100
EVENTS = 80

SIZES = {
    # paying streams; seconds alone and beside the attack; connections and bodies at once of the
    # attack; MiB of memory and KiB of log at most; settings
    "small": {
        "paying": 12,
        "alone": 8,
        "seconds": 25,
        "idle": 600,
        "idle_addresses": 12,
        "idle_rate": 200,
        "slow": 8,
        "streams": 4,
        "large": 1,
        "large_pause": 0.2,
        "body_mib": 4,
        "memory_mib": 600,
        "log_kib": 256,
        "streams_max": 300,
        "idle_max": 100,
        "per_address": 100,
        "rates": {
            "sign-ups": 20,
            "resets": 20,
            "log-ins": 2,
            "wrong keys": 30,
            "claims": 5,
            "count_tokens": 5,
            "no credit": 20,
        },
    },
    "full": {
        "paying": 50,
        "alone": 60,
        "seconds": 600,
        "idle": 5000,
        "idle_addresses": 25,
        "idle_rate": 200,
        "slow": 50,
        "streams": 20,
        "large": 2,
        "large_pause": 1,
        "body_mib": 32,
        "memory_mib": 3000,
        "log_kib": 4096,
        "streams_max": 4000,
        "idle_max": 1024,
        "per_address": 512,
        "rates": {
            "sign-ups": 20,
            "resets": 20,
            "log-ins": 2,
            "wrong keys": 50,
            "claims": 10,
            "count_tokens": 5,
            "no credit": 20,
        },
    },
}
FREE = 10
# Streams that go straight to the upstream: what they meet is the machine's doing.
STRAIGHT = 4
STREAMS_OF_AN_ACCOUNT = 10


def settings_of(size):
    """The defaults, but for numbers of connections."""
    return {
        "server": {
            "max_streams": size["streams_max"],
            "idle_connections_max": size["idle_max"],
            "connections_max_per_address": size["per_address"],
            "probe_secs": 1,
        },
        "mail": {"folder": f"{os.getcwd()}/mail"},
    }


def account(server, name, usd=None):
    """A new account with some credit; its key."""
    email = f"{name}@example.org"
    server.command("account", "create", email, "--json")
    if usd:
        server.command("account", "credit", email, usd, "--reference", email, "--json")
    return server.command("key", "create", email, "--scopes", "inference,read,billing", "--json")[
        "key"
    ]


def readiness(server):
    """Whether clients get in, and what is said of it."""
    connection = http.client.HTTPConnection(server.admin, timeout=10)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    words = answer.read().decode().strip()
    connection.close()
    return answer.status == 200, words


class Stream(asyncio.Protocol):
    """A connection with one stream after another, and the longest time without a byte."""

    def __init__(self, load):
        self.load, self.answer, self.ended = load, None, None
        self.first = self.longest = 0.0

    def connection_made(self, transport):
        self.transport = transport

    def begin(self):
        self.answer, self.ended = Answer(), asyncio.get_running_loop().create_future()
        self.last, self.is_first = time.perf_counter(), True
        self.transport.write(self.load.request)
        return self.ended

    def data_received(self, data):
        if self.ended is None or self.ended.done():
            return
        now = time.perf_counter()
        gap, self.last = now - self.last, now
        if self.is_first:
            self.first, self.is_first = max(self.first, gap), False
        else:
            self.longest = max(self.longest, gap)
        try:
            self.answer.feed(data)
        except RuntimeError as error:
            self.ended.set_exception(error)
            return
        if self.answer.is_over:
            self.ended.set_result(None)

    def connection_lost(self, error):
        if self.ended and not self.ended.done():
            self.ended.set_exception(
                RuntimeError(f"cut after {len(self.answer.head)} bytes of head: {error}")
            )


class Paying:
    """Streams that follow one another: half of them on a connection that is kept, half each on one
    of its own.
    """

    def __init__(self, relay, keys, count):
        self.relay, self.keys, self.count = relay, keys, count
        self.streams, self.faults = 0, []
        self.first = self.longest = 0.0

    async def connect(self, load):
        loop, relay = asyncio.get_running_loop(), self.relay
        _, stream = await loop.create_connection(
            lambda: Stream(load), relay.host, relay.port, local_addr=("127.0.0.1", 0)
        )
        return stream

    async def one(self, number, until):
        script = f"text;events={EVENTS};bytes=20;output=100;pace_ms={PACE_MS}"
        load = Load(self.relay, self.keys[number // STREAMS_OF_AN_ACCOUNT], script)
        await asyncio.sleep(number * PACE_MS / 1000 / self.count)
        is_kept, stream = number % 2 == 0, None
        while time.monotonic() < until:
            try:
                if stream is None:
                    stream = await asyncio.wait_for(self.connect(load), 60)
                await asyncio.wait_for(stream.begin(), 300)
                self.streams += 1
            except (RuntimeError, OSError) as error:
                self.faults.append(f"{type(error).__name__} {error}")
            if stream:
                self.first, self.longest = (
                    max(self.first, stream.first),
                    max(self.longest, stream.longest),
                )
                if (
                    not is_kept
                    or stream.transport.is_closing()
                    or not stream.ended.done()
                    or stream.ended.exception()
                ):
                    stream.transport.abort()
                    stream = None
        if stream:
            stream.transport.abort()

    async def run(self, seconds):
        until = time.monotonic() + seconds
        await asyncio.gather(*(self.one(number, until) for number in range(self.count)))

    def figures(self):
        return {
            "streams": self.streams,
            "first_byte_longest_ms": round(self.first * 1e3),
            "gap_longest_ms": round(self.longest * 1e3),
            "faults": len(self.faults),
        }


class Watch:
    """The server's memory while something goes on, and whether it says that clients get in."""

    def __init__(self, server):
        self.server, self.words = server, []

    async def run(self):
        loop = asyncio.get_running_loop()
        while True:
            try:
                is_ready, words = await loop.run_in_executor(None, readiness, self.server)
            except OSError as error:
                is_ready, words = False, type(error).__name__
            if not is_ready:
                self.words.append(words)
            await asyncio.sleep(0.5)


class Upstream:
    """What `Load` asks of a relay, for requests that go past the server."""

    headers = ()

    def __init__(self, url):
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)


async def load(server, upstream, keys, count, seconds):
    """Streams that are paid for, and some that go straight to the upstream."""
    paying, straight = Paying(server.relay, keys, count), Paying(upstream, ["sandbox"], STRAIGHT)
    await asyncio.gather(paying.run(seconds), straight.run(seconds))
    return paying, straight


async def attacked(server, upstream, keys, plan, size):
    """The same streams beside the attack; they begin and end within it."""
    attack = await asyncio.create_subprocess_exec(
        sys.executable,
        "hostile_attack.py",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    talk = asyncio.ensure_future(attack.communicate(json.dumps(plan).encode()))
    watch = Watch(server)
    watching = asyncio.ensure_future(watch.run())
    try:
        both = await load(server, upstream, keys, size["paying"], plan["seconds"] - 10)
        out, _ = await asyncio.wait_for(talk, 120)
    finally:
        watching.cancel()
        if attack.returncode is None:
            attack.kill()
    if attack.returncode:
        raise RuntimeError(f"the attack ended with {attack.returncode}")
    return both, json.loads(out), watch.words


def judge(size, calm, beside, told, figures):
    """Everything that is not as promised, in words. What streams straight to the upstream wait for
    is not the server's.
    """
    (calm, _), (beside, straight) = calm, beside
    found = [f"a paying request: {fault}" for fault in (calm.faults + beside.faults)[:5]]
    if calm.faults or beside.faults:
        found.append(
            f"{len(calm.faults)} paying requests failed alone, "
            f"{len(beside.faults)} beside the attack"
        )
    for name in ("first", "longest"):
        more = (getattr(beside, name) - max(getattr(calm, name), getattr(straight, name))) * 1e3
        if more > GAP_MS:
            what = "time to the first byte" if name == "first" else "gap"
            found.append(f"the longest {what} grew by {more:.0f} ms")
    if figures["memory_peak_mib"] > size["memory_mib"]:
        found.append(f"{figures['memory_peak_mib']} MiB of memory, of {size['memory_mib']}")
    if figures["log_kib"] > size["log_kib"]:
        found.append(f"{figures['log_kib']} KiB of log, of {size['log_kib']}")
    kinds = {
        "slow first heads",
        "slow later heads",
        "slow bodies",
        "slow forms",
        "idle, one address",
        "idle, many addresses",
        "large",
        "event streams",
        *size["rates"],
    }
    found += [
        f"nothing came of the attack's {kind}"
        for kind in sorted(kinds)
        if not told["seen"].get(kind)
    ]
    return found


def close(server, found):
    """The end: no reservation is left, the books balance, and a stop in order says so."""
    deadline = time.monotonic() + 60
    report = server.books("after the attack")
    while report["open_reservations"] and time.monotonic() < deadline:
        time.sleep(0.5)
        report = server.books("after the attack")
    if report["open_reservations"]:
        found.append(f"{report['open_reservations']} reservations are open")
    if code := server.end(signal.SIGTERM):
        found.append(f"a stop in order exited with {code}")
    server.books("at rest")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("program", "database", "sandbox", "chains"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--seconds", type=int)
    arguments = parser.parse_args()
    size = SIZES[arguments.size]
    chains = Path(arguments.chains).read_text()
    server = Server(arguments, settings_of(size), chains)
    paying = [
        account(server, f"paying{number}", "1000")
        for number in range(-(-size["paying"] // STREAMS_OF_AN_ACCOUNT))
    ]
    free = [account(server, f"free{number}") for number in range(FREE)]
    # Who has no credit is refused before his body is read; a tenth of a cent buys the right to be
    # read.
    poor = [account(server, f"poor{number}", "0.001") for number in range(FREE)]
    server.start()
    plan = {
        name: size[name]
        for name in (
            "rates",
            "idle",
            "idle_addresses",
            "idle_rate",
            "slow",
            "streams",
            "large",
            "large_pause",
        )
    }
    plan |= {
        "host": server.relay.host,
        "port": server.relay.port,
        "free": free,
        "poor": poor,
        "body_bytes": size["body_mib"] * MIB - 4096,
        "seconds": arguments.seconds or size["seconds"],
        "chain": re.search(r'^name = "(.*)"', chains, re.M)[1],
    }

    upstream = Upstream(arguments.sandbox)
    say("streams alone")
    calm = asyncio.run(load(server, upstream, paying, size["paying"], size["alone"]))
    memory, log = server.relay.peak(), os.path.getsize("sluice.log")
    say(f"{json.dumps(calm[0].figures())}; the attack begins, for {plan['seconds']} s")
    beside, told, unready = asyncio.run(attacked(server, upstream, paying, plan, size))
    figures = {
        "alone": calm[0].figures(),
        "beside": beside[0].figures(),
        "straight_alone": calm[1].figures(),
        "straight_beside": beside[1].figures(),
        "memory_alone_mib": memory // MIB,
        "memory_peak_mib": server.relay.peak() // MIB,
        "log_kib": (os.path.getsize("sluice.log") - log) // 1024,
        "unready": sorted(set(unready)),
        "most_idle": told["most_idle"],
        "attack": told["seen"],
        "connections": {
            name: value
            for name, value in server.metrics().items()
            if name.startswith("sluice_connections")
        },
        "processors": os.cpu_count(),
    }
    found = judge(size, calm, beside, told, figures)
    found += [f"not ready: {words}" for words in figures["unready"]]
    is_ready, words = readiness(server)
    if not is_ready:
        found.append(f"not ready afterwards: {words}")
    close(server, found)
    print(json.dumps(figures, indent=1))
    for line in found:
        print("VIOLATION", line)
    if found:
        print(Path("sluice.log").read_text()[-3000:], file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
