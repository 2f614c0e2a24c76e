"""Makes a CycloneDX bill of materials the same in each run: reads it from standard input.

cargo-cyclonedx gives each file a random number, and names the folder that the clone was in.
"""

import json
import os
import re
import sys
from datetime import UTC, datetime

# Our package, which is named by its folder.
HERE = re.compile(r"path\+file://[^#\"]*#")


def main() -> None:
    bom = json.loads(HERE.sub("path+file:///sluice#", sys.stdin.read()))
    bom.pop("serialNumber", None)
    day = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    bom["metadata"]["timestamp"] = day.strftime("%Y-%m-%dT%H:%M:%SZ")
    if len(bom["components"]) < 100:
        sys.exit("the bill of materials lacks the dependencies")
    json.dump(bom, sys.stdout, indent=1, sort_keys=True)
    print()


main()
