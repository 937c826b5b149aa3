"""The life of the index: which kind a store gets, when it is built, grown and rebuilt, and whether it is valid.

It is derived from the vectors. A reader that finds none, or one that is damaged or of other rows, compares every vector
instead; the next writer mends it. All work on it is done by the holder of the store's lock.
"""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device, faiss_gpus, for_work
from indexes.index_metadata import (
    EXACT_BYTES,
    KINDS,
    IndexHeader,
    InvalidIndex,
    checked_header,
    index_bytes,
    load_header,
    read_header,
)
from vecstore.errors import BadInput, Interrupted, VecstoreError
from vecstore.storage.durable_files import replacing
from vecstore.storage.vector_file import ROW_DTYPE, Float16, VectorFile

if TYPE_CHECKING:
    from indexes.ann import Index

log = logging.getLogger(__name__)

Bool = NDArray[np.bool_]

AUTO, EXACT = "auto", "exact"
# What engines other than this process make (`vecstore.engines`).
KINDS_ELSEWHERE = ("ivf_sq8", "hnsw")
# Rows newer than the index are compared one by one: so many bytes of them, or that part of a large store, and they are
# taken into it. Each time the whole file is rewritten, so a part, not a number, keeps the work per image bounded.
TAIL_BYTES, TAIL_PART = 64 << 20, 64
# The lists were made for a smaller store: from so many times its rows on, they are rebuilt.
RETRAIN_FACTOR = 4


@dataclass(frozen=True)
class IndexSettings:
    """What the user wants of the index; recorded in the store.

    kind: "auto", "exact", or one of `indexes.compressed.KINDS`. target_recall: of ten neighbours, in (0, 1].
    memory_budget: bytes that the index may take; None: no bound.
    """

    kind: str = AUTO
    target_recall: float = 0.99
    memory_budget: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in (AUTO, EXACT, *KINDS, *KINDS_ELSEWHERE):
            raise BadInput(f"no kind of index is called {self.kind!r}; choose {AUTO}, {EXACT}, {' or '.join(KINDS)}")
        if not 0 < self.target_recall <= 1:
            raise BadInput(f"the target recall is {self.target_recall:g}; it must be above 0 and at most 1")
        if self.memory_budget is not None and self.memory_budget < 0:
            raise BadInput(f"the memory budget is {self.memory_budget} bytes; it must be at least 0")

    @classmethod
    def from_json(cls, text: str) -> "IndexSettings":
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def kind_for(self, n_rows: int, dim: int) -> str:
        """Return the kind of index for so many searchable rows: exact while that is quick, then the best that fits."""
        if self.kind != AUTO:
            return self.kind if n_rows > 1 else EXACT  # there is nothing to tell apart
        if n_rows * dim * ROW_DTYPE.itemsize <= EXACT_BYTES:
            return EXACT
        for kind in KINDS:
            if self.memory_budget is None or index_bytes(kind, n_rows, dim) <= self.memory_budget:
                return kind
        return EXACT


def open_for_many(
    path: Path | None, vectors: Float16, device: Device, target_recall: float, searchable: Bool | None = None
) -> "Index":
    """Return what to search with when every image is asked for: the GPUs, where there are some with room for them.

    searchable: (rows,) bool, which rows may be found at all; None: all.
    """
    device = for_work(device, float(len(vectors)) * vectors.size)
    if device.kind == "cuda" and faiss_gpus(device) and len(vectors):
        from indexes.gpu import open_on_gpus

        index = open_on_gpus(vectors, target_recall if path is not None else 1, device, searchable)
        if index is not None:
            return index
    return open_index(path, vectors)


def open_index(path: Path | None, vectors: Float16) -> "Index":
    """Return what to search the vectors with. path: of the index file; None: exact. vectors: (rows, dim), mapped."""
    from indexes.ann import ExactIndex
    from indexes.compressed import open_compressed

    try:
        if path is not None:
            return open_compressed(path, vectors)
    except FileNotFoundError:
        pass
    except (InvalidIndex, OSError) as error:
        log.warning(
            "the index %s is not used: %s; every vector is compared instead, until the next add or `vecstore index` "
            "rebuilds it",
            path,
            error,
        )
    return ExactIndex(vectors)


