"""Processes that end with the one that started them, however that ends; and free ports."""

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

started = []


def start(words, log, pdeathsig="KILL", **more):
    """Starts a program in a group of its own, with what it says in a file. Only the main thread may
    call this: the kernel takes the end of the calling thread for the end of the parent.
    """
    with open(log, "ab") as file:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", pdeathsig, *words],
            stderr=file,
            start_new_session=True,
            **{"stdin": subprocess.DEVNULL, "stdout": file} | more,
        )
    started.append(process)
    return process


def kill(process):
    """Ends it and all that it has started at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@atexit.register
def kill_all():
    for process in reversed(started):
        kill(process)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_ports(count):
    """Ports of the loopback that nothing listens on at the moment."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_until(what, is_so, secs=60, pause=0.05):
    """Waits, and says what for if it does not come."""
    deadline = time.monotonic() + secs
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"in {secs} s not: {what}")
        time.sleep(pause)


def run(words, **more):
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {done.stderr[-2000:]}")
    return done.stdout
