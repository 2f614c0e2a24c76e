"""Counts the system calls that a running gateway makes for a request and for an event.

`scripts/guards` runs it. Two runs of different lengths are traced, and what the longer one has
more is divided by what it did more, so that neither the beginning nor the end counts.
"""

import argparse
import http.client
import json
import re
import subprocess
import sys
import urllib.parse

CALLS = (20, 120)
STREAMS = (20, 120)
EVENTS = (100, 600)
PACE_MS = 2

# The most of each that is allowed, and of all together. Waiting and waking depend on who is first,
# so that `epoll_wait`, `write` and `futex` count only among all. What is left has room for what a
# node does beside it.
LIMITS = {
    "JSON call": {
        "fdatasync": 2.3,
        "sendto": 2.3,
        "recvfrom": 3,
        "pwrite64": 35,
        "fcntl": 14,
        "statx": 10,
        "all": 80,
    },
    "stream of 20 events": {
        "fdatasync": 2.3,
        "sendto": 3.5,
        "recvfrom": 3,
        "pwrite64": 35,
        "fcntl": 14,
        "statx": 10,
        "all": 82,
    },
    "paced event": {
        "fdatasync": 0.05,
        "sendto": 1.1,
        "recvfrom": 1.3,
        "epoll_wait": 1.6,
        "all": 4,
    },
}


def main():
    """Traces each kind of work in two lengths, and compares."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pid", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    words = parser.parse_args()
    client = Client(words.url, words.key)
    kinds = {
        "JSON call": (CALLS, lambda count: client.ask_all(count, False, "text")),
        "stream of 20 events": (STREAMS, lambda count: client.ask_all(count, True, "events=20")),
        "paced event": (
            EVENTS,
            lambda count: client.ask(True, f"events={count};pace_ms={PACE_MS}"),
        ),
    }
    found = {}
    for name, ((few, many), work) in kinds.items():
        work(few)
        short, long = traced(words.pid, work, few), traced(words.pid, work, many)
        if short is None or long is None:
            print("· this system lets no process trace another: system calls are not counted")
            return 0
        found[name] = {
            call: (long.get(call, 0) - short.get(call, 0)) / (many - few) for call in long
        }
    show(found)
    faults = list(beyond(found))
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


class Client:
    """One kept connection."""

    def __init__(self, url, key):
        address = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
        self.headers = {
            "x-api-key": key,
            "anthropic-version": "2023-06-01",
            "content-type": "application/json",
        }

    def ask(self, is_stream, script):
        """One request, read to its end."""
        body = {
            "model": "claude-haiku-4-5",
            "max_tokens": 4096,
            "stream": is_stream,
            "metadata": {"user_id": f"sandbox:{script}"},
            "messages": [{"role": "user", "content": "Say something."}],
        }
        self.connection.request("POST", "/v1/messages", json.dumps(body), self.headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.status != 200:
            sys.exit(f"error: {response.status} {text[:200]}")

    def ask_all(self, count, is_stream, script):
        """Some requests, one after the other."""
        for _ in range(count):
            self.ask(is_stream, script)


def traced(pid, work, count):
    """How often the process made each system call meanwhile; None where it may not be traced."""
    command = ["strace", "-f", "-c", "-U", "calls,name", "-p", pid]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        first = strace.stderr.readline()
        if " attached" not in first:
            strace.wait()
            return None
        work(count)
        # Ends the trace alone, and lets it print its table.
        strace.terminate()
        lines = strace.stderr.read().splitlines()
    rows = (re.fullmatch(r"\s*(\d+)\s+(\w+)", line) for line in lines)
    return {row[2]: int(row[1]) for row in rows if row and row[2] != "total"}


def show(found):
    """Prints the table: a line for each system call that is made once in twenty times or more."""
    of_any = {call for counts in found.values() for call, count in counts.items() if count >= 0.05}
    often = sorted(of_any, key=lambda call: -max(counts.get(call, 0) for counts in found.values()))
    print("| system call | " + " | ".join(found) + " |")
    print("|---|" + "---:|" * len(found))
    for call in often:
        cells = (f"{counts.get(call, 0):.2f}" for counts in found.values())
        print(f"| `{call}` | " + " | ".join(cells) + " |")
    sums = (f"{sum(counts.values()):.2f}" for counts in found.values())
    print("| all | " + " | ".join(sums) + " |")


def beyond(found):
    """Says what is made more often than is allowed."""
    for name, limits in LIMITS.items():
        counts = {**found[name], "all": sum(found[name].values())}
        for call, most in limits.items():
            if counts.get(call, 0) > most:
                yield f"a {name} makes {counts[call]:.2f} × {call}, more than {most}"


if __name__ == "__main__":
    sys.exit(main())
