"""Compares the system calls that strace has seen with those that a systemd unit allows."""

import re
import subprocess
import sys
from pathlib import Path

# What systemd adds to every list of allowed calls.
ALWAYS = "@default"


def members(group: str) -> set[str]:
    """Returns the calls of a group such as @system-service, with those of the groups in it."""
    command = ["systemd-analyze", "syscall-filter", group]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    calls: set[str] = set()
    for word in (line.strip() for line in text.splitlines()[1:]):
        if word.startswith("@"):
            calls |= members(word)
        elif word and not word.startswith("#"):
            calls.add(word)
    return calls


def allowed(unit: str) -> set[str]:
    """Returns what the SystemCallFilter lines of a unit allow, one after the other."""
    calls = members(ALWAYS)
    for line in re.findall(r"^SystemCallFilter=(.+)$", unit, re.MULTILINE):
        named: set[str] = set()
        for word in line.removeprefix("~").split():
            named |= members(word) if word.startswith("@") else {word}
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def main() -> None:
    unit, log = (Path(path).read_text(errors="replace") for path in sys.argv[1:])
    made = set(re.findall(r"^\d+ +([a-z0-9_]+)\(", log, re.MULTILINE))
    if "accept4" not in made:
        sys.exit("strace has seen no server")
    if forbidden := made - allowed(unit):
        sys.exit(f"the server makes calls that its unit forbids: {' '.join(sorted(forbidden))}")
    print(f"· {len(made)} kinds of system calls, all allowed by the unit")


main()
