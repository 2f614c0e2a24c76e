"""JSON for lib.sh.

lib_json.py field STEP…         one field of the document on standard input, by the path to it
lib_json.py object KEY VALUE…   an object of text
"""

import json
import sys


def field(steps):
    value = json.load(sys.stdin)
    for step in steps:
        value = value[int(step) if isinstance(value, list) else step]
    return value


def object_of(words):
    words = iter(words)
    return json.dumps({key: next(words) for key in words})


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    print({"field": field, "object": object_of}[what](words))
