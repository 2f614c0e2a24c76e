"""Prints the shell commands of one section of a page as a script that names what fails.

With a third word, such as `text`, prints the first block in that language as it stands.
"""

import sys
from pathlib import Path

BEFORE = """set -euo pipefail
cd /srv
trap 'echo "failed: $BASH_COMMAND" >&2' ERR
"""
AFTER = """
. /srv/afterwards.sh
"""


def blocks(page: str, heading: str, language: str) -> list[str]:
    """Returns the fenced blocks of a language between `## heading` and the next such heading."""
    found: list[list[str]] = []
    is_section = is_block = False
    for line in page.splitlines():
        if line.startswith("```"):
            is_block = is_section and line == f"```{language}"
            if is_block:
                found.append([])
        elif is_block:
            found[-1].append(line)
        elif line.startswith("## "):
            is_section = line == f"## {heading}"
    return ["\n".join(lines) for lines in found]


def main() -> None:
    page, heading, *languages = sys.argv[1:]
    found = blocks(Path(page).read_text(), heading, *(languages or ["sh"]))
    if not found:
        sys.exit(f"{page} has no such block below {heading}")
    print(found[0] if languages else BEFORE + "\n".join(found) + AFTER)


main()
