"""Measures relays with the load generator and adds figures to a JSON file. `scripts/bench` runs it.

It only ever talks to addresses it is given, and needs nothing beyond Python. What it measures is
explained in docs/performance.md; the requests say in `metadata.user_id` how the sandbox is to
answer.
"""

import argparse
import json
import sys
from pathlib import Path

from driver.bench import Bench
from driver.endurance import Stalled, many_streams
from driver.generator import Generator
from driver.postgres import Statements, call_alone, split_of_call
from driver.relay import Kernel, Processes, Relay
from driver.sizes import SIZES

# Those of `Bench` that need nothing but the relays.
TESTS = [
    "small_prompt",
    "large_prompt",
    "short_answer",
    "long_answer",
    "first_byte",
    "cpu",
    "commits",
    "open_loop",
]
OTHERS = ["large_body", "postgres", "postgres_statements", "many_streams", "stalled"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("test", choices=[*TESTS, *OTHERS])
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument(
        "--results", type=Path, required=True, help="JSON file that figures are added to"
    )
    parser.add_argument("--folder", help="where the generator and Sluice's database are")
    parser.add_argument(
        "--relay", nargs="+", action="append", metavar="WORD", help="NAME URL PID KEY [HEADER…]"
    )
    parser.add_argument("--upstream", help="URL,PID of what the relays ask")
    parser.add_argument("--database", help="URL of PostgreSQL, of postgres")
    parser.add_argument("--database-pid", help="its first process")
    parser.add_argument("--streams", type=int, help="how many, of many_streams")
    parser.add_argument("--clients", type=int, help="how many, of stalled")
    parser.add_argument("--stall-seconds", type=int, help="server.client_stall_secs, of stalled")
    parser.add_argument("--stalled-key", help="API key of the clients that stall")
    return parser.parse_args()


def measure(options):
    relays = [
        Relay(name, f"{url},{pid}", key, headers) for name, url, pid, key, *headers in options.relay
    ]
    generator = Generator(str(Path(options.folder) / "load"))
    bench = Bench(relays, generator, SIZES[options.size], options.folder)
    match options.test:
        case "many_streams":
            figures = many_streams(bench.relay("sluice"), generator, options.streams)
        case "stalled":
            kernel = Kernel(bench.relay("sluice"), options.upstream.split(",")[0])
            stalled = Stalled(bench.relay("sluice"), kernel, generator, options.stall_seconds)
            figures = stalled.run(options.clients, options.stalled_key)
        case "large_body":
            figures = bench.large_body(Relay("direct", options.upstream, "direct"))
        case "postgres":
            figures = split_of_call(bench, Processes(options.database_pid))
            Statements(options.database).count_from_now_on()
        case "postgres_statements":
            figures = call_alone(bench, Statements(options.database))
        case test:
            figures = getattr(bench, test)()
    return figures, bench.failed


def main():
    options = arguments()
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    try:
        figures, failed = measure(options)
    except RuntimeError as error:
        sys.exit(f"{options.test}: {error}")
    results |= {"size": options.size} | figures
    results.setdefault("failed", {}).update(failed)
    options.results.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
