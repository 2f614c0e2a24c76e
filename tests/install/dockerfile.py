"""Prints the last stage of a Dockerfile as shell: what makes the image, or what runs in it.

`make` prints its RUN and COPY instructions for a root that is a minimal Debian, in which
/context is the clone and /built the program. `run` prints functions: `begin` starts what
ENTRYPOINT and CMD say, `healthy` asks what HEALTHCHECK says; both as its user, in its folder and
with its environment.
"""

import json
import re
import shlex
import sys
from pathlib import Path


def instructions(text: str) -> list[tuple[str, str]]:
    """Returns the instructions of a Dockerfile, each on one line, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    pairs = (line.split(None, 1) for line in joined.splitlines() if line.strip())
    return [(name.upper(), rest.strip()) for name, rest in pairs]


def last_stage(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns what follows the last FROM."""
    start = max(at for at, (name, _) in enumerate(found) if name == "FROM")
    return found[start + 1 :]


def copy(rest: str) -> str:
    """Returns the shell for one COPY of one file."""
    *options, source, target = rest.split()
    if any(option.startswith("--from=") for option in options):
        return f"install -D -m 755 /built {shlex.quote(target)}"
    return f"install -D -m 644 /context/{shlex.quote(source)} {shlex.quote(target)}"


def words(rest: str) -> str:
    """Returns an instruction in its JSON form as words of a shell."""
    return shlex.join(json.loads(rest))


def make(stage: list[tuple[str, str]]) -> str:
    """Returns the shell that makes the image."""
    lines = ["set -eux"]
    for name, rest in stage:
        if name == "RUN":
            lines.append(f"( {rest} )")
        elif name == "COPY":
            lines.append(copy(rest))
        elif name == "ADD":
            sys.exit("ADD: use COPY, which this test knows")
    return "\n".join(lines)


def run(stage: list[tuple[str, str]]) -> str:
    """Returns the functions that start the program and ask for its health."""
    last = dict(stage)
    user, group = last["USER"].split(":")
    if not user.isdecimal() or int(user) == 0:
        sys.exit("USER: must be a number, and not root's, so that runAsNonRoot can be checked")
    environment = shlex.join(rest for name, rest in stage if name == "ENV")
    prefix = (
        f"cd {shlex.quote(last['WORKDIR'])} && exec setpriv --reuid={user} --regid={group} "
        "--clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "
        f'env -i PATH=/usr/bin:/bin {environment} "${{given[@]}}"'
    )
    health = re.sub(r"^.*?\bCMD\s+", "", last["HEALTHCHECK"])
    return "\n".join(
        [
            f"volume={shlex.quote(last['VOLUME'])}",
            f"begin() {{ ( {prefix} {words(last['ENTRYPOINT'])} {words(last['CMD'])} ) & }}",
            f"healthy() {{ ( {prefix} {words(health)} ); }}",
        ]
    )


def main() -> None:
    what, path = sys.argv[1:]
    stage = last_stage(instructions(Path(path).read_text()))
    print({"make": make, "run": run}[what](stage))


main()
