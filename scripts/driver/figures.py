"""Figures that several drivers need, and what they say while they work."""

import os
import statistics
import sys
import time


def percentile(values, rank):
    return statistics.quantiles(values, n=100, method="inclusive")[rank - 1]


def time_to_sync(file, pages):
    """As a database's log grows: a page at the end, made durable."""
    began = time.perf_counter()
    os.pwrite(file, b"x" * 4096, pages * 4096)
    os.fdatasync(file)
    return time.perf_counter() - began


def say(words):
    print(f"· {words}", file=sys.stderr, flush=True)
