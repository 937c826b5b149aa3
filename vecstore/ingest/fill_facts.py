"""Facts for images that were added before facts were kept, or that were imported: read from their files, not embedded.

A file counts only while it has the content that the image was added with. What was recorded stays, so the same call
resumes after an interruption.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from vecstore.ingest.pipeline import READ_AHEAD, Progress, ordered
from vecstore.ingest.sync import OnProgress
from vecstore.results import Facts, FactsReport
from vecstore.session import Session
from vecstore.sources import archives, decoding, metadata
from vecstore.sources.paths import is_address

# Images that are recorded in one transaction.
COMMIT_ROWS = 512


def fill_facts(session: Session, on_progress: OnProgress | None) -> FactsReport:
    """Record the facts of all images without; see `Store.fill_facts`."""
    started, catalog = time.monotonic(), session.catalog
    with session.writing(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        rows = catalog.facts.rows_without()
        filled = done = 0
        batch: list[tuple[int, Facts]] = []
        tasks = ((row, catalog.images.sha256_of(row) or b"", catalog.paths.of(row)) for row in rows)
        for row, said in ordered(pool, _read, tasks, lambda: READ_AHEAD):
            done += 1
            if said is not None:
                batch.append((row, said))
            if len(batch) >= COMMIT_ROWS or done == len(rows):
                with catalog.writing():
                    catalog.facts.put(batch)
                filled, batch = filled + len(batch), []
            if on_progress is not None:
                on_progress(Progress(done, len(rows), done - filled - len(batch)))
    return FactsReport(filled, len(rows) - filled, time.monotonic() - started)


def _read(task: tuple[int, bytes, list[bytes]]) -> tuple[int, Facts | None]:
    """Return a row and what the first of its files says that still has its content."""
    row, sha256, paths = task
    return row, next(_facts(sha256, paths), None)


def _facts(sha256: bytes, paths: list[bytes]) -> Iterator[Facts]:
    for path in paths:
        if is_address(path):
            continue
        try:
            content = archives.read_path(path)
        except (OSError, decoding.Unreadable):
            continue
        if content.sha256 == sha256:
            yield metadata.facts_in(content.data, path)
