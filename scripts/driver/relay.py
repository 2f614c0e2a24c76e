"""A relay as its machine sees it: processor time, memory, and what the kernel holds for it."""

import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path

MIB = 1 << 20


class Processes:
    """A process and all its descendants."""

    def __init__(self, pid):
        self.pid = int(pid)
        # What each had spent when it was last seen: some end meanwhile.
        self.spent = {}

    @property
    def pids(self):
        found = [self.pid]
        for pid in found:
            try:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            except FileNotFoundError:
                continue
            found += map(int, children.split())
        return found

    def cpu(self):
        """Seconds of processor time so far, of all threads, those that ended included."""
        for pid in self.pids:
            # The clock that clock_getcpuclockid(3) would name: nanoseconds, where /proc/PID/stat
            # has ticks.
            with suppress(OSError):
                self.spent[pid] = time.clock_gettime(~pid << 3 | 2)
        return sum(self.spent.values())


class Relay(Processes):
    """Processes that listen at an address; requests to it carry these headers."""

    def __init__(self, name, value, key=None, headers=()):
        url, pid = value.rsplit(",", 1)
        super().__init__(pid)
        self.name, self.key, self.headers = name, key, headers
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)

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
        """Bytes received and not read, written and not acknowledged, with what their storage
        costs.
        """
        # r: received, f: allotted ahead, w: to be sent, o: options, bl: backlog.
        fields = re.findall(
            r"\b(r|f|w|o|bl)(\d+)\b",
            " ".join(line for line in self._list("-m", self.both) if "skmem:" in line),
        )
        return sum(int(size) for _, size in fields)

    def open_clients(self):
        return len(self._list("", self.clients))

    @staticmethod
    def _list(option, which):
        command = ["ss", "-tnH", "-O", *filter(None, [option]), "state", "connected", which]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()
