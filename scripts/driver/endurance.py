"""Sluice alone: memory after very many streams, and clients that do not read."""

import socket
import sys
import time

from .load import Load
from .relay import MIB


def many_streams(relay, generator, total):
    """Memory after each tenth of so many streams, every third of them left early."""
    whole = Load(relay, relay.key, "text;events=20;bytes=20")
    left_early = Load(relay, relay.key, "text;events=20;bytes=20;pace_ms=20")
    memory = [relay.memory()]
    for _ in range(10):
        for _ in range(0, total // 10, 75):
            with generator.held(left_early, 25, stagger_us=0):
                pass
            generator.closed(whole, 50, 25)
        # Until the last ones that were left early are settled.
        time.sleep(2)
        memory.append(relay.memory())
        print(f"{relay.name}: {memory[-1] / MIB:.1f} MiB", file=sys.stderr)
    # Caches fill in the beginning. From the middle on, nothing may grow.
    growth = memory[10] - memory[5]
    if growth > 2 * MIB:
        raise RuntimeError(f"grew by {growth / MIB:.1f} MiB over the last half of {total} streams")
    return {"many_streams_mib": [each / MIB for each in memory]}


class Stalled:
    """Clients that ask for 100 MB each and read none of it: what they cost, what others notice."""

    def __init__(self, relay, kernel, generator, stall_seconds):
        self.relay, self.kernel, self.generator = relay, kernel, generator
        self.stall_seconds = stall_seconds

    def run(self, count, key):
        others = Load(self.relay, self.relay.key, 20, upstream="hose")
        self.seconds(others, 200)
        alone = self.seconds(others)
        before = self.relay.memory(), self.kernel.memory()
        wires = self.ask(Load(self.relay, key, 100_000, upstream="hose"), count)
        started = time.perf_counter()
        filling = self.seconds(others)
        costs = []
        # The most that they cost at any time, until the first are let go.
        while not costs or time.perf_counter() - started < self.stall_seconds / 2:
            time.sleep(0.5)
            costs.append((self.relay.memory() - before[0], self.kernel.memory() - before[1]))
        steady = self.seconds(others)
        gone = self.until_let_go(count, started)
        for wire in wires:
            expect_cut(wire)
        process, sockets = (each / count / 1024 for each in max(costs, key=sum))
        print(
            f"{count} clients that do not read cost {process + sockets:.0f} KiB each at most: "
            f"{process:.0f} KiB in the process, {sockets:.0f} KiB in the kernel; all were let go "
            f"{gone:.1f} s after the last request, of {self.stall_seconds} s allowed. "
            f"400 streams of others took {alone:.2f} s before, {filling:.2f} s while they "
            f"filled up and {steady:.2f} s beside them."
        )
        if process + sockets >= 1024:
            raise RuntimeError("a client that does not read costs 1 MiB or more")
        return {
            "stalled_kib": process + sockets,
            "stalled_process_kib": process,
            "stalled_sockets_kib": sockets,
            "stalled_let_go_s": gone,
        }

    def seconds(self, load, requests=400):
        return self.generator.closed(load, requests, 20)["elapsed_us"] / 1e6

    def ask(self, load, count):
        wires = []
        for _ in range(count):
            wires.append(socket.create_connection((self.relay.host, self.relay.port)))
            wires[-1].sendall(load.request)
            time.sleep(0.001)
        return wires

    def until_let_go(self, count, started):
        """Seconds since then until the last is gone; all must be there now."""
        held = self.kernel.open_clients()
        if held < count:
            raise RuntimeError(f"only {held} of {count} clients are held")
        late = self.stall_seconds + 30
        while left := self.kernel.open_clients():
            if time.perf_counter() - started > late:
                raise RuntimeError(f"{left} clients are held after {late} s")
            time.sleep(0.2)
        return time.perf_counter() - started


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
