"""The engine inside this process: FAISS over the mapped row file, with `index.faiss` beside it once that pays."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device
from indexes.index_metadata import KINDS
from indexes.rows import in_blocks, rows_per_block
from vecstore.engines import index_lifecycle
from vecstore.engines.engine import EMBEDDED, Capabilities, Int64, OnCommit
from vecstore.engines.index_lifecycle import AUTO, EXACT, BackgroundIndexing, IndexSettings
from vecstore.errors import NotFound
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.durable_files import sync_directory
from vecstore.storage.vector_file import Float16, Float32, VectorFile

if TYPE_CHECKING:
    from indexes.ann import Index


class EmbeddedEngine:
    """Searches the row file itself, so that a row is found once it is in there and the catalog counts it."""

    name = EMBEDDED
    capabilities = Capabilities(keeps_vectors=False, index_kinds=(AUTO, EXACT, *KINDS))

    def __init__(self, path: Path, catalog: Catalog, vectors: VectorFile, device: Device) -> None:
        """path: of the index file."""
        self._path = path
        self._catalog = catalog
        self._vectors = vectors
        self._device = device
        self._opened: tuple[object, Index] | None = None

    def open(self) -> None:
        """Nothing has to be reached."""

    def upsert(self, rows: Int64, vectors: Float16) -> None:
        """Nothing has to be sent: the row file is what is searched."""

    def delete(self, rows: Int64) -> None:
        """Nothing has to be sent: removed rows are masked by the catalog."""

    def flush_pending(self, on_sent: Callable[[int], None] | None = None) -> None:
        """Do nothing: this engine reads the store itself, so no change is ever pending."""

    def flush(self) -> None:
        """Rows are on the disk before the catalog counts them."""

    @contextmanager
    def growing(self, *, fast: bool = False) -> Iterator[OnCommit]:
        work = BackgroundIndexing(self._path, self._vectors, self._settings(), self._device, self._searchable)
        try:
            yield work.committed_fast if fast else work.committed
        except BaseException:
            work.abandon()
            raise
        work.finish()

    def get(self, rows: Int64) -> Float32:
        absent = np.setdiff1d(rows, self._living())
        if len(absent):
            raise NotFound(f"row {absent[0]} cannot be found: it is removed, or was never added")
        return np.asarray(self._read()[rows], np.float32)

    def iterate(self) -> Iterator[tuple[Int64, Float32]]:
        living, vectors = self._living(), self._read()
        for block in in_blocks(living, rows_per_block(self._vectors.dim, np.float32)):
            yield block, np.asarray(vectors[block], np.float32)

    def count(self) -> int:
        return self._catalog.images.found_count()

    def searcher(self, vectors: Float16, *, exact: bool = False, many: bool = False) -> "Index":
        path = None if exact else self._path
        if many:
            target = self._settings().target_recall
            return index_lifecycle.open_for_many(path, vectors, self._device, target, self._searchable())
        return index_lifecycle.open_index(None, vectors) if path is None else self._kept_open(path, vectors)

    def build_index(self, settings: IndexSettings, rebuild: bool = False) -> None:
        vectors, searchable = self._read(), self._searchable()
        index_lifecycle.bring_up_to_date(self._path, vectors, searchable, settings, self._device, rebuild=rebuild)

    def keep_up(self) -> None:
        searchable, settings = self._searchable(), self._settings()
        if len(searchable) and index_lifecycle.is_due(self._path, searchable, self._vectors.dim, settings):
            self.build_index(settings)

    def drop(self) -> None:
        self.close()
        if self._path.exists():
            self._path.unlink()
            sync_directory(self._path.parent)  # a power cut must not bring it back

    def close(self) -> None:
        self._opened = None

    def _kept_open(self, path: Path, vectors: Float16) -> "Index":
        """Return the index, kept open while neither the vectors nor the file change."""
        try:
            state = path.stat()
            key = (len(vectors), state.st_ino, state.st_mtime_ns)
        except FileNotFoundError:
            key = (len(vectors), 0, 0)
        if self._opened is None or self._opened[0] != key:
            self._opened = key, index_lifecycle.open_index(path, vectors)
        return self._opened[1]

    def _settings(self) -> IndexSettings:
        return IndexSettings.from_json(self._catalog.index_settings())

    def _read(self) -> Float16:
        return self._vectors.read(self._catalog.images.row_count())

    def _searchable(self) -> NDArray[np.bool_]:
        searchable = np.ones(self._catalog.images.row_count(), np.bool_)
        searchable[self._catalog.images.hidden_rows()] = False
        return searchable

    def _living(self) -> Int64:
        return np.asarray(self._catalog.images.searchable_rows(), np.int64)
