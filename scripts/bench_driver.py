"""Drives a relay with HTTP load and reads what the relay's process spent. `scripts/bench` runs it.

It only ever talks to addresses it is given, and needs nothing beyond Python 3.9. What it measures is
explained in docs/performance.md; the requests say in `metadata.user_id` how the sandbox is to answer.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

SIZES = {
    # rounds of each test; calls and streams of one round; requests one at a time
    "smoke": dict(rounds=1, calls=64, bursts=4, burst_events=500, paced=10, paced_seconds=1,
                  held=20, long_mb=2, one_by_one=20),
    "quick": dict(rounds=6, calls=1000, bursts=8, burst_events=20_000, paced=200, paced_seconds=3,
                  held=500, long_mb=50, one_by_one=300),
    "full": dict(rounds=10, calls=5000, bursts=16, burst_events=50_000, paced=200, paced_seconds=10,
                 held=2000, long_mb=50, one_by_one=5000),
}
CONCURRENT_CALLS = 32
MIB = 1 << 20


class Relay:
    """A process that listens at an address, with the children it works with."""

    def __init__(self, name, value):
        url, pid = value.rsplit(",", 1)
        self.name = name
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self.pids = [int(pid), *map(int, children)]

    def cpu(self):
        """Seconds of processor time so far, of all threads, those that ended included."""
        # The clock that clock_getcpuclockid(3) would name: nanoseconds, where /proc/PID/stat has ticks.
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self.pids)

    def memory(self):
        """Bytes resident; what several processes share counts in parts, as far as we may see it."""
        try:
            return sum(self._kilobytes(pid, "smaps_rollup", "Pss:") for pid in self.pids)
        except PermissionError:
            # A process that forbids dumps shows its mappings to root alone.
            return sum(self._kilobytes(pid, "status", "VmRSS:") for pid in self.pids)

    def peak(self):
        """Bytes resident at most since `forget_peak`."""
        return sum(self._kilobytes(pid, "status", "VmHWM:") for pid in self.pids)

    def forget_peak(self):
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    @staticmethod
    def _kilobytes(pid, file, field):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"/proc/{pid}/{file} has no {field}")


class Kernel:
    """What the kernel holds for a relay: the memory of its sockets to clients and upstream."""

    def __init__(self, relay, upstream):
        to_clients, to_upstream = f"sport = :{relay.port}", f"dport = :{upstream.rsplit(':', 1)[1]}"
        self.clients, self.both = f"( {to_clients} )", f"( {to_clients} or {to_upstream} )"

    def memory(self):
        """Bytes received and not read, written and not acknowledged, with what their storage costs."""
        # r: received, f: allotted ahead, w: to be sent, o: options, bl: backlog.
        fields = re.findall(r"\b(r|f|w|o|bl)(\d+)\b", " ".join(
            line for line in self._list("-m", self.both) if "skmem:" in line))
        return sum(int(size) for _, size in fields)

    def open_clients(self):
        return len(self._list("", self.clients))

    @staticmethod
    def _list(option, which):
        command = ["ss", "-tnH", "-O", *filter(None, [option]), "state", "connected", which]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()


class Load:
    """What one test sends, and how much came back."""

    def __init__(self, relay, key, script, prompt="Hello", stream=True, upstream="sandbox"):
        body = json.dumps({
            "model": "claude-haiku-4-5", "max_tokens": 1000, "stream": stream,
            "metadata": {"user_id": f"{upstream}:{script}"},
            "messages": [{"role": "user", "content": prompt}],
        }).encode()
        head = (f"POST /v1/messages HTTP/1.1\r\nhost: {relay.host}:{relay.port}\r\nx-api-key: {key}\r\n"
                "anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n")
        self.relay = relay
        self.request = head.encode() + body
        self.events = 0


class Answer:
    """Finds the end of one answer in the bytes of its connection; reads nothing else of it."""

    def __init__(self):
        self.head = b""
        self.tail = b""
        self.left = None
        self.has_body = False
        self.is_over = False

    def feed(self, data):
        if self.tail == b"":
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"refused: {self.head[:1000].decode(errors='replace')}")
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    self.left = int(line[15:])
            self.head = head
            self.tail = end
        self.has_body |= bool(data)
        if self.left is not None:
            self.left -= len(data)
            self.is_over = self.left == 0
        else:
            # The sandbox ends lines with LF, so that only the last chunk looks like this.
            self.tail = (self.tail + data)[-5:]
            self.is_over = self.tail == b"0\r\n\r\n"


class Client(asyncio.Protocol):
    """A connection that makes its load's request as often as it is told, one after another."""

    @classmethod
    async def connect(cls, load):
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(cls, load.relay.host, load.relay.port)
        client.load = load
        return client

    def connection_made(self, transport):
        self.transport = transport
        self.answer = self.began = self.ended = None
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self):
        loop = asyncio.get_running_loop()
        self.answer, self.began, self.ended = Answer(), loop.create_future(), loop.create_future()
        self.transport.write(self.load.request)

    def data_received(self, data):
        self.load.events += data.count(b"event: ")
        try:
            self.answer.feed(data)
        except RuntimeError as error:
            self.fail(error)
            return
        if self.answer.has_body and not self.began.done():
            self.began.set_result(None)
        if self.answer.is_over:
            self.ended.set_result(None)

    def connection_lost(self, error):
        self.fail(RuntimeError(f"the connection was closed early: {error}"))

    def fail(self, error):
        for future in (self.began, self.ended):
            if future and not future.done():
                future.set_exception(error)
                future.exception()  # whoever awaits it still sees it


