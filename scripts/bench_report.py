"""Figures of `scripts/bench` as Markdown tables, which docs/performance.md gets with charts."""

import argparse
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from driver.charts import write_charts
from driver.sizes import SIZES

NAMES = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "envoy": "envoy",
    "sluice": "Sluice",
    "portkey": "Portkey",
    "litellm": "LiteLLM",
    "litellm-rust": "LiteLLM with `LITELLM_RUST=1`",
}

# Figure, what it is, unit, and what it is to reach: so many times nginx's, or a number.
ROWS = [
    ("cpu_json_call_us", "CPU per JSON call, 32 connections", "µs", ("times", 4)),
    ("cpu_stream_us", "CPU per whole stream of 20 events, one at a time", "µs", ("at most", 300)),
    ("commits_per_stream", "commits of such a stream", "", ("count", 2)),
    ("pages_per_stream", "pages that they write", "", None),
    ("cpu_paced_event_us", "CPU per event, {paced} streams of 50 events/s", "µs", ("times", 1.25)),
    ("cpu_burst_event_us", "CPU per event, bursts of 200 with their call", "µs", ("times", 1.6)),
    ("cpu_long_burst_event_us", "CPU per event, bursts of {long_burst_events:,}", "µs", None),
    ("first_byte_p50_ms", "time to first byte, one at a time, p50", "ms", None),
    ("first_byte_p99_ms", "time to first byte, one at a time, p99", "ms", None),
    ("open_p50_ms", "JSON call, {open_rate} calls/s at fixed moments, p50", "ms", None),
    ("open_p99_ms", "JSON call, {open_rate} calls/s at fixed moments, p99", "ms", None),
    ("memory_stream_64b_kib", "memory per open stream, 64 B prompt", "KiB", ("at most", 32)),
    ("memory_stream_100kb_kib", "memory per open stream, 100 KB prompt", "KiB", ("at most", 48)),
    (
        "memory_given_back_percent",
        "memory given back {given_back_seconds} s after {held:,} streams",
        "%",
        ("at least", 80),
    ),
    ("peak_short_answer_mib", "growth at peak, 10 answers of 1 MB", "MiB", None),
    ("peak_long_answer_mib", "growth at peak, 10 answers of {long_mb} MB", "MiB", None),
]
PEER_ROWS = [
    ("cpu_json_call_us", "CPU per JSON call", "µs"),
    ("cpu_stream_us", "CPU per stream of 20 events, one at a time", "µs"),
    ("cpu_paced_event_us", "CPU per event at 50 events/s", "µs"),
    ("cpu_burst_event_us", "CPU per event, bursts of 200 with their call", "µs"),
    ("first_byte_p50_ms", "time to first byte, p50", "ms"),
    ("first_byte_p99_ms", "time to first byte, p99", "ms"),
    ("memory_stream_64b_kib", "memory per open stream, 64 B prompt", "KiB"),
    ("memory_stream_100kb_kib", "memory per open stream, 100 KB prompt", "KiB"),
]


def number(value):
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def with_unit(value, unit):
    return f"{number(value)} {unit}".strip() if value is not None else "–"


def goal_cells(goal, value, ratio):
    """What it is to reach, and whether it does."""
    if goal is None:
        return "", ""
    kind, limit = goal
    if kind == "times":
        words, is_reached = f"≤ {limit:g} ×", ratio is not None and ratio <= limit
    elif kind == "count":
        # It has a little of what the program does by itself.
        words, is_reached = f"≤ {limit:g}", value <= limit + 0.1
    elif kind == "at least":
        words, is_reached = f"≥ {limit:g}", value >= limit
    else:
        words, is_reached = f"≤ {limit:g}", value <= limit
    return words, yes_or_no(is_reached)


def row(title, cells):
    return f"| {title} | " + " | ".join(cells) + " |"


def main_table(figures, size):
    lines = ["| figure | nginx | Sluice | ratio | goal | reached |", "|---|---:|---:|---:|---|---|"]
    for name, title, unit, goal in ROWS:
        if name not in figures:
            continue
        nginx, sluice = figures[name].get("nginx"), figures[name].get("sluice")
        if sluice is None:
            continue
        ratio = figures[name].get("ratios", {}).get("sluice") or (sluice / nginx if nginx else None)
        shown = f"{ratio:.2f} ×" if ratio and unit != "%" else "–"
        cells = [with_unit(nginx, unit), with_unit(sluice, unit), shown]
        lines.append(row(title.format(**size), [*cells, *goal_cells(goal, sluice, ratio)]))
    return "\n".join([*lines, *added_rows(figures), *large_rows(figures, size)])


def yes_or_no(is_reached):
    return "yes" if is_reached else "no"


