"""The write-ahead log of an SQLite database: how many commits and pages it holds.

The format is SQLite's own (https://www.sqlite.org/fileformat2.html#walformat).
"""

import struct
from pathlib import Path

HEADER = struct.Struct(">8I")
FRAME = struct.Struct(">6I")


def commits_and_pages(database):
    """(commits, pages) since the log last began anew, and the salt that tells when it did."""
    log = Path(f"{database}-wal").read_bytes()
    if len(log) < HEADER.size:
        return 0, 0, None
    _, _, page_bytes, _, *salt = HEADER.unpack_from(log)[:6]
    commits = pages = 0
    for at in range(HEADER.size, len(log) - FRAME.size + 1, FRAME.size + page_bytes):
        _, pages_after_commit, *frame_salt = FRAME.unpack_from(log, at)[:4]
        # Frames of an earlier round of the log follow those of this one.
        if frame_salt != salt:
            break
        pages += 1
        commits += pages_after_commit > 0
    return commits, pages, salt


def spent(database, work):
    """Commits and pages that `work` takes. Tries again where the log began anew meanwhile."""
    for _ in range(5):
        commits, pages, salt = commits_and_pages(database)
        work()
        later_commits, later_pages, later_salt = commits_and_pages(database)
        if later_salt == salt:
            return later_commits - commits, later_pages - pages
    raise RuntimeError("the write-ahead log begins anew all the time")