async def ask(load, requests, concurrent, rest=0.3):
    """Makes so many requests over so many connections, and awaits every answer's end."""
    left = iter(range(requests))

    async def one_connection():
        client = await Client.connect(load)
        for _ in left:
            client.send()
            await client.ended
        client.transport.abort()

    await asyncio.gather(*(one_connection() for _ in range(min(concurrent, requests))))
    # What a relay does after the last byte belongs to the bill too.
    await asyncio.sleep(rest)


async def opened(load, count):
    """So many streams that have begun; the caller closes them."""
    clients = []
    while len(clients) < count:
        batch = [await Client.connect(load) for _ in range(min(50, count - len(clients)))]
        for client in batch:
            client.send()
        await asyncio.gather(*(client.began for client in batch))
        clients += batch
    return clients


async def closed(clients):
    for client in clients:
        client.transport.abort()
    await asyncio.sleep(1)


async def opened_out_of_step(load, count):
    """The same, with the events of each stream at another moment than its neighbours'."""
    clients = [await Client.connect(load) for _ in range(count)]
    for client in clients:
        client.send()
        await asyncio.sleep(0.0021)
    await asyncio.gather(*(client.began for client in clients))
    return clients


class Bench:
    """The tests. Each returns figures as {name: {relay: value}}."""

    def __init__(self, relays, key, size, disk, kernel):
        self.relays, self.key, self.size, self.disk = relays, key, size, disk
        self.kernel = kernel

    async def rounds(self, measure):
        """Medians over rounds. The relays take turns, and turns at being first: A B, B A, A B…

        The ratio is the median of the rounds' own ratios, so that a machine that is slow for a while
        is slow for both.
        """
        values = {relay.name: [] for relay in self.relays}
        order = list(self.relays)
        for _ in range(self.size["rounds"]):
            for relay in order:
                values[relay.name].append(await measure(relay))
            order.reverse()
        figures = {name: statistics.median(each) for name, each in values.items()}
        ratios = [sluice / nginx for nginx, sluice in zip(values["nginx"], values["sluice"])]
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
        return (relay.cpu() - before) / (streams * events) * 1e6

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
            load = Load(relay, self.key, "text;events=100;bytes=20;output=100;pace_ms=2000",
                        prompt="x" * prompt_bytes)
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
                syncs.append(self.time_to_sync(file, len(syncs)) * 1e3)
                times[name].append(self.time_to_first_byte(wire, request) * 1e3)
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
            raise RuntimeError(f"grew by {growth / MIB:.1f} MiB over the last half of {total} streams")
        return {"many_streams_mib": [each / MIB for each in memory]}

    async def stalled(self, count, stall_seconds, key):
        """What clients cost that ask for 100 MB each and read none of it, and what others notice."""
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
        print(f"{count} clients that do not read cost {each:.0f} KiB each at most: {process / count / 1024:.0f} KiB "
              f"in the process, {sockets / count / 1024:.0f} KiB in the kernel; all were let go "
              f"{gone:.1f} s after the last request, of {stall_seconds} s allowed. "
              f"400 streams of others took {alone:.2f} s before, {filling:.2f} s while they filled up and "
              f"{steady:.2f} s beside them.")
        if each >= 1024:
            raise RuntimeError("a client that does not read costs 1 MiB or more")
        return {"stalled_kib": each, "stalled_process_kib": process / count / 1024,
                "stalled_sockets_kib": sockets / count / 1024, "stalled_let_go_s": gone}

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

    @staticmethod
    def time_to_sync(file, pages):
        """As a database's log grows: a page at the end, made durable."""
        began = time.perf_counter()
        os.pwrite(file, b"x" * 4096, pages * 4096)
        os.fdatasync(file)
        return time.perf_counter() - began

    @staticmethod
    def time_to_first_byte(wire, request):
        answer, first = Answer(), None
        began = time.perf_counter()
        wire.sendall(request)
        while not answer.is_over:
            data = wire.recv(65536)
            if not data:
                raise RuntimeError("the connection was closed early")
            answer.feed(data)
            if first is None and answer.has_body:
                first = time.perf_counter() - began
        return first


def percentile(values, rank):
    return statistics.quantiles(values, n=100, method="inclusive")[rank - 1]


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
        lines.append(f"| {title.format(**size)} | {nginx:.2f} {unit} | {sluice:.2f} {unit} | {ratio} | {goal} |")
    for rank, most in ((50, 1), (99, 5)):
        first = figures[f"first_byte_p{rank}_ms"]
        sync = figures[f"fdatasync_p{rank}_ms"]
        lines.append(f"| added to first byte, p{rank} (fdatasync {sync:.2f} ms) | | "
                     f"{first['sluice'] - first['nginx']:.2f} ms | | ≤ {most} ms + fdatasync = {most + sync:.2f} ms |")
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
    parser.add_argument("--results", type=Path, required=True, help="JSON file that figures are added to")
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
    arguments = {"many_streams": [options.streams],
                 "stalled": [options.clients, options.stall_seconds, options.stalled_key]}.get(options.test, [])
    try:
        results |= asyncio.run(getattr(bench, options.test)(*arguments))
    except RuntimeError as error:
        sys.exit(f"{options.test}: {error}")
    options.results.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
