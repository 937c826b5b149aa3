"""Ingest: scan -> read and hash -> decode -> embed -> commit, side by side.

Every stage is the same `ordered` map over a pool of threads: its results come in order, and only so many are under way
at a time, so memory is bounded by the queues and not by the collection. Decoders, hashes and networks release Python's
lock, so threads do. The catalog is used by the calling thread alone. What the report counts is committed.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from indexes.rows import rows_per_block
from vecstore.clustering.lifecycle import CurrentClusters
from vecstore.embedders import calling
from vecstore.embedders.embedder import Embedder, Prepared
from vecstore.errors import Interrupted, StoreDamaged
from vecstore.likeness.perceptual_hash import hash_record
from vecstore.results import AddReport, Facts
from vecstore.sources import archives, decoding, metadata
from vecstore.sources.archives import Member
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import shown
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.images import NewImage
from vecstore.storage.vector_file import Float16, Float32, VectorFile, checksum, quantize_unit_rows

log = logging.getLogger(__name__)

# A commit waits for the disk twice: often enough that a crash costs seconds of work, seldom enough to cost no time.
# The number is for vectors that come ready-made, 20,000 a second and more; others are committed by the time.
COMMIT_FILES = 8_192
COMMIT_SECONDS = 2.0
# Files that go through the stages together at the most, where few of them are new: progress shows after each batch.
BATCH_FILES = 512
# So many new paths of known pictures are enough to see where a folder has moved from.
FOUND_AGAIN = 1_000
READ_AHEAD = 16
# Batches that are embedded at once: a core that is done with the one begins with the next, instead of waiting for the
# others. And that are under way in all: what is left to embed while a commit waits for the disk.
EMBED_AT_ONCE, EMBED_AHEAD = 2, 4

# Given files that are new or changed, in order, and the contents that have a vector, yields what became of each file.
Embedded = Callable[[Iterable["FileStamp | Picture"], Iterable[bytes]], Iterator["Picture"]]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Progress:
    """How far an ingest is, in files. total: None while unknown."""

    done: int
    total: int | None
    failed: int


@dataclass(frozen=True)
class Picture:
    """What is known so far of one file on its way through the stages.

    stamp: the state in which it was read. reason: why it failed. data: its bytes, only between reading and decoding.
    new: whether its content is to be embedded. lacks_facts: whether the store has its content, from before it kept
    facts. prepared: the embedder's input, only between decoding and embedding.
    hashes: its record, by which altered copies of it are found; empty if its pixels were not seen.
    """

    stamp: FileStamp
    sha256: bytes | None = None
    reason: str | None = None
    data: bytes = field(default=b"", repr=False)
    new: bool = False
    lacks_facts: bool = False
    facts: Facts | None = None
    prepared: Prepared = field(default=None, repr=False)
    width: int = 0
    height: int = 0
    vector: Float32 | Float16 | None = field(default=None, repr=False)
    hashes: bytes = field(default=b"", repr=False)


@dataclass
class Counts:
    added: int = 0
    known: int = 0
    updated: int = 0
    failed: int = 0
    forgotten: int = 0
    embedded: int = 0

    @property
    def seen(self) -> int:
        return self.added + self.known + self.updated + self.failed


def ordered(pool: Executor, function: Callable[[T], R], items: Iterable[T], window: Callable[[], int]) -> Iterator[R]:
    """Yield function(item) in the order of items, with at most window() of them started and not yet taken."""
    under_way: deque[Future[R]] = deque()
    try:
        for item in items:
            under_way.append(pool.submit(function, item))
            while len(under_way) >= window():
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


class Ingest:
    """One run over a store whose lock is held. Use once."""

    def __init__(
        self,
        catalog: Catalog,
        vectors: VectorFile,
        embedder: Callable[[], Embedder],
        clusters: CurrentClusters | None,
        retry: bool = False,
        progress: Callable[[Progress], None] | None = None,
        total: Callable[[], int] | None = None,
        committed: Callable[[int], None] | None = None,
        tag: Callable[[Float16], Iterable[bytes]] | None = None,
    ) -> None:
        """embedder: called at the first picture that is new. retry: try unchanged failures again.

        total: counts the files; asked on a thread of its own, only where there is `progress`. committed: given how many
        rows the catalog has, after each commit that added some. tag: makes the tags of new rows, to be recorded with
        them; None: none are.
        """
        self.catalog = catalog
        self.vectors = vectors
        self.clusters = clusters
        self.retry = retry
        self.progress = progress
        self.counts = Counts()
        self._open_embedder = embedder
        self._embedder: Embedder | None = None
        self._count_files = total
        self._committed = committed
        self._tag = tag
        self._total: int | None = None
        self._ready: list[Picture] = []
        self._most = min(COMMIT_FILES, rows_per_block(vectors.dim, np.float32))
        self._last_commit = time.monotonic()
        # Contents on their way: a second file with the same one waits for the first instead of being embedded too.
        self._under_way: set[bytes] = set()
        self._unreadable: dict[bytes, str] = {}
        # New paths of pictures that were in the store before, with their rows: the first of them.
        self.found_again: list[tuple[bytes, int]] = []

    def run(self, files: Iterable[FileStamp]) -> AddReport:
        """Bring every file's present state into the store. Raises Interrupted after committing what is embedded."""
        started = time.monotonic()
        workers = os.cpu_count() or 1
        if self.progress:
            threading.Thread(target=self._count, daemon=True).start()
        with ThreadPoolExecutor(workers) as pool, ThreadPoolExecutor(EMBED_AT_ONCE) as network:
            try:
                for batch in self._embedded(pool, network, files):
                    self._ready.extend(batch)
                    self._report_progress()
                    if self._is_due():
                        self.commit()
                self.commit()
                self._report_progress()
            except KeyboardInterrupt as interruption:
                pool.shutdown(wait=False, cancel_futures=True)
                raise self._interrupted() from interruption
        return AddReport(**vars(self.counts), seconds=time.monotonic() - started)

    def take(self, pictures: Iterable[Picture]) -> AddReport:
        """Bring pictures into the store that have their vectors already, marked as new. Raises what `run` does."""
        started = time.monotonic()
        try:
            for picture in pictures:
                self._ready.append(picture)
                if self._is_due():
                    self.commit()
                    self._report_progress()
            self.commit()
            self._report_progress()
        except KeyboardInterrupt as interruption:
            raise self._interrupted() from interruption
        return AddReport(**vars(self.counts), seconds=time.monotonic() - started)

    def run_elsewhere(self, files: Iterable[FileStamp], embedded: Embedded) -> AddReport:
        """Bring every file's present state into the store, as `run` does, read and embedded by `embedded`."""
        return self.take(embedded(self._changed(files), self.catalog.images.contents()))

    def _is_due(self) -> bool:
        return len(self._ready) >= self._most or time.monotonic() - self._last_commit > COMMIT_SECONDS

    def _interrupted(self) -> Interrupted:
        """Commit what is embedded, and return what to say of it."""
        self.catalog.abandon()  # or the commit would join a transaction that nobody ends
        self.commit()
        return Interrupted(
            f"interrupted; {self.counts.seen} files are done and safe in the store; "
            "run the same command again to go on from there"
        )

    def _embedded(self, pool: Executor, network: Executor, files: Iterable[FileStamp]) -> Iterator[list[Picture]]:
        contents = ordered(pool, read, self._changed(files), lambda: READ_AHEAD)
        batches = self._batches(ordered(pool, self._decode, self._marked(contents), self._decode_ahead))
        return ordered(network, self._embed, batches, lambda: EMBED_AHEAD)

    def _changed(self, files: Iterable[FileStamp]) -> Iterator[FileStamp | Picture]:
        """Pass on the files whose state is not the one on record, members of archives read; count the others."""
        for file in files:
            known = self.catalog.paths.known(file.path)
            if known is not None and known.is_as_in(file):
                self.counts.known += 1
                if self.counts.known % 1_000 == 0:
                    self._report_progress()
                if known.has_failed:  # it could not be read for a while, and is what it was before
                    self.catalog.failures.forget(file.path)
            elif not self.retry and self.catalog.failures.has(file):
                self.counts.failed += 1
            else:
                yield read(file) if isinstance(file, Member) else file

    def _marked(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        """Mark the pictures whose content is to be embedded, and let the others' bytes go."""
        for picture in pictures:
            sha256 = picture.sha256
            if sha256 is None or sha256 in self._under_way:
                yield replace(picture, data=b"")
                continue
            row = self.catalog.images.row_of(sha256)
            if row is not None:
                lacks_facts = not self.catalog.facts.has(row)
                yield replace(picture, data=picture.data if lacks_facts else b"", lacks_facts=lacks_facts)
                continue
            self._under_way.add(sha256)
            if self._embedder is None:
                self._embedder = self._open_embedder()
            yield replace(picture, new=True)

    def _batches(self, pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
        """Gather into batches with as many new pictures as the network is fastest with."""
        batch: list[Picture] = []
        n_new = 0
        for picture in pictures:
            batch.append(picture)
            n_new += picture.new
            if n_new >= self._batch_size() or len(batch) >= min(COMMIT_FILES, BATCH_FILES):
                yield batch
                batch, n_new = [], 0
        if batch:
            yield batch

    def _batch_size(self) -> int:
        return self._embedder.batch_size if self._embedder else 1

    def _decode_ahead(self) -> int:
        # Enough for the decoders to stay busy while a batch is waited for.
        return 3 * self._batch_size()

    def _decode(self, picture: Picture) -> Picture:
        if picture.lacks_facts:
            return with_facts(picture)
        return picture if self._embedder is None else decode(picture, self._embedder)

    def _embed(self, batch: list[Picture]) -> list[Picture]:
        return batch if self._embedder is None else embed(batch, self._embedder)

    def commit(self) -> None:
        """Append the new vectors and wait for the disk, then record everything in one transaction.

        May be called again after an interruption at any point of it.
        """
        ready = self._ready
        rows = self.catalog.images.rows_of({p.sha256 for p in ready if p.sha256 is not None})
        new: dict[bytes, Picture] = {}
        for picture in ready:
            if picture.vector is not None and (sha256 := _sha256(picture)) not in rows:
                new.setdefault(sha256, picture)
        first_row = self.catalog.images.row_count()
        images, tags = self._append(new, first_row)
        counts = replace(self.counts)
        with self.catalog.writing():
            self.catalog.images.insert(first_row, *images)
            self.catalog.tags.put(enumerate(tags, start=first_row))
            hashes = ((row, picture.hashes) for row, picture in enumerate(new.values(), start=first_row))
            self.catalog.picture_hashes.put((row, record) for row, record in hashes if record)
            counts.embedded += len(new)
            # Before any path is placed: a picture that moves within this commit has not left in between.
            alive = self.catalog.images.alive_of(rows.values())
            rows.update((sha256, row) for row, sha256 in enumerate(new, start=first_row))
            placed = self._record(ready, rows, alive, counts)
            self.catalog.facts.put(
                (rows[p.sha256], p.facts) for p in ready if p.facts is not None and p.sha256 is not None
            )
            if self.clusters is not None:
                self._assign(self.clusters, placed)
        self.counts = counts
        self._ready = []
        self._under_way.difference_update(p.sha256 for p in ready if p.sha256 is not None)
        self._last_commit = time.monotonic()
        log.info("committed %d files, %d of them new", len(ready), len(new), extra={"rows": first_row + len(new)})
        if new and self._committed:
            self._committed(first_row + len(new))

    def _append(self, new: dict[bytes, Picture], first_row: int) -> tuple[list[NewImage], Iterable[bytes]]:
        """Append the vectors of new pictures, by their sha256, and wait for the disk.

        Returns the images to number, and their tags, none where none are to be recorded.
        """
        if not new:
            return [], ()
        stored = quantize_unit_rows(np.concatenate([np.asarray(p.vector) for p in new.values()]).reshape(len(new), -1))
        with ThreadPoolExecutor(1) as disk:  # which takes longer than the checksums do
            appended = disk.submit(self.vectors.append, stored, first_row)
            images = [
                NewImage(sha256, picture.width, picture.height, checksum(vector, sha256))
                for (sha256, picture), vector in zip(new.items(), stored, strict=True)
            ]
            appended.result()
        return images, self._tag(stored) if self._tag is not None else ()

    def _record(self, ready: list[Picture], rows: dict[bytes, int], alive: set[int], counts: Counts) -> set[int]:
        """Record what became of each file, in order; return the rows of the images that have come alive by it."""
        before = self.catalog.paths.rows_at([picture.stamp.path for picture in ready])
        placed: list[tuple[FileStamp, int]] = []
        risen = set()
        for picture in ready:
            sha256, path = picture.sha256, picture.stamp.path
            reason = picture.reason or (self._unreadable.get(sha256) if sha256 is not None else None)
            if reason is not None or sha256 is None:
                self.catalog.paths.upsert_all(placed)  # which may be of the same path
                placed = []
                self._record_failure(picture, str(reason))
                counts.failed += 1
                if sha256 is not None:
                    before.pop(path, None)
                continue
            row = rows.get(sha256)
            if row is None:
                raise StoreDamaged(
                    f"the content of {os.fsdecode(path)!r} has lost its row during this run; run it again"
                )
            placed.append((picture.stamp, row))
            held = before.get(path)
            before[path] = row
            if held is not None and held != row:
                counts.updated += 1
            elif row in alive:
                counts.known += 1
                if held is None and len(self.found_again) < FOUND_AGAIN:
                    self.found_again.append((path, row))
            else:
                counts.added += 1
            if row not in alive:
                alive.add(row)
                risen.add(row)
        self.catalog.paths.upsert_all(placed)
        return risen

    def _record_failure(self, picture: Picture, reason: str) -> None:
        # A decoder's message may quote bytes that are no text, which the catalog could not hold.
        reason = reason.encode("utf-8", "backslashreplace").decode()
        if picture.sha256 is not None:
            # What the path used to hold is no longer there. (A file that could not even be read may still hold it.)
            self.catalog.paths.forget(picture.stamp.path)
            self._unreadable[picture.sha256] = reason
        self.catalog.failures.record(picture.stamp, reason)

    def _assign(self, clusters: CurrentClusters, rows: set[int]) -> None:
        """Give the rows their nearest cluster, from the vectors as they are stored."""
        unassigned = sorted(rows - self.catalog.memberships.clusters_of(rows).keys())
        if unassigned:
            stored = self.vectors.read(self.catalog.images.row_count())[unassigned].astype(np.float32)
            assigned = clusters.assign(stored)
            memberships = ((row, *assignment) for row, assignment in zip(unassigned, assigned, strict=True))
            self.catalog.memberships.insert(clusters.clustering, memberships)

    def _report_progress(self) -> None:
        if self.progress:
            done = self.counts.seen + len(self._ready)
            self.progress(Progress(done, max(self._total, done) if self._total else None, self.counts.failed))

    def _count(self) -> None:
        if self._count_files:
            with suppress(OSError):  # a progress bar without an end
                self._total = self._count_files()


def read(file: FileStamp | Picture) -> Picture:
    """Read and hash a file; a picture has been read already."""
    if isinstance(file, Picture):  # a member, read while its archive was at it
        return file
    try:
        content = archives.read(file)
    except decoding.Unreadable as error:
        return Picture(FileStamp(file.path, file.size, file.mtime_ns), reason=str(error))
    stamp = FileStamp(file.path, content.size, content.mtime_ns)
    return Picture(stamp, sha256=content.sha256, data=content.data)


def decode(picture: Picture, embedder: Embedder) -> Picture:
    """Make a new picture ready for the embedder, or say why it cannot be; others stay as they are."""
    if not picture.new:
        return picture
    try:
        image = decoding.decode(picture.data, at_least=embedder.input_size, name=picture.stamp.path)
    except decoding.Unreadable as error:
        return replace(picture, data=b"", new=False, reason=str(error))
    try:
        prepared = embedder.prepare(image)
    except Exception as error:  # an embedder of somebody else's, of a shape that it was never tried with
        log.info("%s cannot be made ready", shown(picture.stamp.path), exc_info=True)
        return replace(picture, data=b"", new=False, reason=f"cannot be made ready for the network: {error!r}")
    grey = image.convert("L")  # once, as both are of grey levels alone
    hashes = hash_record(grey)
    facts = metadata.facts_of(picture.data, grey, picture.stamp.path)
    return replace(
        picture, data=b"", prepared=prepared, width=facts.width, height=facts.height, hashes=hashes, facts=facts
    )


def with_facts(picture: Picture) -> Picture:
    """Return a picture with its facts, which is not to be embedded."""
    return replace(picture, data=b"", lacks_facts=False, facts=metadata.facts_in(picture.data, picture.stamp.path))


def embed(batch: list[Picture], embedder: Embedder) -> list[Picture]:
    """Give the new pictures of a batch their vectors."""
    new = [picture for picture in batch if picture.new]
    if not new:
        return batch
    vectors = iter(calling.rows_of(embedder, [picture.prepared for picture in new]))
    return [_embedded(picture, next(vectors)) if picture.new else picture for picture in batch]


def _embedded(picture: Picture, vector: Float32) -> Picture:
    reason = calling.why_no_vector(vector)
    if reason is not None:
        return replace(picture, prepared=None, new=False, facts=None, hashes=b"", reason=f"the embedder made {reason}")
    return replace(picture, prepared=None, vector=vector)


def _sha256(picture: Picture) -> bytes:
    if picture.sha256 is None:
        raise ValueError("a picture with a vector has been read and hashed")
    return picture.sha256
