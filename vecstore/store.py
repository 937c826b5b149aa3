"""The store: the public face of the library.

    with Store.open("photos.store", embedder="efficientnet-lite0", create=True) as store:
        store.add("~/Photos")
        for hit in store.similar("cat.jpg", k=5):
            print(hit.score, hit.path)

One directory, one embedder, one writer at a time; readers never wait. Its vectors are searched in this process, or by
the engine that a URI names (`Store.open("milvus://host:19530/photos")`). Everything is in the modules that this one
calls; what a store needs to promise is decided here: the lock, the order of opening, and who an IMAGE is.
"""

import errno
import hashlib
import logging
import numbers
import os
import stat
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

import filelock
import numpy as np
from numpy.typing import NDArray

from indexes.devices import choose_device
from vecstore.clustering import evaluation, lifecycle
from vecstore.clustering.row_blocks import Blocks, LocalBlocks
from vecstore.clustering.sklearn_attributes import FittedClustering
from vecstore.embedders import DEFAULT_EMBEDDER, Embedder, EmbedderOptions, EmbedderSpec, canonical_name, open_embedder
from vecstore.engines.address import Address, place_of
from vecstore.engines.engine import Engine, OnCommit
from vecstore.engines.factory import engine_for, require_room
from vecstore.engines.index_lifecycle import IndexSettings
from vecstore.errors import (
    BadInput,
    EngineUnavailable,
    NotFound,
    NothingAdded,
    StoreBusy,
    StoreDamaged,
    VecstoreError,
    WrongEmbedder,
)
from vecstore.ingest import vector_import
from vecstore.ingest.pipeline import Ingest, Picture, Progress
from vecstore.maintenance import backup, check, compact
from vecstore.results import (
    NEAR_SCORE,
    AddReport,
    BackupReport,
    Change,
    Cluster,
    Clustering,
    CompactReport,
    Drawing,
    Duplicate,
    Edge,
    Elbow,
    Evaluation,
    ExportReport,
    Failure,
    Finding,
    FoldersReport,
    IndexReport,
    Info,
    Member,
    Membership,
    MigrateReport,
    Neighbour,
    Operation,
    Original,
    RemoveReport,
    StoredImage,
    StoreMap,
    UndoReport,
)
from vecstore.search import duplicates, neighbour_graph
from vecstore.search.filters import Filter, allowed_rows
from vecstore.sources import archives, decoding
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import AnyPath, absolute, bytes_on_disk, network_file_system, on_disk, shown
from vecstore.sources.scan import (
    ALL_FILES,
    UNLISTED,
    Patterns,
    RecordArchive,
    count_pictures,
    pictures,
    require_pictures,
    roots_of,
    without_members,
)
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.connection import holds_store
from vecstore.storage.checksums import ChecksumVerifier, record_missing, recorded_embedder
from vecstore.storage.layout import CATALOG, INDEX, LOCK, MAP, VECTORS
from vecstore.storage.vector_file import Float16, Float32, VectorFile, make_directory, quantize_unit_rows
from vecstore.views import cluster_folders, contact_sheets, map_layout, originals, report
from vecstore.views.contact_sheets import Sheet
from vecstore.views.thumbnails import Thumbnails

if TYPE_CHECKING:
    from indexes.ann import Index

# An IMAGE: a file, the bytes that one would hold, or the id of a stored image as a number or as text, 12 or "@12".
ImageRef: TypeAlias = int | AnyPath | decoding.Encoded
OnProgress: TypeAlias = Callable[[Progress], None]

# The name recorded for vectors that came ready-made.
IMPORTED = "imported"

# How long a writer waits for another before it gives up, and before it says that it waits.
LOCK_TIMEOUT_SECONDS, SAY_SO_SECONDS = 60.0, 1.0
# What a place to make a store at can be blamed for; other errors are of the disk or the system.
OF_THE_PLACE = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG)
# What the time of a search is measured by, when it is asked for.
QUERIES_TO_TIME = 7


log = logging.getLogger(__name__)


