"""Prints the shell commands of one section of a page as a script that names what fails."""

import sys
from pathlib import Path

BEFORE = """set -euo pipefail
cd /root
trap 'echo "failed: $BASH_COMMAND" >&2' ERR
"""
AFTER = """
. /root/afterwards.sh
"""


def commands(page: str, heading: str) -> list[str]:
    """Returns the lines in ```sh fences between `## heading` and the next heading of that level."""
    lines: list[str] = []
    is_section = is_code = False
    for line in page.splitlines():
        if line.startswith("```"):
            is_code = is_section and line == "```sh"
        elif is_code:
            lines.append(line)
        elif line.startswith("## "):
            is_section = line == f"## {heading}"
    return lines


def main() -> None:
    page, heading = sys.argv[1:]
    lines = commands(Path(page).read_text(), heading)
    if not lines:
        sys.exit(f"{page} has no commands below {heading}")
    print(BEFORE + "\n".join(lines) + AFTER, end="")


main()
