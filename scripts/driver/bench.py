"""What relays spend on the same requests: processor time, memory, time to the first byte."""

import os
import socket
import statistics
import sys
import time
from pathlib import Path

from .figures import percentile, time_to_sync
from .load import Load, time_to_first_byte
from .relay import MIB
from .sizes import SHARES
from .wal import spent

CONNECTIONS = 32
# What a test must finish. The others are measured beside it, and may fail.
MEASURED = ("nginx", "sluice")
STREAM = "text;events=20;bytes=20"


class Bench:
    """The tests. Each returns figures as {name: {relay: value}}."""

    def __init__(self, relays, generator, size, folder):
        self.relays, self.generator, self.size, self.folder = relays, generator, size, folder
        self.failed = {}

    def relay(self, name):
        return next(relay for relay in self.relays if relay.name == name)

    def share(self, relay, count, least=20):
        """How many of `count` this relay is to do."""
        return max(min(count, least), int(count * SHARES.get(relay.name, 1)))

    def attempt(self, measure, relay):
        """The figure, or None where a peer cannot do it."""
        if relay.name in self.failed:
            return None
        try:
            return measure(relay)
        except (RuntimeError, OSError) as error:
            if relay.name in MEASURED:
                raise
            self.failed[relay.name] = f"{measure.__name__}: {error}"
            print(f"· {relay.name} failed in {measure.__name__}: {error}", file=sys.stderr)
            return None

    def rounds(self, measure):
        """Medians over rounds. The relays take turns, and turns at being first: A B, B A, A B…

        A ratio is the median of the rounds' own ratios, so that a machine that is slow for a while
        is slow for both.
        """
        values = {relay.name: [] for relay in self.relays}
        order = list(self.relays)
        for _ in range(self.size["rounds"]):
            for relay in order:
                values[relay.name].append(self.attempt(measure, relay))
            order.reverse()
        values = {name: each for name, each in values.items() if None not in each}
        figures = {name: statistics.median(each) for name, each in values.items()}
        ratios = {
            name: statistics.median(
                mine / floor for mine, floor in zip(each, values["nginx"], strict=True)
            )
            for name, each in values.items()
        }
        return figures | {"ratios": ratios, "rounds": values}

    def warm(self, relay):
        self.generator.closed(Load(relay, relay.key, "text;events=10", stream=False), 32, 8)
        self.generator.closed(Load(relay, relay.key, "text;events=10"), 32, 8)
        time.sleep(0.3)

    def warm_all(self):
        for relay in self.relays:
            self.attempt(self.warm, relay)

    def cpu_of(self, relay, load, requests, connections):
        """Microseconds of the relay for each of so many requests."""
        before = relay.cpu()
        result = self.generator.closed(load, requests, connections)
        # What a relay does after the last byte belongs to the bill too.
        time.sleep(0.3)
        return (relay.cpu() - before) / requests * 1e6, result

    # --- processor time -------------------------------------------------------------------

    def cpu(self):
        self.warm_all()
        return {
            "cpu_json_call_us": self.rounds(self.json_call),
            "cpu_stream_us": self.rounds(self.whole_stream),
            "cpu_burst_event_us": self.rounds(self.burst_event),
            "cpu_long_burst_event_us": self.rounds(self.long_burst_event),
            "cpu_paced_event_us": self.rounds(self.paced_event),
        }

    def json_call(self, relay):
        load = Load(relay, relay.key, STREAM, stream=False)
        return self.cpu_of(relay, load, self.share(relay, self.size["calls"]), CONNECTIONS)[0]

    def whole_stream(self, relay):
        load = Load(relay, relay.key, STREAM)
        return self.cpu_of(relay, load, self.share(relay, self.size["whole_streams"]), 1)[0]

    def burst_event(self, relay):
        """Streams of 200 events at once, with all that opening and closing them costs."""
        return self.event_of_burst(relay, self.share(relay, self.size["burst_streams"]), 200)

    def long_burst_event(self, relay):
        """The same of streams so long that opening and closing them does not count."""
        events = self.share(relay, self.size["long_burst_events"])
        return self.event_of_burst(relay, self.size["long_bursts"], events)

    def event_of_burst(self, relay, streams, events):
        load = Load(relay, relay.key, f"text;events={events};bytes=20;output=100")
        each, result = self.cpu_of(relay, load, streams, min(streams, CONNECTIONS))
        # What is cut between two reads is not counted, so a few may be missing.
        if result["events"] < 0.9 * streams * events:
            raise RuntimeError(f"{result['events']} events have come, of {streams * events}")
        return each / events

    def paced_event(self, relay):
        """Microseconds for one event of streams that are already running, 50 a second each."""
        seconds = self.size["paced_seconds"]
        streams = self.share(relay, self.size["paced"])
        # Longer than the test, so that none ends meanwhile.
        events = (seconds + 20) * 50
        load = Load(relay, relay.key, f"text;events={events};bytes=20;output=100;pace_ms=20")
        with self.generator.held(load, streams) as counts:
            # What it costs to open a stream is in the other figures.
            time.sleep(0.5)
            before, first = relay.cpu(), counts()["events"]
            time.sleep(seconds)
            figure = (relay.cpu() - before) / (counts()["events"] - first) * 1e6
        time.sleep(1)
        return figure

    def commits(self):
        """Commits and pages of a stream alone, by the write-ahead log of Sluice's database."""
        sluice, streams = self.relay("sluice"), min(20, self.size["whole_streams"])
        load = Load(sluice, sluice.key, STREAM)

        def work():
            self.generator.closed(load, streams, 1)
            time.sleep(0.3)

        self.warm(sluice)
        commits, pages = spent(Path(self.folder) / "bench.db", work)
        return {
            "commits_per_stream": {"sluice": commits / streams},
            "pages_per_stream": {"sluice": pages / streams},
        }

    # --- memory ---------------------------------------------------------------------------

    def small_prompt(self):
        """Also what is given back: the only test of memory that waits for it."""
        held, given_back = self.held(64)
        return {"memory_stream_64b_kib": held, "memory_given_back_percent": given_back}

    def large_prompt(self):
        return {"memory_stream_100kb_kib": self.held(100_000, waits=False)[0]}

    def held(self, prompt_bytes, waits=True):
        """KiB of one open stream, and how much of the growth is gone a while after its end."""
        figures, ended = {}, []

        def hold(relay):
            self.warm(relay)
            load = Load(
                relay,
                relay.key,
                "text;events=100;bytes=20;output=100;pace_ms=2000",
                prompt="x" * prompt_bytes,
            )
            # Fewer would not stand out from what a process takes anyway.
            streams = self.share(relay, self.size["held"], least=200)
            before = relay.memory()
            with self.generator.held(load, streams):
                time.sleep(self.size["held_seconds"])
                growth = relay.memory() - before
            ended.append((relay, before, growth, time.monotonic()))
            return growth / streams / 1024

        for relay in self.relays:
            figures[relay.name] = self.attempt(hold, relay)
        figures = {name: figure for name, figure in figures.items() if figure is not None}
        given_back = {}
        for relay, before, growth, since in ended if waits else []:
            time.sleep(max(0, since + self.size["given_back_seconds"] - time.monotonic()))
            left = relay.memory() - before
            given_back[relay.name] = 100 * (growth - left) / growth if growth > 0 else None
        return figures, {name: each for name, each in given_back.items() if each is not None}

    def short_answer(self):
        return {"peak_short_answer_mib": self.length(1)}

    def long_answer(self):
        return {"peak_long_answer_mib": self.length(self.size["long_mb"])}

    def length(self, megabytes):
        figures = {}
        for relay in map(self.relay, MEASURED):
            self.warm(relay)
            script = f"text;events={megabytes * 1000};bytes=1000;output=100"
            before = relay.memory()
            relay.forget_peak()
            result = self.generator.closed(Load(relay, relay.key, script), 10, 10)
            if result["events"] < 9000 * megabytes:
                raise RuntimeError(f"only {result['events']} events have come")
            figures[relay.name] = max(0, relay.peak() - before) / MIB
        return figures

    # --- times ----------------------------------------------------------------------------

    def first_byte(self):
        """Milliseconds to the first byte of the body, one request at a time, the relays in turn."""
        self.warm_all()
        times, syncs, wires = {}, [], []
        for relay in self.relays:
            if relay.name in self.failed:
                continue
            load = Load(relay, relay.key, "text;events=1;bytes=20")
            wire = socket.create_connection((relay.host, relay.port))
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            every = round(1 / SHARES.get(relay.name, 1))
            times[relay.name] = []
            wires.append((times[relay.name], wire, load.request, every))
        file = os.open(Path(self.folder) / "fdatasync", os.O_CREAT | os.O_WRONLY)
        for step in range(self.size["one_by_one"]):
            for mine, wire, request, every in wires:
                if step % min(every, 5):
                    continue
                # Each request comes after the same pause of the processor.
                syncs.append(time_to_sync(file, len(syncs)) * 1e3)
                mine.append(time_to_first_byte(wire, request) * 1e3)
        os.close(file)
        figures = {}
        for rank in (50, 99):
            figures[f"first_byte_p{rank}_ms"] = {
                name: percentile(each, rank) for name, each in times.items()
            }
            figures[f"fdatasync_p{rank}_ms"] = percentile(syncs, rank)
        return figures

    def open_loop(self):
        """JSON calls at a fixed rate: latencies from the moment each should have started."""
        rate, seconds = self.size["open_rate"], self.size["open_seconds"]
        found = {name: [] for name in MEASURED}
        for _ in range(min(3, self.size["rounds"])):
            for name in MEASURED:
                relay = self.relay(name)
                load = Load(relay, relay.key, STREAM, stream=False)
                found[name].append(self.generator.open(load, rate, seconds)["whole_us"])
        return {
            f"open_{rank}_ms": {
                name: statistics.median(each[rank] for each in every) / 1000
                for name, every in found.items()
            }
            for rank in ("p50", "p99")
        }

    def large_body(self, direct):
        """Milliseconds that relays add to requests of the largest body that Sluice takes, beside
        the same to the upstream itself; and the latency of small calls meanwhile.
        """
        sluice = self.relay("sluice")
        small = Load(sluice, sluice.key, STREAM, stream=False)
        rate, seconds = self.size["open_rate"], self.size["open_seconds"]
        alone = self.generator.open(small, rate, seconds)["whole_us"]["p99"]
        beside = {"alone": alone / 1000}
        figures = {"small_call_p99_ms": beside}
        body_bytes = self.size["large_mib"] * MIB
        for shape, prompt in large_prompts(body_bytes):
            relays = (direct, self.relay("nginx"), sluice)
            loads = {relay.name: large_load(relay, prompt, body_bytes) for relay in relays}
            times = {name: [] for name in loads}
            for _ in range(self.size["large_bodies"]):
                for name, load in loads.items():
                    times[name].append(self.generator.closed(load, 1, 1)["whole_us"]["p50"] / 1000)
            whole = {name: statistics.median(each) for name, each in times.items()}
            figures[f"large_{shape}_ms"] = whole
            figures[f"large_{shape}_added_ms"] = {
                name: whole[name] - whole["direct"] for name in ("nginx", "sluice")
            }
            for name in ("sluice", "direct"):
                with self.generator.repeated(loads[name]):
                    meanwhile = self.generator.open(small, rate, seconds)["whole_us"]
                beside[f"{name}_{shape}"] = meanwhile["p99"] / 1000
        return figures


def large_prompts(body_bytes):
    """One long text, and as many short blocks as fit. What is missing to the full size is added."""
    yield "text", "x"
    block = {"type": "text", "text": "x"}
    # As `json.dumps` writes one, with what stands between two.
    yield "blocks", [block] * ((body_bytes - 1000) // 31)


def large_load(relay, prompt, body_bytes):
    """A request of just this size: what is missing is a longer text."""
    request = Load(relay, relay.key, STREAM, prompt, stream=False).request
    missing = "x" * (body_bytes - len(request.split(b"\r\n\r\n", 1)[1]))
    if isinstance(prompt, str):
        prompt += missing
    else:
        prompt = [*prompt[:-1], {"type": "text", "text": "x" + missing}]
    return Load(relay, relay.key, STREAM, prompt, stream=False)