class Store:
    """A store of vectors that grows with a folder of pictures. Open one with `Store.open`."""

    def __init__(
        self,
        path: Path,
        catalog: Catalog | None,
        name: str | None,
        options: EmbedderOptions,
        wait: float | None = None,
        address: Address | None = None,
    ) -> None:
        """Use `Store.open`. catalog: None for a store that its first add will make. address: of an engine elsewhere."""
        self.path = path
        self.device = choose_device(options.device)
        self._catalog = catalog
        self._options = options
        self._name = name
        self._spec = recorded_embedder(catalog) if catalog else None
        self._embedder: Embedder | None = None
        self._wait = wait
        self._thumbnails = Thumbnails()
        self._address = address
        self._opened_engine: Engine | None = None

    @classmethod
    def open(
        cls,
        path: AnyPath,
        *,
        embedder: str | None = None,
        weights: AnyPath | None = None,
        device: str = "auto",
        create: bool = False,
        quiet: bool = True,
        wait: float | None = None,
    ) -> "Store":
        """Open the store at `path`: a folder, or a URI such as `milvus://HOST:PORT/NAME` (docs/scaling.md).

        embedder, weights: what a new store's vectors are made by (default resnet50 with torchvision's weights); for
        an existing store they may be left out, and are checked if given. device: "auto", "cpu" or "cuda".
        create: let the first `add` make the store; nothing is on disk before it. quiet: no progress on a download.
        wait: how many seconds writing waits for another writer before it raises StoreBusy; a minute unless said.
        Raises NotFound without a store (and without `create`), BadInput if the place is taken by something else,
        WrongEmbedder, StoreDamaged.
        """
        folder, address = place_of(path)
        embedder = canonical_name(embedder) if embedder is not None else None
        options = EmbedderOptions(Path(os.fsdecode(weights)) if weights is not None else None, {}, device, quiet)
        if not holds_store(folder / CATALOG):
            if not create:
                raise NotFound(_no_store(folder, address))
            _require_room(folder)
            return cls(folder, None, embedder, options, wait, address)
        catalog = Catalog(folder / CATALOG)
        try:
            store = cls(folder, catalog, embedder, options, wait, address)
            if store.catalog.is_older():
                store._bring_up()
            store._require_same_embedder()
            store._require_same_engine()
        except BaseException:
            catalog.close()
            raise
        return store

    def close(self) -> None:
        """Let go of the store's files, and of its engine."""
        if self._opened_engine is not None:
            self._opened_engine.close()
        if self._catalog is not None:
            self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Growing

    def add(
        self,
        *paths: AnyPath,
        listed: Iterable[AnyPath] = (),
        patterns: Patterns = ALL_FILES,
        ray: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> AddReport:
        """Add pictures and folders of them; what the store has already is neither read nor embedded again.

        listed: more paths, from a list; one that is gone by now is a failure and not an error. patterns: which files
        of the folders to take. ray: the address of a Ray cluster to embed on (docs/scaling.md).
        Files that cannot be added are in `failures` and are tried again when they change.
        Raises NotFound for a missing path or when there is no picture in any, NothingAdded if every one failed,
        StoreBusy, and Interrupted after Ctrl-C; what was embedded by then is committed.
        """
        return self._add(_Selection.of(paths, listed, patterns), forget=False, ray=ray, on_progress=on_progress)

    def sync(
        self,
        *paths: AnyPath,
        listed: Iterable[AnyPath] = (),
        patterns: Patterns = ALL_FILES,
        ray: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> AddReport:
        """Add what is new, embed again what changed, and forget what is gone, so that the store equals the folders.

        Takes and raises what `add` does. A folder that is missing or has no pictures at all is refused, not taken for
        a deletion of all that was in it (it may be an unplugged disk): `remove` says so expressly. What the patterns
        leave out but is there is not forgotten.
        """
        return self._add(_Selection.of(paths, listed, patterns), forget=True, ray=ray, on_progress=on_progress)

    def preview(
        self, *paths: AnyPath, listed: Iterable[AnyPath] = (), patterns: Patterns = ALL_FILES
    ) -> Iterator[Change]:
        """Yield what `sync` would do, and do nothing: read and hash the files that look new or changed, embed none.

        Files that are as they were are left out. Whether a picture can be decoded is not tried. Raises what `sync`
        does before it starts.
        """
        selection = _Selection.of(paths, listed, patterns)
        self._require_pictures(selection, forget=True)
        return self._changes(selection)

    def follow(
        self,
        *paths: AnyPath,
        patterns: Patterns = ALL_FILES,
        on_progress: OnProgress | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[AddReport]:
        """Sync, then keep following the folders as they change; yield the report of each sync that did something.

        The first report is that of the first sync, and always comes. Ends when `stop` is set. The store is free for
        other writers in between. Raises what `sync` does, and NotFound when a folder goes away or is emptied as a
        whole: nothing is forgotten then.
        """
        from vecstore.sources.watch import folders_that_change

        selection = _Selection.of(paths, (), patterns)
        self._require_pictures(selection, forget=True)
        for number, changed in enumerate(folders_that_change(selection.roots, stop)):
            # Patterns are read from the folder that was named, so with them all of it is looked at.
            roots = changed if patterns == ALL_FILES else selection.roots
            report = self._bring_in(replace(selection, roots=roots), forget=True, on_progress=on_progress)
            if not number or report.added or report.updated or report.failed or report.forgotten:
                yield report

    def import_vectors(
        self, vectors: AnyPath, paths: AnyPath | None = None, on_progress: OnProgress | None = None
    ) -> AddReport:
        """Take ready-made vectors into the store, one a path.

        vectors: a .npy of shape (n, dim), or Parquet with columns `vector` and `path`; any length but 0, they are
        scaled to 1. paths: a text file of n paths. A file that is there is known by its content, like an added one;
        a path without a file is known by its name. A new store gets the vectors' dim, and an embedder that can embed
        nothing, unless it was opened with the name of the one that made them. What `export` wrote as Parquet comes
        with its embedder, its contents, and, into a store without clusters, its clusters and names. Raises BadInput and
        imports nothing if the files don't fit, WrongEmbedder if the store's vectors have another dim.
        """
        source = Path(os.fsdecode(vectors))
        exported = vector_import.open_export(source) if paths is None else None
        if exported is not None:
            return self._take_export(exported, on_progress)
        rows, named = vector_import.load(source, Path(os.fsdecode(paths)) if paths is not None else None)
        for _ in vector_import.unit_blocks(rows, source):  # all of them are looked at before the first is taken
            pass
        if self._catalog is None:
            self._create(self._spec_of_import(rows.shape[1]))
        if self._recorded().name not in (IMPORTED, self._name):
            raise WrongEmbedder(
                f"the vectors of the store {self.path} are made by {self._recorded().name}; if those of {source} are "
                "too, say so with --embedder, else use another --store"
            )
        if self._recorded().dim != rows.shape[1]:
            raise WrongEmbedder(
                f"{source} has {rows.shape[1]} numbers a vector, and the store {self.path} has {self._recorded().dim}, "
                f"made by {self._recorded().name}; use another --store"
            )
        with self._writing("import", shown(absolute(vectors))), self._engine.growing() as committed:
            units = (unit for block in vector_import.unit_blocks(rows, source) for unit in block)
            return self._ingestion(committed, on_progress=on_progress).take(map(_imported, named, units))

    def _take_export(self, exported: vector_import.Exported, on_progress: OnProgress | None) -> AddReport:
        for _ in exported.rows():  # all of them are looked at before the first is taken
            pass
        if self._name not in (None, exported.spec.name):
            named = replace(exported.spec, name=str(self._name))
            raise WrongEmbedder(_difference(exported.path, exported.spec, named))
        if self._catalog is None:
            self._create(exported.spec)
        if self._recorded() != exported.spec:
            raise WrongEmbedder(_difference(self.path, self._recorded(), exported.spec))
        with self._writing("import", shown(os.fsencode(exported.path))), self._engine.growing() as committed:
            report = self._ingestion(committed, on_progress=on_progress).take(map(_exported, exported.rows()))
            if exported.clusters is not None and not self.catalog.clusterings.all():
                lifecycle.take_over(self.catalog, exported.clusters, exported.rows())
            return report

    def retry_failures(self, on_progress: OnProgress | None = None) -> AddReport:
        """Try every file in `failures` again, also the unchanged ones; those that are gone are dropped from it."""
        failed = [os.fsencode(failure.path) for failure in self.failures()]
        with self._writing("retry", f"{len(failed)} failures"), self._engine.growing() as committed:
            unlisted = self.catalog.failures.of_size(UNLISTED)
            there = {p for p in failed if os.path.lexists(p) and (p in unlisted or not os.path.isdir(p))}
            gone = without_members({*failed} - there)
            self._forget(gone)
            selection = _Selection.of([], sorted({*failed}.difference(gone)), ALL_FILES)
            report = self._ingest(selection, committed, retry=True, on_progress=on_progress)
            return replace(report, forgotten=len(gone))

    def remove(self, *refs: ImageRef) -> RemoveReport:
        """Forget images: by id with all their paths, by path or folder those paths; an image goes with its last path.

        Nothing is removed if one of them is not in the store: raises NotFound. The files stay where they are.
        """
        with self._writing("remove", _named(refs)), self.catalog.writing():
            rows, paths = set(), set()
            for ref in refs:
                row = _as_row(ref)
                if row is not None:
                    self._require_row(row)
                    rows.add(row)
                else:
                    paths.update(self._known_at(absolute(_as_path(ref))))
            before = self.catalog.images.count()
            forgotten = self._forget(paths) + sum(self.catalog.paths.forget_all_of(row) for row in rows)
            return RemoveReport(removed=before - self.catalog.images.count(), forgotten=forgotten)

    def failures(self) -> list[Failure]:
        """Return the files that could not be added, and why, by path."""
        return self.catalog.failures.all()

    # Asking

    def similar(
        self,
        *refs: ImageRef,
        k: int = 10,
        minus: Sequence[ImageRef] = (),
        cluster: int | None = None,
        not_cluster: int | None = None,
        path: AnyPath | None = None,
        added_after: str | date | None = None,
        min_score: float | None = None,
        exact: bool = False,
    ) -> list[Neighbour]:
        """Return the k stored images nearest to the mean of `refs` less the mean of `minus`, nearest first.

        An image that is stored finds itself first, with score 1; other equal scores come in the order of ids. Fewer
        than k come back only where fewer fit.
        cluster, not_cluster: only images in, or not in, that cluster of the current clustering. path: only images of
        which a path fits this pattern (`selecting.path_test`). added_after: only images that were added then or later,
        a date, a datetime or text (`selecting.moment`). min_score: only scores of at least this, in [-1, 1].
        exact: never an approximate index.
        Raises NotFound for an image or cluster that is not there, BadInput on a picture that cannot be read, and for
        conditions that cannot be.
        """
        if not refs:
            raise BadInput("name at least one image to find others like it")
        _require_bounds(k, min_score)
        conditions = Filter(cluster, not_cluster, path, added_after)
        with self.catalog.reading():
            vectors = self._vectors()
            # At once: a writer may put one of newer rows in its place.
            index = self._engine.searcher(vectors, exact=exact)
            allowed = self._allowed(len(vectors), conditions)
            guard = ChecksumVerifier(self.catalog, vectors)
            query, own = self._query(refs, minus)
            found = index.search(query[None], k, allowed)
            hits = list(zip(found.rows[0].tolist(), found.scores[0].tolist(), strict=True))
            if own is not None and (allowed is None or allowed[own]):
                hits = _own_first(own, hits)
            guard.require(row for row, _ in hits)
            return self._neighbours(hits, min_score)

    def neighbours(
        self,
        *,
        k: int = 10,
        cluster: int | None = None,
        not_cluster: int | None = None,
        path: AnyPath | None = None,
        added_after: str | date | None = None,
        min_score: float | None = None,
        exact: bool = False,
    ) -> Iterator[Edge]:
        """Yield the k nearest of every image, by id and then nearest first: the k-NN graph of the store.

        An image is not among its own neighbours. The conditions are those of `similar`, and hold for the images that
        are asked for as for those found: with `cluster`, the graph of that cluster. Memory does not grow with the
        graph. It is that of the store as it is now; images removed while it is read are left out. Raises what
        `similar` does, before the first step.
        """
        _require_bounds(k, min_score)
        conditions = Filter(cluster, not_cluster, path, added_after)
        with self.catalog.reading():
            vectors = self._vectors()
            allowed = self._allowed(len(vectors), conditions)
            index = self._engine.searcher(vectors, exact=exact, many=True)
        found, guard = (
            neighbour_graph.nearest_of_each(index, vectors, allowed, k),
            ChecksumVerifier(self.catalog, vectors),
        )
        return (edge for query, near in found for edge in self._edges(query, near, min_score, guard))

    def duplicates(self, *, min_score: float = NEAR_SCORE, exact: bool = False) -> Iterator[Duplicate]:
        """Return the groups of equal and nearly equal images, a path at a time, each group's keeper first.

        The keeper has the most pixels (of equals, the least id); every other image of the group has a score of at
        least `min_score` with it, in [-1, 1], and no two keepers have, so that a store with the keepers alone has
        no duplicates. exact: only the same content under several paths; no vector is read.
        Groups are numbered from 1 by their keepers' ids. Every pair is compared before the first is returned, in
        memory of some 300 bytes an image. Raises BadInput for a score that cannot be.
        """
        _require_bounds(1, min_score)
        with self.catalog.reading():
            vectors = None if exact else self._vectors()
            return iter(duplicates.find(self.catalog, vectors, min_score))

    def outliers(self, k: int = 10) -> list[Member]:
        """Return the k images that are farthest from their centroid, which is the nearest of all, these first.

        Raises NotFound before the first clustering.
        """
        _require_bounds(k)
        with self.catalog.reading():
            farthest = self.catalog.memberships.farthest(
                self._clustered().clustering, min(k, self.catalog.images.row_count())
            )
            return [Member(row, os.fsdecode(path), distance) for row, path, distance in farthest]

    # Looking

    def thumbnail(self, ref: ImageRef) -> bytes:
        """Return the thumbnail of a stored image: a JPEG of at most 320 pixels on the longer side, upright.

        It is made once and kept in the cache folder, and served from there also when the file is gone. Raises NotFound
        for an image or a file that is not there, BadInput for a file that cannot be read or is another picture by now.
        """
        with self.catalog.reading():
            row = self._stored(ref)
            paths, sha256 = self.catalog.paths.of(row), self.catalog.images.sha256_of(row)
        try:
            return self._thumbnails.of_any(paths, sha256 or b"")
        except decoding.Unreadable as error:
            raise BadInput(f"{shown(paths[0])}: {error}") from error

    def map(self, *, rebuild: bool = False, seed: int | None = None) -> StoreMap:
        """Return a position on a plane for every image, near where images are alike; of a large store, for a sample.

        The map is kept in the store, and goes on: mapping again places the images added since and moves no other, until
        there are four times as many as it was made for. rebuild: make it anew. seed: of a new map, 0 unless said; a
        map of another seed is made anew. While another process writes, or where the store cannot be written to, the
        answer is the same and nothing is kept. Images that were removed are not on it.
        """
        with self.catalog.reading():
            vectors, alive = self._vectors(), np.array(self.catalog.images.alive_rows(), np.int64)
        rows = map_layout.chosen(alive)
        kept = map_layout.StoredMap(
            self.path / MAP, {"created": self.catalog.created(), "embedder": self.catalog.embedder()}
        )
        layout = kept.brought_up_to_date(vectors, rows, len(alive), seed, rebuild, lambda: self._lock(wait=0))
        with self.catalog.reading():
            return map_layout.described(self.catalog, layout, rows)

    def sheet(
        self,
        cluster: int | None = None,
        *,
        similar: ImageRef | None = None,
        representatives: bool = False,
        k: int | None = None,
        farthest: bool = False,
    ) -> Sheet:
        """Return what a contact sheet shows, for `contact_sheets.write_sheet` to draw.

        cluster: k (60) of its images, most typical first, or farthest first. similar: an image, with the k (30) nearest
        to it. representatives: the most typical image of every cluster. None of them: a row of k (6) for every cluster.
        Raises NotFound and BadInput as `members` and `similar` do, and BadInput for more than one of them.
        """
        if (cluster is not None) + (similar is not None) + representatives > 1:
            raise BadInput("a sheet is of one cluster, of what is similar to an image, or of the representatives")
        if similar is not None:
            hits = self.similar(similar, k=k or 30)
            query, picture = self._asked_for(similar)
            return contact_sheets.of_similar(query, picture, hits, self.catalog.images.count())
        if cluster is not None:
            members = self.members(cluster, k or 60, farthest=farthest)
            (described,) = (found for found in self.clusters() if found.cluster == cluster)
            return contact_sheets.of_cluster(described, members, farthest)
        if representatives:
            return contact_sheets.of_representatives(self.clusters()[:k])
        found = self.clusters()
        return contact_sheets.of_clusters([(c, self.members(c.cluster, k or 6, farthest=farthest)) for c in found])

    def _asked_for(self, ref: ImageRef) -> tuple[str, bytes | None]:
        """Return what an image is called, and a thumbnail of it if it is not stored."""
        found = self._resolve(ref)
        if isinstance(found, int):
            return contact_sheets.name(os.fsdecode(self.catalog.paths.first_of(found) or b"")), None
        path = absolute(_as_path(ref))
        return contact_sheets.name(os.fsdecode(path)), self._thumbnails.of(path, hashlib.sha256(found).digest())

    def report(self, file: AnyPath, *, since: str | None = None) -> Drawing:
        """Write a report on the store as one page: numbers, map, clusters, choice of k, duplicates, failures.

        The page is whole in itself: thumbnails are in it, bounded in bytes together; it loads nothing. since: also what
        is new, moved, born and gone since a moment (`selecting.moment`) or a clustering, by its number. Raises BadInput
        for a file that does not end in .html or a moment that is none, NotFound for no such clustering, OSError.
        """
        return report.write_report(self, Path(os.fsdecode(file)), since)

    def info(self) -> Info:
        """Return what the store is: sizes, embedder, index, clusters and drift."""
        catalog, spec = self.catalog, self._recorded()
        with catalog.reading():
            index = self._engine.searcher(self._vectors())
            drift = self._drift()
            return Info(
                store=str(self.path),
                engine=self._engine.name,
                images=catalog.images.count(),
                paths=catalog.paths.count(),
                failures=catalog.failures.count(),
                dim=spec.dim,
                embedder=spec.name,
                weights=", ".join(spec.weights.values()) or None,
                index=index.kind,
                recall=index.recall,
                index_bytes=index.bytes,
                query_ms=_median_ms(index, self._vectors()),
                clusters=catalog.clusterings.cluster_count(),
                drift=drift,
                recluster=lifecycle.is_past_bound(drift),
                bytes=bytes_on_disk(self.path),
                created=catalog.created(),
            )

    def index(
        self,
        *,
        kind: str | None = None,
        target_recall: float | None = None,
        memory_budget: int | None = None,
        rebuild: bool = False,
    ) -> IndexReport:
        """Bring the index up to date with every image, and measure it; adding does so by itself when it is due.

        What is said of it is recorded, and holds for later adds. kind: "auto" (by the number of images), "exact"
        (none), "rabitq" or "pq"; in Milvus "ivf_sq8" or "hnsw". target_recall: of ten neighbours, in (0, 1]; 0.99
        unless said. memory_budget: bytes that it may take here; 0: no bound. rebuild: make it anew. Raises BadInput,
        StoreBusy.
        """
        started = time.monotonic()
        with self._writing():
            *kinds, last = self._engine.capabilities.index_kinds
            if kind not in (None, *kinds, last):
                raise BadInput(f"no kind of index is called {kind!r}; choose {', '.join(kinds)} or {last}")
            before = self._index_settings()
            settings = replace(
                before,
                kind=before.kind if kind is None else kind,
                target_recall=before.target_recall if target_recall is None else target_recall,
                memory_budget=before.memory_budget if memory_budget is None else memory_budget or None,
            )
            self.catalog.set_index_settings(settings.to_json())
            self._engine.build_index(settings, rebuild)
            vectors = self._vectors()
            index = self._engine.searcher(vectors)
            return IndexReport(
                index=index.kind,
                rows=len(vectors),
                recall=index.recall,
                target_recall=settings.target_recall,
                index_bytes=index.bytes,
                query_ms=_median_ms(index, vectors),
                seconds=time.monotonic() - started,
            )

    # Looking after it

    def check(self, *, files: bool = False, repair: bool = False) -> list[Finding]:
        """Return what is wrong with the store, each file against what the catalog says of it; nothing if it is whole.

        files: read every picture too, and compare its content with what was added. repair: mend what can be mended; see
        `Finding.repaired`. Images whose vector is damaged are not found from then on, and are embedded again from
        their files if those have the same content and the embedder can be opened. Raises StoreBusy for a repair.
        """
        embedder = self._loaded_embedder
        parts = check.Parts(self.catalog, self._vector_file(), self.path / INDEX, self._engine, self.device, embedder)
        if not repair:
            with self.catalog.reading():
                return check.check(parts, files)
        with self._lock():  # not `_writing`, which refuses a vector file that is too short
            found = check.repair(parts, files)
            self._tell_engine()
            return found

    def damage(self) -> str | None:
        """Return in words the first thing that is wrong with the store, None if it is whole."""
        try:
            found = self.check()
        except Exception as error:
            return f"it cannot be checked ({error})"
        return f"{found[0].where}: {found[0].what}" if found else None

    def compact(self, *, keep_clusterings: int | None = None) -> CompactReport:
        """Give the room of removed images back to the disk; every other image keeps its id.

        A content that comes back later is a new image, embedded again, and undo cannot bring it back. keep_clusterings:
        forget the labels of all but so many clusterings, the last ones, and the current one; going back to one assigns
        its labels anew. Can be killed at any moment; the next one goes on. Raises StoreBusy, also for a reader that is
        in the middle of a long answer.
        """
        if keep_clusterings is not None and keep_clusterings < 1:
            raise BadInput(f"{keep_clusterings} clusterings cannot be kept; it must be at least 1")
        started = time.monotonic()
        with self._writing():
            before = bytes_on_disk(self.path)
            images = compact.compact(self.catalog, self._vector_file(), self._engine, keep_clusterings)
            return CompactReport(images, before, bytes_on_disk(self.path), time.monotonic() - started)

    def backup(self, target: AnyPath, *, index: bool = True) -> BackupReport:
        """Copy the store as it is now to a new folder, which is a store; others may write meanwhile.

        Everything is compared with its checksums before the folder appears, whole or not at all. index: copy the index
        too, if there is one. Raises BadInput if something is there already, StoreDamaged for what should not be copied.
        """
        return backup.backup(self.catalog, Path(os.fsdecode(absolute(target))), with_index=index)

    def export(self, file: AnyPath, paths: AnyPath | None = None) -> ExportReport:
        """Write all images to a file that `import_vectors` takes back, vectors bit for bit.

        file: Parquet, with contents, clusters and names; or .npy, with a list of the paths beside it, `paths` or the
        same name with .txt. Images are in the order of their ids, one that has several paths comes so many times. Ids
        are not taken back: rows without an image are left out. Raises BadInput if a file is there already.
        """
        from vecstore.maintenance import export

        with self.catalog.reading():
            target = Path(os.fsdecode(absolute(file)))
            listed = Path(os.fsdecode(absolute(paths))) if paths is not None else None
            return export.export(self.catalog, self._recorded(), self._vectors(), target, listed)

    def operations(self) -> list[Operation]:
        """Return what was done and can be undone, or redone, the last first; `OPERATIONS_KEPT` at the most."""
        return self.catalog.operations.all()

    def undo(self, *, redo: bool = False) -> UndoReport:
        """Undo the last add, sync, import, remove, clustering or naming; again, the one before. redo: take that back.

        Vectors stay, so that adding the same again embeds nothing. Raises NotFound if there is nothing to undo.
        """
        with self._writing(), self.catalog.writing():
            done = [found for found in self.catalog.operations.all() if found.undone == redo]
            if not done:
                raise NotFound(f"nothing to {'redo' if redo else 'undo'} in the store {self.path}")
            report = self.catalog.operations.undo(done[-1] if redo else done[0])
            current = self.catalog.clusterings.current()
            if current is not None:  # one whose labels were forgotten, or from before some images were added
                lifecycle.assign_missing(self.catalog, self._vectors(), current, self.device)
            return report

    def migrate(
        self, destination: AnyPath, *, compare_all: bool = False, on_progress: OnProgress | None = None
    ) -> MigrateReport:
        """Copy the store to another folder or engine, named as for `open`, and verify the copy; this one stays.

        Ids, paths, clusterings and names are the same there. All rows are compared by checksum, and of an engine that
        keeps vectors of its own a sample, or with compare_all every one. After a kill, the same call goes on. Raises
        BadInput if anything else is at the destination, StoreBusy, and what the engine does.
        """
        from vecstore.maintenance.migrate import Destination, migrate

        folder, address = place_of(destination)
        if folder == self.path:
            raise BadInput(f"{folder} is the store itself; name another destination")
        with self._lock():
            to = Destination(folder, address, self.device)
            return migrate(self.catalog, self._vector_file(), to, compare_all, on_progress or (lambda _progress: None))

    # Clusters

    def cluster(
        self,
        k: int | Literal["auto"] | None = None,
        *,
        seed: int = 0,
        iterations: int = 25,
        restarts: int | None = None,
        spherical: bool = False,
        init: str = "random",
        warm_start: bool = False,
        within: int | None = None,
        full_iterations: int = 0,
        ray: str | None = None,
        segments: str | None = None,
        on_progress: lifecycle.OnClusterProgress | None = None,
    ) -> FittedClustering:
        """Run k-means over all images and make it the current clustering.

        Clusters keep the ids and names of those of the clustering before that they share their images with.
        k: how many clusters, or "auto" (`elbow`). restarts: how many times to run; the run with the least objective is
        kept. None: 30, or as many as pay on a store of this size. init: "random" or "kmeans++". warm_start: one run
        from the current centroids, k being theirs. within: split this cluster into k, and leave the others as they are.
        full_iterations: at the most so many iterations over all images after those on a sample. ray: the address of a
        Ray cluster that goes through all images. segments: a path or URI that its machines read the vectors from, kept
        up to date; None: they see the store's folder.
        The result depends on the images, k, these options and, where it starts from them, the current clusters alone
        (on a CPU); a run that was killed is gone on with when the same is asked for. Raises BadInput if k is more than
        the images, NotFound if there is no such cluster, StoreBusy.
        """
        from indexes.kmeans import KMeansOptions

        if not 1 <= iterations < 2**31 or not 1 <= (restarts or 1) < 2**31 or restarts == 0:
            raise BadInput("iterations and restarts must be at least 1, and less than 2147483648")
        if full_iterations < 0:
            raise BadInput(f"full iterations are 0 or more, not {full_iterations}")
        if segments is not None and ray is None:
            raise BadInput("segments are for a Ray cluster; name one with --ray, or leave them out")
        if warm_start and (restarts or 1) > 1:
            raise BadInput("a warm start makes one run, from the current centroids; leave restarts out")
        if warm_start and within is not None:
            raise BadInput("a cluster is split from new centroids; leave the warm start or `within` out")
        options = KMeansOptions(seed, iterations, restarts, spherical, init)
        with self._writing("cluster", f"{'a warm start' if k is None else f'-k {k}'}{_within(within)}"):
            vectors, reason = self._vectors(), None
            if k == "auto":
                from vecstore.clustering import elbow

                rows = lifecycle.searchable_rows(self.catalog, within)
                chosen = elbow.sweep(vectors, rows, seed=seed, device=self.device)
                k, reason = chosen.k, chosen.reason
            request = lifecycle.Request(k, options, warm_start, within, full_iterations, reason)
            with self._blocks(vectors, ray, segments) as blocks:
                run = lifecycle.run(self.catalog, vectors, request, self.device, self.path, on_progress, blocks)
        return FittedClustering.of(run, self.path / CATALOG)

    def use_clustering(self, number: int) -> tuple[FittedClustering, int]:
        """Go back to an earlier clustering: it is the current one from now on, and what is clustered next is matched
        to it.

        Returns it, and how many images had been added since and are assigned to it. Raises NotFound, StoreBusy.
        """
        with self._writing("cluster", f"--use {number}"):
            run, assigned = lifecycle.use(self.catalog, self._vectors(), number, self.device)
        return FittedClustering.of(run, self.path / CATALOG), assigned

    def clusterings(self) -> list[Clustering]:
        """Return all clusterings that were made, the first first."""
        return self.catalog.clusterings.all()

    def name_cluster(self, cluster: int, name: str) -> Cluster:
        """Name a cluster and return it; it keeps the name as long as it keeps its id. An empty name takes it away.

        Raises NotFound for no such cluster, BadInput for a name with control characters, or that another cluster has.
        """
        with self._writing("name", f"cluster {cluster}"), self.catalog.writing():
            current = self._clustered()
            lifecycle.give_name(self.catalog, current.clustering, cluster, name)
            return next(found for found in lifecycle.describe(self.catalog, current) if found.cluster == cluster)

    def clusters(self) -> list[Cluster]:
        """Return the clusters of the current clustering, largest first. Raises NotFound before the first."""
        with self.catalog.reading():
            return lifecycle.describe(self.catalog, self._clustered())

    def recluster_advised(self) -> bool:
        """Say whether the drift is past the bound from which a new clustering is advised (docs/design.md, Drift)."""
        return lifecycle.is_past_bound(self._drift())

    def members(self, cluster: int, k: int | None = None, *, farthest: bool = False, start: int = 0) -> list[Member]:
        """Return a cluster's images, most typical first, or farthest from the centroid first; at most k.

        start: how many to pass over, to read on where an earlier call ended. Raises NotFound if there is no such
        cluster.
        """
        _require_bounds(1 if k is None else k)
        if start < 0:
            raise BadInput(f"start is {start}; it must be at least 0")
        with self.catalog.reading():
            current = self._clustered().clustering
            self.catalog.clusterings.require_cluster(current, cluster)
            most = -1 if k is None else min(k, self.catalog.images.row_count())
            members = self.catalog.memberships.members(
                current, cluster, most, farthest, min(start, self.catalog.images.row_count())
            )
            return [Member(row, os.fsdecode(path), distance) for row, path, distance in members]

    def make_folders(
        self,
        target: AnyPath,
        cluster: int | None = None,
        *,
        link: bool = False,
        k: int | None = None,
        farthest: bool = False,
    ) -> FoldersReport:
        """Copy the pictures of a cluster, or of all, into a folder per cluster below `target`; link: symbolic links.

        k, farthest: which members, as in `members`. A picture of several paths comes once; two files of one name get
        different ones. Originals are not touched and nothing is overwritten: raises BadInput if a cluster's folder is
        there and not empty, or on a link into an archive, and makes nothing then. NotFound if there is no such cluster.
        """
        with self.catalog.reading():
            if cluster is not None:
                self.catalog.clusterings.require_cluster(self._clustered().clustering, cluster)
            found = [
                (described, self.members(described.cluster, k, farthest=farthest))
                for described in self.clusters()
                if cluster in (None, described.cluster)
            ]
            return cluster_folders.make_folders(self.catalog, found, Path(os.fsdecode(absolute(target))), link=link)

    def elbow(self, *, seed: int = 0, max_k: int | None = None, within: int | None = None) -> Elbow:
        """Return loss and silhouette against k, on a sample, and the k that `cluster("auto")` takes, with its reason.

        max_k: 100, or a tenth of the images if that is less. within: only this cluster's images. Raises BadInput on
        too few images or a max_k that cannot be, NotFound if there is no such cluster.
        """
        from vecstore.clustering import elbow

        with self.catalog.reading():
            rows = lifecycle.searchable_rows(self.catalog, within)
            return elbow.sweep(self._vectors(), rows, seed=seed, device=self.device, max_k=max_k)

    def evaluate(self, *, labels: AnyPath | None = None, neighbours: int = 10) -> Evaluation:
        """Return how well the current clusters, and nearest neighbours, agree with labels.

        labels: a CSV of path,label; without one, the label is the name of the folder that an image's path is in (that
        of the first path, if there are several). neighbours: how many to judge of each image. Images without a label
        are left out. Raises NotFound without clusters or without labelled images, BadInput on a table that is none.
        """
        if neighbours < 1:
            raise BadInput(f"neighbours is {neighbours}; it must be at least 1")
        table = evaluation.read_labels(labels) if labels is not None else None
        with self.catalog.reading():
            current = self._clustered().clustering
            found: dict[int, tuple[bytes, str]] = {}
            for row, path in sorted(self.catalog.paths.all()):
                label = evaluation.folder_label(path) if table is None else table.get(path)
                if label is not None and row not in found:
                    found[row] = (path, label)
            if not found:
                source = "its folders" if labels is None else shown(absolute(labels))
                raise NotFound(f"no image of the store {self.path} has a label in {source}; name a table of its paths")
            named = {row: label for row, (_, label) in found.items()}
            clusters = {row: cluster for row, cluster, _ in self.catalog.memberships.all(current)}
            precision = self._precision(named, neighbours)
            return evaluation.compare(
                [(row, path) for row, (path, _) in found.items()], named, clusters, precision, neighbours
            )

    def _precision(self, labels: dict[int, str], n: int) -> float | None:
        """Return the part of the n nearest labelled neighbours of an image that has its label, over many images."""
        if len(labels) <= n:
            return None
        vectors = self._vectors()
        numbers = {label: number for number, label in enumerate(sorted({*labels.values()}))}
        label_of = np.full(len(vectors), -1, np.int64)
        label_of[[*labels]] = [numbers[label] for label in labels.values()]
        queries = evaluation.queries(sorted(labels))
        index, allowed = self._engine.searcher(vectors), label_of >= 0
        nearest = []
        for row in queries:  # n + 1: an image finds itself too
            found = index.search(np.asarray(vectors[row], np.float32)[None], n + 1, allowed).rows[0]
            nearest.append(found[found != row][:n])
        return evaluation.precision_at(label_of[np.array(nearest)], label_of[queries])

    def image(self, ref: ImageRef) -> StoredImage:
        """Return what the store knows of an image. Raises NotFound for one that is not stored."""
        with self.catalog.reading():
            return self._stored_image(self._stored(ref))

    def images(self, k: int = 100, *, before: int | None = None) -> list[StoredImage]:
        """Return the k images that were added last, the newest first. before: only those of lower ids than this one,
        to read on where an earlier call ended."""
        _require_bounds(k)
        with self.catalog.reading():
            n_rows = self.catalog.images.row_count()
            before = n_rows if before is None else min(max(before, 0), n_rows)
            return [self._stored_image(row) for row in self.catalog.images.newest_rows(min(k, n_rows), before)]

    def original(self, ref: ImageRef) -> Original:
        """Return a stored picture as a browser can show it: its file's bytes, or a JPEG of the formats that none shows.

        Raises NotFound for an image that is not stored, or whose file is gone or another picture by now; BadInput for
        one that cannot be shown.
        """
        with self.catalog.reading():
            row = self._stored(ref)
            paths, sha256 = self.catalog.paths.of(row), self.catalog.images.sha256_of(row)
        return originals.original(paths, sha256 or b"")

    def _stored(self, ref: ImageRef) -> int:
        found = self._resolve(ref)
        if not isinstance(found, int):
            raise NotFound(f"{_called(ref)} is not in the store {self.path}; `vecstore add` it first")
        return found

    def _stored_image(self, row: int) -> StoredImage:
        cluster, distance = self.catalog.memberships.cluster_of(row) or (None, None)
        paths = tuple(os.fsdecode(path) for path in self.catalog.paths.of(row))
        return StoredImage(row, paths, *self.catalog.images.size_and_time(row), cluster, distance)

    def which(self, *refs: ImageRef) -> list[Membership]:
        """Return the cluster of each image; one that is not in the store is embedded and assigned, not added."""
        with self.catalog.reading():
            current = self._clustered()
            return [self._membership(current, ref) for ref in refs]

    # What the above are made of

    @property
    def catalog(self) -> Catalog:
        if self._catalog is None:
            raise NotFound(f"no store at {self.path} yet; its first `add` makes it")
        return self._catalog

    @property
    def embedder(self) -> Embedder:
        """The embedder, opened when first asked for, with the recorded weights. Raises WrongEmbedder."""
        if self._embedder is None:
            name = self._spec.name if self._spec else (self._name or DEFAULT_EMBEDDER)
            if name == IMPORTED:
                raise BadInput(
                    f"the vectors of the store {self.path} were imported, and what made them was not named; "
                    "import the vectors of new pictures too, or make a new --store with `vecstore add`"
                )
            expected = self._spec.weights if self._spec else {}
            embedder = open_embedder(name, replace(self._options, expected=expected))
            if self._spec is not None and embedder.spec != self._spec:
                raise WrongEmbedder(_difference(self.path, self._spec, embedder.spec))
            self._embedder = embedder
        return self._embedder

    def _spec_of_import(self, dim: int) -> EmbedderSpec:
        """Return the embedder to record for a new store of imported vectors: the one named, else one that is none."""
        if self._name is None:
            return EmbedderSpec(IMPORTED, 1, None, dim, "unknown: the vectors were imported")
        if self.embedder.spec.dim != dim:
            raise WrongEmbedder(f"{self._name} makes {self.embedder.spec.dim} numbers a vector, not {dim}")
        return self.embedder.spec

    def _loaded_embedder(self) -> Embedder:
        self.embedder.load()
        return self.embedder

    def _require_same_embedder(self) -> None:
        spec = self._recorded()
        if self._name is not None and self._name != spec.name:
            raise WrongEmbedder(_difference(self.path, spec, replace(spec, name=self._name)))
        if self._options.weights is not None:
            _ = self.embedder  # compares the weights

    def _recorded(self) -> EmbedderSpec:
        if self._spec is None:
            self._spec = recorded_embedder(self.catalog)
        return self._spec

    @contextmanager
    def _lock(self, wait: float | None = None) -> Iterator[None]:
        """Hold the store's lock. Raises StoreBusy after waiting for another writer, VecstoreError where none may be."""
        lock = filelock.FileLock(self.path / LOCK)
        if wait is None:
            wait = LOCK_TIMEOUT_SECONDS if self._wait is None else self._wait
        try:
            try:
                lock.acquire(min(wait, SAY_SO_SECONDS))
            except filelock.Timeout:
                if wait <= SAY_SO_SECONDS:
                    raise
                log.warning("another process is writing to the store %s; waiting for it, up to %g s", self.path, wait)
                lock.acquire(wait - SAY_SO_SECONDS)
        except filelock.Timeout as error:
            raise StoreBusy(
                f"another process is writing to the store {self.path}; nothing was done: try again when it has ended"
            ) from error
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            raise VecstoreError(f"the store {self.path} cannot be written to: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _writing(self, kind: str | None = None, what: str = "") -> Iterator[None]:
        """Hold the lock, with the vector file cut to the rows that the catalog has.

        kind, what: of the operation that this is, to be undone as one (`Operation`); None: of none.
        """
        with self._lock():
            if self.catalog.is_wal() and (network := network_file_system(self.path)) is not None:
                log.warning(
                    "the store %s was moved to a network disk (%s): use it from one machine alone, or make a backup of "
                    "it there; see docs/durability.md",
                    self.path,
                    network,
                )
            self._vector_file().truncate_uncommitted(self.catalog.images.row_count())
            with self.catalog.writing():
                self.catalog.images.purge_removed(quarantined_only=True)
            with self.catalog.operations.announced(kind, what) if kind is not None else _nothing():
                yield
            self._tell_engine()

    def _tell_engine(self) -> None:
        """Have the engine told of what was committed; where it is away that holds, and it is told later."""
        try:
            self._engine.flush_pending()
        except EngineUnavailable as error:
            log.warning(
                "what was done is safe; %s is told of it by the next command that writes (%s)", self._engine.name, error
            )

    def _bring_up(self) -> None:
        """Bring an older store up to this format, in one transaction."""
        try:
            with self._lock(), self.catalog.writing():
                lacks_checksums = self.catalog.lacks_checksums()  # or another process has been here before
                self.catalog.migrate()
                if lacks_checksums:
                    record_missing(self.catalog, self._vector_file())
        except StoreBusy:
            raise
        except VecstoreError as error:
            raise type(error)(
                f"the store {self.path} is of an older format and has to be brought up to date once, by someone who "
                f"may write to it: {error}"
            ) from error

    def _require_same_engine(self) -> None:
        """Let a folder be searched by the engine on record, and no folder by an engine that it was not made for."""
        if self.catalog.engine.migrating() is not None:
            raise StoreDamaged(
                f"the copying of a store to {self.path} has not ended; run the same `vecstore migrate` again to go on"
            )
        recorded = self.catalog.engine.uri()
        if self._address is None and recorded is not None:
            self._address = replace(Address.parse(recorded), companion=self.path)
        elif self._address is not None and recorded is None:
            raise BadInput(
                f"{self.path} is a store of its own, not the companion of {self._address.shown}; "
                f"`vecstore migrate {self.path} {self._address.shown}` moves it there"
            )

    @property
    def _engine(self) -> Engine:
        """What searches the vectors; nothing is connected to before that is asked for."""
        if self._opened_engine is None:
            self._opened_engine = engine_for(self.path, self._address, self.catalog, self._vector_file(), self.device)
        return self._opened_engine

    def _create(self, spec: EmbedderSpec) -> None:
        """Make the store on disk, unless another process has just done so. Raises WrongEmbedder if that differs."""
        try:
            make_directory(self.path)
        except OSError as error:
            kind = BadInput if error.errno in OF_THE_PLACE else VecstoreError
            raise kind(f"no store can be made at {self.path}: {error.strerror}; choose another --store") from error
        catalog = self.path / CATALOG
        with self._lock():
            if not holds_store(catalog):
                catalog.unlink(missing_ok=True)  # of a creation that was killed
                require_room(self._address)
                network = network_file_system(self.path)
                if network is not None:
                    log.warning("the store %s is on a network disk (%s); see docs/durability.md", self.path, network)
                engine = self._address.shown if self._address else None
                Catalog.create(catalog, spec.to_json(), engine, shared=network is not None).close()
        opened = Catalog(catalog)
        recorded = recorded_embedder(opened)
        if recorded != spec:
            opened.close()
            raise WrongEmbedder(_difference(self.path, recorded, spec))
        self._catalog, self._spec = opened, recorded

    def _vector_file(self) -> VectorFile:
        return VectorFile(self.path / VECTORS, self._recorded().dim)

    def _vectors(self) -> Float16:
        """Return all rows that the catalog counts, mapped. Inside a read transaction the two agree."""
        return self._vector_file().read(self.catalog.images.row_count())

    def _index_settings(self) -> IndexSettings:
        return IndexSettings.from_json(self.catalog.index_settings())

    def _add(self, selection: "_Selection", forget: bool, ray: str | None, on_progress: OnProgress | None) -> AddReport:
        self._require_pictures(selection, forget)
        report = self._bring_in(selection, forget, ray, on_progress)
        if report.failed and report.failed == report.seen:
            raise NothingAdded(
                f"none of the {report.failed} files could be added; `vecstore failures --store {self.path}` says why"
            )
        return report

    def _bring_in(
        self,
        selection: "_Selection",
        forget: bool,
        ray: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> AddReport:
        if self._catalog is None:
            self._create(self._loaded_embedder().spec)
        with self._writing("sync" if forget else "add", _named(selection.roots)), self._engine.growing() as committed:
            report = self._ingest(selection, committed, ray=ray, on_progress=on_progress)
            if forget:
                report = replace(report, forgotten=self._forget(self._gone(selection.roots)))
        return report

    def _require_pictures(self, selection: "_Selection", forget: bool) -> None:
        require_pictures(selection.roots, selection.named, selection.patterns, self._catalog)
        if forget and self._catalog is not None:
            for root in selection.roots:  # an unplugged disk can leave its empty folder behind
                if os.path.isdir(root) and any(True for _ in self.catalog.paths.under(root)):
                    require_pictures([root], selection.named, catalog=self._catalog)

    def _ingest(
        self,
        selection: "_Selection",
        committed: OnCommit,
        *,
        retry: bool = False,
        ray: str | None = None,
        on_progress: OnProgress | None,
    ) -> AddReport:
        for folder in self.catalog.failures.of_size(UNLISTED):
            if os.access(folder, os.R_OK):  # it can be listed by now; if it is scanned and cannot, it fails again
                self.catalog.failures.forget(folder)
        ingest = self._ingestion(committed, retry, on_progress, lambda: count_pictures(selection.roots))
        known = None if retry else self.catalog
        files = selection.pictures(self.path, known, self.catalog.archives.record)
        if ray is not None:
            from vecstore.engines.ray_embedding import RayEmbedding

            return ingest.run_elsewhere(files, RayEmbedding(ray, self._recorded(), self._options).embedded)
        return ingest.run(files)

    def _ingestion(
        self,
        committed: OnCommit,
        retry: bool = False,
        on_progress: OnProgress | None = None,
        total: Callable[[], int] | None = None,
    ) -> Ingest:
        current = lifecycle.current(self.catalog, self._recorded().dim, self.device)
        vectors, embedder = self._vector_file(), self._loaded_embedder
        return Ingest(self.catalog, vectors, embedder, current, retry, on_progress, total, committed)

    @contextmanager
    def _blocks(self, vectors: Float16, ray: str | None, segments: str | None) -> Iterator[Blocks]:
        """Yield who goes through all rows: this machine, or a Ray cluster."""
        if ray is None:
            yield LocalBlocks(vectors, self.device)
            return
        from vecstore.engines.ray_blocks import RayBlocks
        from vecstore.engines.ray_cluster import connected
        from vecstore.engines.segments import RowFile, RowSource, Segments

        source: RowSource = RowFile(self.path / VECTORS, self._recorded().dim)
        if segments is not None:
            source = Segments(segments, self._recorded().dim, f"{self.catalog.created()} {self.catalog.embedder()}")
            source.publish(vectors)
        with connected(ray) as cluster:
            yield RayBlocks(cluster, source, self._options.device)

    def _changes(self, selection: "_Selection") -> Iterator[Change]:
        catalog = self._catalog
        for file in selection.pictures(self.path, catalog):
            known = catalog.paths.known(file.path) if catalog else None
            if known is not None and known.is_as_in(file):
                continue
            if catalog and catalog.failures.has(file):
                continue
            path = os.fsdecode(file.path)
            try:
                content = archives.read(file)
            except decoding.Unreadable:
                yield Change("fail", path)
                continue
            row = catalog.images.row_of(content.sha256) if catalog else None
            if known is not None and known.row != row:
                yield Change("update", path)
            elif catalog is None or row is None or not catalog.images.is_alive(row):
                yield Change("add", path)
            elif known is None:
                yield Change("know", path)
        if catalog is not None:
            yield from (Change("forget", os.fsdecode(path)) for path in self._gone(selection.roots))

    def _gone(self, roots: Iterable[bytes]) -> list[bytes]:
        known = {path for root in roots for path in self.catalog.paths.under(root)}
        return without_members((path for path in known if not self._is_there(path)), self.catalog)

    def _is_there(self, path: bytes) -> bool:
        """Say whether a sync is to keep what the catalog knows of a path, a scan having tried what is a picture."""
        known = self.catalog.paths.known(path)
        try:
            state = os.lstat(path) if known is None else os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # a folder that may not be entered, a disk that fails: that says nothing about the file
            return True
        stamp = FileStamp(path, state.st_size, state.st_mtime_ns)
        if (known is not None and known.is_as_in(stamp)) or self.catalog.failures.has(stamp):
            return True
        if known is None and (stat.S_ISLNK(state.st_mode) or self.catalog.failures.has(FileStamp(path, UNLISTED, 0))):
            return True  # a link that leads nowhere, a folder that cannot be listed: they still fail
        # What it has become is no picture, or the scan would have recorded its new state.
        return not stat.S_ISDIR(state.st_mode) and decoding.looks_like_picture(path)

    def _forget(self, paths: Iterable[bytes]) -> int:
        with self.catalog.writing():
            return sum([self.catalog.paths.forget(path) for path in paths])

    def _known_at(self, path: bytes) -> list[bytes]:
        known = list(self.catalog.paths.under(path))
        if not known:
            raise NotFound(f"nothing at or under {shown(path)} is in the store; nothing was removed")
        return known

    def _require_row(self, row: int) -> None:
        if not self.catalog.images.is_alive(row):
            if not self.catalog.images.count():
                raise NotFound(f"no image @{row}: the store {self.path} has no images; `vecstore add` some first")
            raise NotFound(
                f"no image @{row} in the store {self.path}; its ids are below {self.catalog.images.row_count()}, "
                "less those of removed images"
            )

    def _resolve(self, ref: ImageRef) -> int | bytes:
        """Return the row of an image that is stored, or the content of a file that is not.

        Raises NotFound for an unknown id or a file that is neither there nor stored, BadInput for an unreadable one.
        """
        row = _as_row(ref)
        if row is not None:
            self._require_row(row)
            return row
        if isinstance(ref, decoding.Encoded):
            return self._row_or_content(hashlib.sha256(ref.data).digest(), ref.data)
        path = absolute(_as_path(ref))
        known = self.catalog.paths.known(path)
        try:
            state = os.stat(on_disk(path))
            if known is not None and known.is_as_in(FileStamp(path, state.st_size, state.st_mtime_ns)):
                return known.row
            content = archives.read_path(path)
        except OSError as error:
            if known is not None:  # gone, but its picture is stored
                return known.row
            raise NotFound(
                f"no file at {shown(path)}, and the store has no image of that path; name another, or an id such as @12"
            ) from error
        except decoding.Unreadable as error:
            raise BadInput(f"{shown(path)}: {error}") from error
        return self._row_or_content(content.sha256, content.data)

    def _row_or_content(self, sha256: bytes, data: bytes) -> int | bytes:
        row = self.catalog.images.row_of(sha256)
        return row if row is not None and self.catalog.images.is_alive(row) else data

    def _query(self, refs: Sequence[ImageRef], minus: Sequence[ImageRef]) -> tuple[Float32, int | None]:
        """Return the unit vector to search by, and the row that it is the vector of, if it is just that."""
        plus = [self._resolve(ref) for ref in refs]
        query = np.mean([self._vector_of(image, ref) for image, ref in zip(plus, refs, strict=True)], axis=0)
        if minus:
            query = query - np.mean([self._vector_of(self._resolve(ref), ref) for ref in minus], axis=0)
        own = plus[0] if len(plus) == 1 and not minus else None
        return _unit(query), own if isinstance(own, int) else None

    def _vector_of(self, image: int | bytes, ref: ImageRef) -> Float32:
        """Return the vector of what `_resolve` found: the stored one of a row, or that of a file's content."""
        return self._stored_vector(image) if isinstance(image, int) else self._embedded(image, ref)

    def _stored_vector(self, row: int) -> Float32:
        vectors = self._vectors()
        ChecksumVerifier(self.catalog, vectors).require([row])
        return np.asarray(vectors[row], np.float32)

    def _embedded(self, content: bytes, ref: ImageRef) -> Float32:
        embedder = self._loaded_embedder()
        try:
            image = decoding.decode(content, at_least=embedder.input_size)
        except decoding.Unreadable as error:
            raise BadInput(f"{_called(ref)}: {error}") from error
        # Rounded as a stored vector is, so that asking before and after adding gives the same answer.
        return np.asarray(quantize_unit_rows(embedder.embed([embedder.prepare(image)]))[0], np.float32)

    def _allowed(self, n_rows: int, conditions: Filter) -> NDArray[np.bool_] | None:
        """Return which rows may be found, None for all of them."""
        return allowed_rows(self.catalog, n_rows, conditions, lambda: self._clustered().clustering)

    def _neighbours(self, hits: list[tuple[int, float]], min_score: float | None) -> list[Neighbour]:
        kept = [(row, score) for row, score in hits if min_score is None or score >= min_score]
        return [self._neighbour(rank, row, score) for rank, (row, score) in enumerate(kept, start=1)]

    def _neighbour(self, rank: int, row: int, score: float) -> Neighbour:
        path = self.catalog.paths.first_of(row)
        assigned = self.catalog.memberships.cluster_of(row)
        return Neighbour(rank, row, score, os.fsdecode(path or b""), assigned[0] if assigned else None)

    def _edges(
        self, query: int, near: list[tuple[int, float]], min_score: float | None, guard: ChecksumVerifier
    ) -> list[Edge]:
        """Return the edges of the graph from one image; none that lead to, or from, one that was removed meanwhile."""
        with self.catalog.reading():
            if not self.catalog.images.is_alive(query):
                return []
            alive = [(row, score) for row, score in near if self.catalog.images.is_alive(row)]
            guard.require([query, *(row for row, _ in alive)])
            return [Edge(query, **vars(neighbour)) for neighbour in self._neighbours(alive, min_score)]

    def _clustered(self) -> lifecycle.CurrentClusters:
        current = lifecycle.current(self.catalog, self._recorded().dim, self.device)
        if current is None:
            raise NotFound(f"the store {self.path} has no clusters yet; make some with `vecstore cluster -k N`")
        return current

    def _membership(self, current: lifecycle.CurrentClusters, ref: ImageRef) -> Membership:
        found = self._resolve(ref)
        if not isinstance(found, int):
            cluster, distance = current.assign(self._embedded(found, ref)[None])[0]
            return Membership(_path_of(ref), None, cluster, distance)
        assigned = self.catalog.memberships.cluster_of(found) or current.assign(self._stored_vector(found)[None])[0]
        by_path = _as_row(ref) is None and not isinstance(ref, decoding.Encoded)
        path = _path_of(ref) if by_path else os.fsdecode(self.catalog.paths.first_of(found) or b"")
        return Membership(path, found, *assigned)

    def _drift(self) -> float | None:
        current = self.catalog.clusterings.current()
        if current is None:
            return None
        return lifecycle.drift(*self.catalog.memberships.mean_distances(current))


def _median_ms(index: "Index", vectors: Float16) -> float | None:
    """Return the median milliseconds of a search for ten neighbours, over a few of the vectors themselves."""
    seconds = []
    for row in range(0, len(vectors), max(len(vectors) // QUERIES_TO_TIME, 1)):
        query = np.asarray(vectors[row : row + 1], np.float32)
        started = time.perf_counter()
        index.search(query, 10)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds) if seconds else None


def _imported(path: bytes, unit: Float32) -> Picture:
    stamp, sha256, reason = vector_import.identify(path)
    return Picture(stamp, sha256 or None, reason, new=True, vector=None if reason else unit)


def _exported(row: vector_import.ExportedRow) -> Picture:
    stamp = FileStamp(row.path, row.size, row.mtime_ns)
    return Picture(stamp, row.sha256, new=True, width=row.width, height=row.height, vector=row.vector)


@dataclass(frozen=True)
class _Selection:
    """What an add or a sync was asked to look at. roots: to scan. named: to try whatever they are called."""

    roots: list[bytes]
    named: frozenset[bytes]
    patterns: Patterns

    @classmethod
    def of(cls, paths: Sequence[AnyPath], listed: Iterable[AnyPath], patterns: Patterns) -> "_Selection":
        listed = list(listed)
        return cls(roots_of(paths, listed), frozenset(absolute(path) for path in (*paths, *listed)), patterns)

    def pictures(self, skip: Path, catalog: Catalog | None, record: RecordArchive | None = None) -> Iterator[FileStamp]:
        return pictures(self.roots, self.named, self.patterns, skip, catalog, record)


def _as_row(ref: ImageRef) -> int | None:
    """Return the row that an IMAGE names, None if it names a file."""
    if isinstance(ref, bool):
        raise BadInput(f"{ref} is no image; name a file or a stored id")
    if isinstance(ref, numbers.Integral):  # NumPy's integers too
        return int(ref)
    if isinstance(ref, decoding.Encoded):
        return None
    if not isinstance(ref, str | bytes | os.PathLike):
        raise BadInput(f"{ref!r} is no image; name a file or a stored id")
    text = os.fsdecode(ref)
    if not text.startswith("@"):
        return None
    if not text[1:].isascii() or not text[1:].isdigit():
        raise BadInput(f"{text!r} is no image id; an id is @ and a number, such as @12 (a file of that name: ./{text})")
    return int(text[1:])


def _named(refs: Sequence[ImageRef]) -> str:
    """Return what an operation is about, in a few words."""
    few = [f"@{row}" if (row := _as_row(ref)) is not None else shown(absolute(_as_path(ref))) for ref in refs[:3]]
    return ", ".join(few) + (f" and {len(refs) - 3} more" if len(refs) > 3 else "")


def _within(cluster: int | None) -> str:
    return "" if cluster is None else f" within cluster {cluster}"


def _as_path(ref: ImageRef) -> AnyPath:
    if isinstance(ref, int):
        raise BadInput(f"{ref} is an image id where a file is wanted")
    if isinstance(ref, decoding.Encoded):
        raise BadInput("a picture's bytes are no file; name a file or a stored id")
    return ref


def _path_of(ref: ImageRef) -> str:
    """Return the absolute path that an IMAGE names, "" for one that is no file."""
    return "" if isinstance(ref, decoding.Encoded) else os.fsdecode(absolute(_as_path(ref)))


def _called(ref: ImageRef) -> str:
    """Return what to call an IMAGE that is not stored in a message."""
    return shown(os.fsencode(_path_of(ref))) or "the picture"


def _require_bounds(k: int, min_score: float | None = None) -> None:
    if k < 1:
        raise BadInput(f"k is {k}; it must be at least 1")
    if min_score is not None and not -1 <= min_score <= 1:  # nor NaN
        raise BadInput(f"the least score is {min_score}; scores are from -1 to 1")


def _own_first(own: int, hits: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Put the image that was asked for before others with the very same vector, which tie with it."""
    others = [(row, score) for row, score in hits if row != own]
    # Of more copies than k, or through a damaged index, it may not be among those that were found.
    score = hits[0][1] if len(others) < len(hits) else 1.0
    return [(own, score), *others][: len(hits)]


def _unit(vector: Float32) -> Float32:
    length = float(np.linalg.norm(vector))
    if not length:
        raise BadInput("the images and those to subtract cancel out, so nothing is left to look for; change one")
    return (vector / np.float32(length)).astype(np.float32)


def _no_store(folder: Path, address: Address | None) -> str:
    if address is None:
        return f"no store at {folder}; make one with `vecstore add FOLDER --store {folder}`"
    return (
        f"no store at {address.shown}: there is no companion folder {folder}; name the one that goes with it by "
        f"?companion=DIR, or make a new store with `vecstore add FOLDER --store {address.shown}`"
    )


def _require_room(folder: Path) -> None:
    """Raise BadInput unless a new store can be made here: nothing there, or an empty folder."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; a store is a folder of its own, name another with --store")
    # What a creation leaves that was killed before its catalog was whole.
    left_over = {LOCK, CATALOG, f"{CATALOG}-wal", f"{CATALOG}-shm", f"{CATALOG}-journal"}
    if folder.is_dir() and not {entry.name for entry in folder.iterdir()} <= left_over:
        raise BadInput(f"{folder} holds other things and no store; name an empty or new folder with --store")


def _difference(path: Path, recorded: EmbedderSpec, opened: EmbedderSpec) -> str:
    if recorded.name != opened.name:
        return (
            f"the store {path} was made with {recorded.name}, not {opened.name}; leave --embedder out, "
            "or use another --store for the other embedder"
        )
    if recorded.weights != opened.weights:
        return (
            f"the store {path} was made with {recorded.name} and other weights (sha256 "
            f"{', '.join(sha256[:12] for sha256 in recorded.weights.values())}..., not "
            f"{', '.join(sha256[:12] for sha256 in opened.weights.values())}...); give the same file with --weights, "
            "or use another --store"
        )
    return (
        f"the store {path} was made with version {recorded.version} of {recorded.name}, this vecstore has version "
        f"{opened.version}; add the pictures to a new --store, or use the older vecstore"
    )


@contextmanager
def _nothing() -> Iterator[None]:
    yield
