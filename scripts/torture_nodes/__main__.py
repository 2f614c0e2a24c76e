"""Drives scripts/torture --nodes: a scenario or everything at once, the proof at the end, one
summary line each.
"""

import argparse
import os
import sys
import tempfile
import traceback

from . import scenarios
from .everything import everything
from .stage import Stage


def play(name, arguments):
    """Plays a scenario on a cluster of its own; whether all was as promised."""
    os.chdir(tempfile.mkdtemp(prefix=f"{name}.", dir=arguments.folder))
    if name == "everything":
        stage, endings = everything(arguments)
    else:
        stage = Stage(arguments, has_standby=name == "failover")
        try:
            scenarios.SCENARIOS[name](stage)
        except (RuntimeError, OSError) as error:
            traceback.print_exc()
            stage.found.append(f"it broke off: {error}")
        endings = stage.prove()
    for line in stage.found[:20]:
        print("VIOLATION", line)
    if stage.found:
        stage.show_logs()
    print(stage.summary(name, endings), flush=True)
    stage.cluster.drop()
    return not stage.found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("program", "sandbox", "postgres", "scenario"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("chains", "mail"):
        parser.add_argument(f"--{name}")
    for name in ("nodes", "seconds", "clients", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    arguments.folder = os.getcwd()
    names = (
        [name for name in scenarios.SCENARIOS if name != "cost"]
        if arguments.scenario == "each"
        else arguments.scenario.split(",")
    )
    # One that is not as promised does not keep the others from being played.
    outcomes = [play(name, arguments) for name in names]
    sys.exit(not all(outcomes))


if __name__ == "__main__":
    main()
