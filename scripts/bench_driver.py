"""Drives a relay with HTTP load and reads what the relay's process spent. `scripts/bench` runs it.

It only ever talks to addresses it is given, and needs nothing beyond Python. What it measures is
explained in docs/performance.md; the requests say in `metadata.user_id` how the sandbox is to
answer.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import time
from pathlib import Path

from driver.figures import percentile, time_to_sync
from driver.load import Load, ask, closed, opened, opened_out_of_step, time_to_first_byte
from driver.relay import MIB, Kernel, Relay

SIZES = {
    # rounds of each test; calls and streams of one round; requests one at a time
    "smoke": {
        "rounds": 1,
        "calls": 64,
        "bursts": 4,
        "burst_events": 500,
        "paced": 10,
        "paced_seconds": 1,
        "held": 20,
        "long_mb": 2,
        "one_by_one": 20,
    },
    "quick": {
        "rounds": 6,
        "calls": 1000,
        "bursts": 8,
        "burst_events": 20_000,
        "paced": 200,
        "paced_seconds": 3,
        "held": 500,
        "long_mb": 50,
        "one_by_one": 300,
    },
    "full": {
        "rounds": 10,
        "calls": 5000,
        "bursts": 16,
        "burst_events": 50_000,
        "paced": 200,
        "paced_seconds": 10,
        "held": 2000,
        "long_mb": 50,
        "one_by_one": 5000,
    },
}
CONCURRENT_CALLS = 32


class Bench:
    """The tests. Each returns figures as {name: {relay: value}}."""

    def __init__(self, relays, key, size, disk, kernel):
        self.relays, self.key, self.size, self.disk = relays, key, size, disk
        self.kernel = kernel

    async def rounds(self, measure):
        """Medians over rounds. The relays take turns, and turns at being first: A B, B A, A B…

        The ratio is the median of the rounds' own ratios, so that a machine that is slow for a
        while is slow for both.
        """
        values = {relay.name: [] for relay in self.relays}
        order = list(self.relays)
        for _ in range(self.size["rounds"]):
            for relay in order:
                values[relay.name].append(await measure(relay))
            order.reverse()
        figures = {name: statistics.median(each) for name, each in values.items()}
        pairs = zip(values["nginx"], values["sluice"], strict=True)
        ratios = [sluice / nginx for nginx, sluice in pairs]
        return figures | {"ratio": statistics.median(ratios), "rounds": values}

    async def warm(self, relay):
        await ask(Load(relay, self.key, "text;events=10", stream=False), 32, 8)
        await ask(Load(relay, self.key, "text;events=10"), 32, 8)

    async def cpu(self):
        for relay in self.relays:
            await self.warm(relay)
        return {
            "cpu_json_call_us": await self.rounds(self.json_call),
            "cpu_burst_event_us": await self.rounds(self.burst_event),
            "cpu_paced_event_us": await self.rounds(self.paced_event),
            "cpu_fast_event_us": await self.rounds(self.fast_event),
        }

    async def json_call(self, relay):
        load = Load(relay, self.key, "text;events=20;bytes=20", stream=False)
        before = relay.cpu()
        await ask(load, self.size["calls"], CONCURRENT_CALLS)
        return (relay.cpu() - before) / self.size["calls"] * 1e6

    async def burst_event(self, relay):
        streams, events = self.size["bursts"], self.size["burst_events"]
        load = Load(relay, self.key, f"text;events={events};bytes=20;output=100")
        before = relay.cpu()
        await ask(load, streams, streams)
        self.expect_whole(load, streams * events)
        return (relay.cpu() - before) / (streams * events) * 1e6

    @staticmethod
    def expect_whole(load, events):
        """What is cut between two reads is not counted, so a few may be missing."""
        if load.events < 0.9 * events:
            raise RuntimeError(f"{load.events} events have come, of {events}")

    async def paced_event(self, relay):
        return await self.running_event(relay, self.size["paced"], pace_ms=20)

    async def fast_event(self, relay):
        return await self.running_event(relay, max(1, self.size["paced"] // 20), pace_ms=1)

    async def running_event(self, relay, streams, pace_ms):
        """Microseconds for one event of streams that are already running."""
        seconds = self.size["paced_seconds"]
        # Longer than the test, so that none ends meanwhile.
        events = (seconds + 20) * 1000 // pace_ms
        load = Load(relay, self.key, f"text;events={events};bytes=20;output=100;pace_ms={pace_ms}")
        clients = await opened_out_of_step(load, streams)
        # What it costs to open a stream is in the other figures.
        await asyncio.sleep(0.5)
        before, load.events = relay.cpu(), 0
        await asyncio.sleep(seconds)
        figure = (relay.cpu() - before) / load.events * 1e6
        await closed(clients)
        return figure

    async def held(self, prompt_bytes):
        figures = {}
        for relay in self.relays:
            await self.warm(relay)
            load = Load(
                relay,
                self.key,
                "text;events=100;bytes=20;output=100;pace_ms=2000",
                prompt="x" * prompt_bytes,
            )
            before = relay.memory()
            clients = await opened(load, self.size["held"])
            await asyncio.sleep(3)
            figures[relay.name] = (relay.memory() - before) / self.size["held"] / 1024
            await closed(clients)
        return figures

    async def small_prompt(self):
        return {"memory_stream_64b_kib": await self.held(64)}

    async def large_prompt(self):
        return {"memory_stream_100kb_kib": await self.held(100_000)}

    async def length(self, megabytes):
        figures = {}
        for relay in self.relays:
            await self.warm(relay)
            load = Load(relay, self.key, f"text;events={megabytes * 1000};bytes=1000;output=100")
            before = relay.memory()
            relay.forget_peak()
            await ask(load, 10, 10)
            self.expect_whole(load, 10 * megabytes * 1000)
            figures[relay.name] = max(0, relay.peak() - before) / MIB
        return figures

    async def short_answer(self):
        return {"peak_short_answer_mib": await self.length(1)}

    async def long_answer(self):
        return {"peak_long_answer_mib": await self.length(self.size["long_mb"])}

    async def first_byte(self):
        """Milliseconds to the first byte of the body, one request at a time, the relays in turn."""
        times = {relay.name: [] for relay in self.relays}
        syncs = []
        wires = []
        for relay in self.relays:
            await self.warm(relay)
            load = Load(relay, self.key, "text;events=1;bytes=20")
            wire = socket.create_connection((relay.host, relay.port))
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wires.append((relay.name, wire, load.request))
        file = os.open(Path(self.disk) / "fdatasync", os.O_CREAT | os.O_WRONLY)
        for _ in range(self.size["one_by_one"]):
            for name, wire, request in wires:
                # Each request comes after the same pause of the processor.
                syncs.append(time_to_sync(file, len(syncs)) * 1e3)
                times[name].append(time_to_first_byte(wire, request) * 1e3)
        os.close(file)
        figures = {}
        for rank in (50, 99):
            figures[f"first_byte_p{rank}_ms"] = {
                name: percentile(each, rank) for name, each in times.items()
            }
            figures[f"fdatasync_p{rank}_ms"] = percentile(syncs, rank)
        return figures

    async def many_streams(self, total):
        """Memory of Sluice after each tenth of so many streams, every third of them left early."""
        relay = self.relays[1]
        whole = Load(relay, self.key, "text;events=20;bytes=20")
        left_early = Load(relay, self.key, "text;events=20;bytes=20;pace_ms=20")
        memory = [relay.memory()]
        for _ in range(10):
            for _ in range(0, total // 10, 75):
                clients = await opened(left_early, 25)
                for client in clients:
                    client.transport.abort()
                await ask(whole, 50, 25, rest=0)
            # Until the last ones that were left early are settled.
            await asyncio.sleep(2)
            memory.append(relay.memory())
            print(f"{relay.name}: {memory[-1] / MIB:.1f} MiB", file=sys.stderr)
        # Caches fill in the beginning. From the middle on, nothing may grow.
        growth = memory[10] - memory[5]
        if growth > 2 * MIB:
            raise RuntimeError(
                f"grew by {growth / MIB:.1f} MiB over the last half of {total} streams"
            )
        return {"many_streams_mib": [each / MIB for each in memory]}

    async def stalled(self, count, stall_seconds, key):
        """What clients cost that ask for 100 MB each and read none of it, and what others
        notice.
        """
        relay, kernel = self.relays[1], self.kernel
        others = Load(relay, self.key, 20, upstream="hose")
        await ask(others, 200, 20)
        alone = await self.seconds(ask(others, 400, 20, rest=0))
        before = relay.memory(), kernel.memory()
        load = Load(relay, key, 100_000, upstream="hose")
        wires = []
        for _ in range(count):
            wires.append(socket.create_connection((relay.host, relay.port)))
            wires[-1].sendall(load.request)
            await asyncio.sleep(0.001)
        started = time.perf_counter()
        filling = await self.seconds(ask(others, 400, 20, rest=0))
        costs = []
        # The most that they cost at any time, until the first are let go.
        while not costs or time.perf_counter() - started < stall_seconds / 2:
            await asyncio.sleep(0.5)
            costs.append((relay.memory() - before[0], kernel.memory() - before[1]))
        steady = await self.seconds(ask(others, 400, 20, rest=0))
        held = kernel.open_clients()
        if held < count:
            raise RuntimeError(f"only {held} of {count} clients are held")
        late = stall_seconds + 30
        while kernel.open_clients():
            if time.perf_counter() - started > late:
                raise RuntimeError(f"{kernel.open_clients()} clients are held after {late} s")
            await asyncio.sleep(0.2)
        gone = time.perf_counter() - started
        for wire in wires:
            self.expect_cut(wire)
        process, sockets = max(costs, key=sum)
        each = (process + sockets) / count / 1024
        print(
            f"{count} clients that do not read cost {each:.0f} KiB each at most: "
            f"{process / count / 1024:.0f} KiB "
            f"in the process, {sockets / count / 1024:.0f} KiB in the kernel; all were let go "
            f"{gone:.1f} s after the last request, of {stall_seconds} s allowed. "
            f"400 streams of others took {alone:.2f} s before, {filling:.2f} s while they "
            f"filled up and "
            f"{steady:.2f} s beside them."
        )
        if each >= 1024:
            raise RuntimeError("a client that does not read costs 1 MiB or more")
        return {
            "stalled_kib": each,
            "stalled_process_kib": process / count / 1024,
            "stalled_sockets_kib": sockets / count / 1024,
            "stalled_let_go_s": gone,
        }

    @staticmethod
    async def seconds(work):
        began = time.perf_counter()
        await work
        return time.perf_counter() - began

    @staticmethod
    def expect_cut(wire):
        """Reads what is there: it must be the beginning of an answer, and a broken connection."""
        wire.settimeout(10)
        tail = b""
        try:
            while data := wire.recv(1 << 20):
                tail = (tail + data)[-5:]
        except ConnectionResetError:
            return
        if tail == b"0\r\n\r\n":
            raise RuntimeError("a client that did not read was told that its answer is whole")


ROWS = [
    # figure, what it is, unit, at most so many times nginx's (or None)
    ("cpu_json_call_us", "CPU per JSON call", "µs", 6.0),
    ("cpu_burst_event_us", "CPU per SSE event, burst of 64 KiB pieces", "µs", 1.8),
    ("cpu_fast_event_us", "CPU per SSE event, 1,000 events/s a stream", "µs", None),
    ("cpu_paced_event_us", "CPU per SSE event, 50 events/s a stream", "µs", 1.3),
    ("memory_stream_64b_kib", "memory per open stream, 64 B prompt", "KiB", None),
    ("memory_stream_100kb_kib", "memory per open stream, 100 KB prompt", "KiB", None),
    ("peak_short_answer_mib", "growth at peak, 10 answers of 1 MB", "MiB", None),
    ("peak_long_answer_mib", "growth at peak, 10 answers of {long_mb} MB", "MiB", None),
    ("first_byte_p50_ms", "time to first byte, one at a time, p50", "ms", None),
    ("first_byte_p99_ms", "time to first byte, one at a time, p99", "ms", None),
]


def report(figures, size):
    lines = ["| figure | nginx | Sluice | ratio | goal |", "|---|---:|---:|---:|---|"]
    for name, title, unit, most in ROWS:
        nginx, sluice = figures[name]["nginx"], figures[name]["sluice"]
        ratio = figures[name].get("ratio") or (sluice / nginx if nginx else None)
        ratio = f"{ratio:.2f} ×" if ratio else "–"
        goal = ""
        if most:
            goal = f"≤ {most:g} ×"
        elif name.startswith("memory"):
            goal = "≤ 40 KiB"
        lines.append(
            f"| {title.format(**size)} | {nginx:.2f} {unit} | {sluice:.2f} {unit} "
            f"| {ratio} | {goal} |"
        )
    for rank, most in ((50, 1), (99, 5)):
        first = figures[f"first_byte_p{rank}_ms"]
        sync = figures[f"fdatasync_p{rank}_ms"]
        lines.append(
            f"| added to first byte, p{rank} (fdatasync {sync:.2f} ms) | | "
            f"{first['sluice'] - first['nginx']:.2f} ms | "
            f"| ≤ {most} ms + fdatasync = {most + sync:.2f} ms |"
        )
    return "\n".join(lines)


TESTS = ["small_prompt", "large_prompt", "short_answer", "long_answer", "first_byte", "cpu"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("test", choices=[*TESTS, "many_streams", "stalled", "report"])
    parser.add_argument("--streams", type=int, help="how many, of many_streams")
    parser.add_argument("--clients", type=int, help="how many, of stalled")
    parser.add_argument("--stall-seconds", type=int, help="server.client_stall_secs, of stalled")
    parser.add_argument("--stalled-key", help="API key of the clients that stall")
    parser.add_argument("--upstream", help="URL of what the relays ask")
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument(
        "--results", type=Path, required=True, help="JSON file that figures are added to"
    )
    parser.add_argument("--key", help="API key for every relay")
    parser.add_argument("--disk", help="folder whose fdatasync is measured")
    parser.add_argument("--nginx", help="URL,PID")
    parser.add_argument("--sluice", help="URL,PID")
    options = parser.parse_args()
    size = SIZES[options.size]
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    if options.test == "report":
        print(report(results, size))
        return
    relays = [Relay("nginx", options.nginx), Relay("sluice", options.sluice)]
    kernel = Kernel(relays[1], options.upstream) if options.test == "stalled" else None
    bench = Bench(relays, options.key, size, options.disk, kernel)
    results["size"] = options.size
    arguments = {
        "many_streams": [options.streams],
        "stalled": [options.clients, options.stall_seconds, options.stalled_key],
    }.get(options.test, [])
    try:
        results |= asyncio.run(getattr(bench, options.test)(*arguments))
    except RuntimeError as error:
        sys.exit(f"{options.test}: {error}")
    options.results.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
