"""Drives scripts/volume: a database with very many usage rows, a purge of them while requests run,
and exports. Python's standard library only.
"""

import argparse
import json
import sys

from driver.export import Export
from driver.purge import Purge


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["purge", "export"])
    parser.add_argument("--program", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--sandbox", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=32, help="streams each second")
    parser.add_argument(
        "--window", type=float, default=20, help="seconds of a phase with or without the purge"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=4 * 60 * 60, help="that the rest of the purge may take"
    )
    arguments = parser.parse_args()
    part = {"purge": Purge, "export": Export}[arguments.what](arguments)
    try:
        figures = part.run()
    except RuntimeError as error:
        sys.exit(f"{arguments.what}: {error}")
    finally:
        process = part.server.process
        if process and process.poll() is None:
            process.kill()
            process.wait()
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