def added_rows(figures):
    """What a client notices: the difference of the percentiles of both relays."""
    for rank, most in ((50, 0.5), (99, 3)):
        first = figures.get(f"first_byte_p{rank}_ms")
        if not first:
            continue
        sync = figures[f"fdatasync_p{rank}_ms"]
        added, limit = first["sluice"] - first["nginx"], most + sync
        title = f"added to first byte, p{rank} (one fdatasync: {sync:.2f} ms)"
        goal = f"≤ {most} ms + fdatasync = {limit:.2f} ms"
        yield row(title, ["", with_unit(added, "ms"), "", goal, yes_or_no(added <= limit)])


def large_rows(figures, size):
    """The largest body that is allowed, and who is held up by it."""
    beside = figures.get("small_call_p99_ms", {})
    shapes = {"text": "one text", "blocks": "of blocks of 1 B"}
    for shape, words in shapes.items():
        added = figures.get(f"large_{shape}_added_ms")
        if not added:
            continue
        title = f"added to a call of {size['large_mib']} MiB, {words}"
        cells = [with_unit(added[name], "ms") for name in ("nginx", "sluice")]
        yield row(title, [*cells, "", "≤ 50 ms", yes_or_no(added["sluice"] <= 50)])
        title = (
            f"p99 of small calls meanwhile (without it {number(beside['alone'])} ms; while the "
            f"upstream gets it from elsewhere {number(beside[f'direct_{shape}'])} ms)"
        )
        yield row(title, ["", with_unit(beside[f"sluice_{shape}"], "ms"), "", "", ""])


def postgres_table(figures):
    if "postgres_alone" not in figures:
        return None
    call, alone = figures["postgres_call_us"], figures["postgres_alone"]
    rows = [
        ("CPU per JSON call, 48 connections: node", call["node"], " µs", 60),
        ("CPU per JSON call, 48 connections: PostgreSQL", call["database"], " µs", 60),
        ("statements of a call alone", alone["statements"], "", 6),
        ("transactions of a call alone", alone["transactions"], "", 2),
    ]
    head = f"figure (nginx beside it: {number(call['nginx'])} µs a call)"
    lines = [row(head, ["Sluice", "goal", "reached"]), "|---|---:|---|---|"]
    for title, value, unit, most in rows:
        # A count has a little of what a node does by itself.
        is_reached = yes_or_no(value <= most + 0.1)
        lines.append(row(title, [f"{number(value)}{unit}", f"≤ {most}{unit}", is_reached]))
    return "\n".join(lines)


def peers_table(figures):
    present = [name for name in NAMES if name in figures["cpu_json_call_us"]]
    if len(present) <= 2 and not figures["missing"]:
        return None
    lines = ["| figure | " + " | ".join(NAMES[name] for name in present) + " |"]
    lines.append("|---|" + "---:|" * len(present))
    for name, title, unit in PEER_ROWS:
        cells = []
        for relay in present:
            value = figures[name].get(relay)
            ratio = figures[name].get("ratios", {}).get(relay)
            times = f" ({number(ratio)} ×)" if ratio and relay != "nginx" else ""
            cells.append(f"{number(value)}{times}")
        lines.append(row(f"{title}, {unit}", cells))
    return "\n".join(lines + missing(figures))


def missing(figures):
    lines = [
        f"\n{NAMES[name]} could not be installed or started here." for name in figures["missing"]
    ]
    return lines + [
        f"\n{NAMES[name]} did not do everything: it failed in {reason.split(':')[0]}."
        for name, reason in figures.get("failed", {}).items()
    ]


def blocks(figures):
    """Name and Markdown of each table that this run has figures for."""
    place = f"{figures['machine']}; `--{figures['size']}`, {figures['date']}."
    tables = {
        "figures": main_table(figures, SIZES[figures["size"]]),
        "postgres": postgres_table(figures),
        "peers": peers_table(figures),
    }
    return {name: f"{table}\n\n{place}" for name, table in tables.items() if table}


def write_docs(folder, tables):
    """Puts the tables between their marks. One that this run has no figures for stays."""
    page = folder / "performance.md"
    text = page.read_text()
    for name, table in tables.items():
        begin, end = f"<!-- bench: {name} -->", "<!-- end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text, count = pattern.subn(lambda _, new=f"{begin}\n{table}\n{end}": new, text)
        if count != 1:
            sys.exit(f"{page} has {count} places for {name}")
    page.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="JSON file of the figures")
    parser.add_argument("--machine", help="where and beside what it ran; kept with the figures")
    parser.add_argument("--missing", default="", help="peers that could not be installed")
    parser.add_argument("--docs", type=Path, help="folder whose performance.md gets the tables")
    options = parser.parse_args()
    if not options.results.exists():
        sys.exit(f"{options.results} is not there: run scripts/bench first")
    figures = json.loads(options.results.read_text())
    if options.machine:
        figures |= {"machine": options.machine, "missing": options.missing.split()}
        figures["date"] = datetime.now(UTC).date().isoformat()
        options.results.write_text(json.dumps(figures, indent=2) + "\n")
    tables = blocks(figures)
    print("\n\n".join(tables.values()))
    if options.docs:
        write_docs(options.docs, tables)
        write_charts(figures, options.docs / "performance")


if __name__ == "__main__":
    main()