def is_due(path: Path, searchable: Bool, dim: int, settings: IndexSettings) -> bool:
    """Say whether the index must be built, grown or rebuilt now. searchable: (rows,) bool."""
    n_rows, n_searchable = len(searchable), int(np.count_nonzero(searchable))
    kind = settings.kind_for(n_searchable, dim)
    if kind == EXACT:
        return path.exists()
    header = read_header(path)
    if header is None or header.kind != kind or header.dim != dim or header.rows > n_rows:
        return True
    tail = max(TAIL_BYTES // (dim * ROW_DTYPE.itemsize), n_rows // TAIL_PART)
    return n_rows - header.rows > tail or n_searchable >= RETRAIN_FACTOR * header.trained


def is_valid(path: Path, vectors: Float16) -> bool:
    """Say whether there is no index file, or one that can be opened."""
    try:
        with open(path, "rb") as file:
            checked_header(file, vectors)
    except FileNotFoundError:
        pass
    except (InvalidIndex, OSError):
        return False
    return True


def bring_up_to_date(
    path: Path,
    vectors: Float16,
    searchable: Bool,
    settings: IndexSettings,
    device: Device,
    stop: threading.Event | None = None,
    rebuild: bool = False,
) -> IndexHeader | None:
    """Take every row into the index, building or rebuilding it where need be; return its header, None for exact search.

    searchable: (rows,) bool, the rows that it is made for; where there are none, or one, search is exact. Raises
    Stopped. The index that was there answers until the new one is in its place.
    """
    from indexes import compressed

    n_searchable = int(np.count_nonzero(searchable))
    kind = settings.kind_for(n_searchable, vectors.shape[1])
    if kind == EXACT:
        path.unlink(missing_ok=True)
        return None
    try:
        with open(path, "rb") as file:
            header = load_header(file)
        if not rebuild and header.kind == kind and n_searchable < RETRAIN_FACTOR * header.trained:
            with replacing(path, "w+b") as file:
                return compressed.extend(file, path, vectors, settings.target_recall, stop, searchable=searchable)
    except FileNotFoundError:
        pass
    except InvalidIndex as error:
        log.warning("the index %s is rebuilt: %s", path, error)
    log.info("indexing %d images (%s) ...", n_searchable, kind)
    with replacing(path, "w+b") as file:
        return compressed.build(file, vectors, kind, settings.target_recall, device, stop, searchable=searchable)


class BackgroundIndexing:
    """Keeps the index up to date beside a run that adds images; `committed` or `committed_fast` after each commit.

    searchable: gives (rows,) bool of the rows that the catalog counts now; it is asked on the caller's thread.
    """

    def __init__(
        self,
        path: Path,
        vectors: VectorFile,
        settings: IndexSettings,
        device: Device,
        searchable: Callable[[], Bool],
    ) -> None:
        self._path = path
        self._searchable = searchable
        self._vectors = vectors
        self._settings = settings
        self._device = device
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._n_rows = 0

    def committed(self, n_rows: int) -> None:
        """Begin to take new rows into the index if there are enough of them and nothing is under way."""
        self._n_rows = n_rows
        if self._stop.is_set() or self._is_under_way() or not n_rows:
            return
        searchable = self._searchable()
        if self._is_due(searchable):
            self._thread = threading.Thread(target=self._work, args=(searchable,), name="indexing")
            self._thread.start()

    def committed_fast(self, n_rows: int) -> None:
        """Leave new rows to `finish`: where they come fast, an index would be built for a part of them, then again."""
        self._n_rows = n_rows

    def finish(self) -> None:
        """Wait for what is under way, and do what is due, also where the file is damaged. Raises Interrupted."""
        try:
            self._join()
            if self._stop.is_set() or not self._n_rows:
                return
            searchable = self._searchable()
            if self._is_due(searchable) or self._is_damaged():
                self._work(searchable)
        except KeyboardInterrupt as interruption:
            self.abandon()
            raise Interrupted(
                "interrupted while the index was brought up to date; every image is safe in the store, and the next "
                "add or `vecstore index` goes on"
            ) from interruption
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Call off what is under way; the next run does it."""
        self._stop.set()
        self._join()

    def _is_under_way(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _is_due(self, searchable: Bool) -> bool:
        return is_due(self._path, searchable, self._vectors.dim, self._settings)

    def _is_damaged(self) -> bool:
        return not is_valid(self._path, self._vectors.read(self._n_rows))

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _work(self, searchable: Bool) -> None:
        from indexes.stopping import Stopped

        vectors = self._vectors.read(len(searchable))
        try:
            bring_up_to_date(self._path, vectors, searchable, self._settings, self._device, self._stop)
        except Stopped:
            pass
        # A full disk, say: the images are safe, and answers are right without an index. The next run tries again.
        except (OSError, MemoryError, VecstoreError) as error:
            self._stop.set()
            log.warning(
                "the index %s could not be brought up to date (%s); answers stay right, and take longer",
                self._path,
                error,
            )
