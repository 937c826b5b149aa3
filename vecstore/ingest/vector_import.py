"""Ready-made vectors: from a .npy or Parquet file to unit rows and the paths that they belong to. Knows no store.

What `maintenance/export.py` wrote comes back as it was: vectors bit for bit, contents, clusters and names.
"""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from indexes.rows import in_blocks
from vecstore.clustering import tree_shape
from vecstore.clustering.methods import Method
from vecstore.embedders.embedder import EmbedderSpec
from vecstore.errors import BadInput
from vecstore.ingest.pipeline import ordered
from vecstore.results import Clustering, Facts
from vecstore.sources import decoding
from vecstore.sources.file_stamp import MOST, FileStamp
from vecstore.sources.paths import absolute, is_address
from vecstore.sources.text_files import read_list, unknown_encoding
from vecstore.storage.catalog.decisions import KEEP as KEEP_VERDICT
from vecstore.storage.catalog.decisions import VERDICTS, PairDecision
from vecstore.storage.catalog.tags import ROW_BYTES
from vecstore.storage.catalog.trees import Node
from vecstore.storage.checksums import LENGTH_ERROR
from vecstore.storage.export_format import (
    CLUSTERING,
    DECISIONS,
    EMBEDDER,
    FACT_COLUMNS,
    FACT_INTEGERS,
    FACT_REALS,
    FACT_TEXTS,
    FACTS,
    PARQUET,
    PINNED_COLUMN,
    SELECTIONS,
    SELECTIONS_COLUMN,
    TAGS,
    TAGS_COLUMN,
)
from vecstore.storage.vector_file import ROW_DTYPE, Float16, quantize_unit_rows

# Of a Parquet file, read at a time: with the vectors, as many Python objects.
BATCH_ROWS = 4_096
# Of the vectors of a file, in float64, read at a time; and worked on at a time: what stays in a core's cache.
READ_BYTES, CACHED_BYTES = 2 << 20, 512 << 10
# Blocks under way that are brought to float16 beside the catalog's work, by one thread, since a second one would only
# wait for the interpreter: about as many as a commit takes, so that there is work while it lasts.
CONVERTED_AHEAD = 64
# What to say of an import that a file has ended which was sound at the first look.
IN_PART = "what was committed before is safe in the store; import the whole file again to go on from there"


T = TypeVar("T")
Block = Callable[[], NDArray[Any]]


class GivenRows(Protocol):
    """The vectors of a file, (n, dim), read a block at a time, as often as it takes.

    A block is something to call that returns it, on any thread, and once.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield the vectors in order, `size` at a time; the last may be fewer. Raises BadInput if they end before n."""
        ...


def load(vectors: Path, paths: Path | None) -> tuple[GivenRows, list[bytes]]:
    """Return the vectors, (n, dim) of floats, not yet read, and the n paths, absolute.

    vectors: .npy, or Parquet with a column `vector` of lists. paths: a list, a path a line or NUL-separated; may be
    left out for Parquet with a column `path`. Raises BadInput for anything else, and if the numbers differ.
    """
    rows: GivenRows
    named: list[bytes] = []
    if vectors.suffix.lower() in PARQUET:
        rows, named = ParquetRows(vectors), _paths_of(vectors) if paths is None else []
    else:
        rows = NpyRows(vectors)
    if paths is not None:
        named = read_paths(paths)
    if len(rows.shape) != 2 or not np.issubdtype(rows.dtype, np.floating):
        raise BadInput(
            f"{vectors} holds {rows.dtype} of shape {rows.shape}; (n, dim) floating-point numbers are wanted"
        )
    if not named:
        raise BadInput(f"there are no paths for the vectors of {vectors}; name a file with one path a line")
    if len(named) != rows.shape[0]:
        raise BadInput(
            f"{vectors} holds {rows.shape[0]} vectors, but there are {len(named)} paths; they must be as many"
        )
    return rows, [absolute(path) for path in named]


def read_paths(file: Path) -> list[bytes]:
    """Return the paths of a list, a path a line or NUL-separated. Raises BadInput if it cannot be read as one."""
    named = read_list(_bytes_of(file))
    if (trouble := unknown_encoding(named)) is not None:
        raise BadInput(f"{file}: {trouble}; nothing was imported")
    return named


class NpyRows:
    """The vectors of a .npy file, by plain reads.

    Pages of a mapped file count as memory of this process, and one that is cut meanwhile ends it by a signal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Reads the header and compares the file's size; no page of it is looked at.
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # NumPy hands on what the parsers of Python's own syntax raise at a header
            reason = getattr(error, "strerror", None) or error
            if "allow_pickle" in str(reason):  # NumPy advises to run what is in the file
                reason = "it is none, or holds objects and not numbers"
            raise BadInput(f"{path} cannot be read as .npy: {reason}") from error
        if not isinstance(mapped, np.memmap):
            raise BadInput(f"{path} cannot be read as .npy: it is an archive of several arrays; give one of them")
        self.shape, self.dtype, self._offset = mapped.shape, mapped.dtype, int(mapped.offset)
        self._by_column = not mapped.flags.c_contiguous

    def blocks(self, size: int) -> Iterator[Block]:
        n = self.shape[0]
        for first in range(0, n, size):
            yield partial(self._read, first, min(size, n - first))

    def _read(self, first: int, n_rows: int) -> NDArray[Any]:
        """Return n_rows vectors, (n_rows, dim)."""
        dim = self.shape[1]
        try:
            with open(self._path, "rb", buffering=0) as file:
                if not self._by_column:
                    block = np.empty((n_rows, dim), self.dtype)
                    self._fill(file, first * dim, block)
                    return block
                columns = np.empty((dim, n_rows), self.dtype)
                for number, column in enumerate(columns):
                    self._fill(file, number * self.shape[0] + first, column)
                return columns.T
        except OSError as error:
            raise BadInput(f"{self._path} cannot be read: {error.strerror}; {IN_PART}") from error

    def _fill(self, file: BinaryIO, start: int, numbers: NDArray[Any]) -> None:
        """Read numbers of the file, the first of them number `start`."""
        file.seek(self._offset + start * self.dtype.itemsize)
        rest = memoryview(numbers.reshape(-1).view(np.uint8).data)
        while len(rest):
            n_read = file.readinto(rest)  # type: ignore[attr-defined]
            if not n_read:
                raise BadInput(
                    f"{self._path} is shorter than it was: it was cut while it was read, and needs "
                    f"{self.shape[0]} vectors; {IN_PART}"
                )
            rest = rest[n_read:]


class ParquetRows:
    """The vectors of a Parquet file with a column `vector`, from its row groups a part at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            import pyarrow  # noqa: F401
            import pyarrow.parquet
        except ImportError as error:
            raise BadInput(
                f"reading {path} needs pyarrow; install vecstore[parquet], or give the vectors as .npy"
            ) from error
        with _readable(path), pyarrow.parquet.ParquetFile(path) as file:
            field = file.schema_arrow.field("vector")
            self.dtype = np.dtype(field.type.value_type.to_pandas_dtype())
            first = next((block for block in self._batches(1)), np.empty((0, 0), self.dtype))
            self.shape: tuple[int, ...] = (file.metadata.num_rows, first.shape[1])

    def blocks(self, size: int) -> Iterator[Block]:
        with _readable(self._path):
            for block in self._batches(size):
                if block.shape[1] != self.shape[1]:
                    raise ValueError(f"a list of {block.shape[1]} numbers after one of {self.shape[1]}")
                yield partial(np.asarray, block)

    def _batches(self, size: int) -> Iterator[NDArray[Any]]:
        import pyarrow.compute
        import pyarrow.parquet

        # With a buffer a column is read in parts; without, all of a row group, which may be all of the file.
        with pyarrow.parquet.ParquetFile(self._path, buffer_size=READ_BYTES) as file:
            for batch in file.iter_batches(size, columns=["vector"]):
                column = batch.column("vector")
                lengths = pyarrow.compute.list_value_length(column)
                if column.null_count or len(lengths.unique()) != 1:
                    raise ValueError("its lists are not equally long")
                yield column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


@dataclass(frozen=True)
class ExportedClusters:
    """A clustering of an export. horizon: the first id that was added after it. names: of those that have one.

    options: that it was made with. kept: what part of their images names kept that were given before it.
    nodes, mergers: of a tree.
    """

    run: Clustering
    horizon: int
    ids: list[int]
    names: dict[int, str]
    centroids: bytes
    options: dict[str, Any]
    kept: dict[int, float]
    nodes: list[Node]
    mergers: bytes


@dataclass(frozen=True)
class ExportedRow:
    """A row of an export: one path of an image. id: of the image in the store it came from."""

    id: int
    path: bytes
    vector: Float16
    sha256: bytes
    width: int
    height: int
    size: int
    mtime_ns: int
    cluster: int | None
    distance: float | None
    facts: Facts | None = None


@dataclass(frozen=True)
class Exported:
    """A Parquet file that a vecstore has written."""

    path: Path
    spec: EmbedderSpec
    clusters: ExportedClusters | None
    has_tags: bool = False
    decisions: tuple[PairDecision, ...] = ()
    has_pins: bool = False
    selections: tuple[str, ...] = ()
    has_facts: bool = False

    def tags(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (sha256, tags) of the images that have tags. Raises BadInput for a damaged file."""
        for sha256, tags in self._of_contents(TAGS_COLUMN) if self.has_tags else ():
            if tags is not None and len(tags) != ROW_BYTES:
                raise BadInput(f"{self.path} is a damaged export (tags of {len(tags)} bytes); export again")
            if tags is not None:
                yield sha256, tags

    def selected(self) -> Iterator[tuple[bytes, str]]:
        """Yield (sha256, name of a selection) of the images that are in one. Raises BadInput for a damaged file."""
        for sha256, names in self._of_contents(SELECTIONS_COLUMN) if self.selections else ():
            for name in names or ():
                if name not in self.selections:
                    raise BadInput(f"{self.path} is a damaged export (an unknown selection {name!r}); export again")
                yield sha256, name

    def pinned(self) -> Iterator[bytes]:
        """Yield the sha256 of the images that are pinned to their cluster. Raises BadInput for a damaged file."""
        yield from (sha256 for sha256, pinned in self._of_contents(PINNED_COLUMN) if pinned) if self.has_pins else ()

    def _of_contents(self, column: str) -> Iterator[tuple[bytes, Any]]:
        import pyarrow
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=["sha256", column]):
                    yield from zip(*(batch.column(name).to_pylist() for name in ("sha256", column)), strict=True)
        except (OSError, KeyError, ValueError, TypeError, AttributeError, pyarrow.ArrowException) as error:
            raise BadInput(f"{self.path} is a damaged export ({error}); export again") from error

    def rows(self) -> Iterator[ExportedRow]:
        """Yield its rows. Raises BadInput for a damaged one."""
        import pyarrow
        import pyarrow.parquet

        fields = [name for name in ExportedRow.__annotations__ if name not in ("vector", "facts")]
        facts = FACT_COLUMNS if self.has_facts else ()
        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(BATCH_ROWS):
                    column = batch.column("vector")
                    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
                    _require_units(vectors, self.spec.dim)
                    columns = (batch.column(name).to_pylist() for name in (*fields, *facts))
                    for vector, *values in zip(vectors, *columns, strict=True):
                        row = ExportedRow(vector=vector, **dict(zip(fields, values, strict=False)))
                        said = dict(zip(facts, values[len(fields) :], strict=True))
                        yield _checked(replace(row, facts=_facts(said, row.width, row.height)))
        except (OSError, KeyError, ValueError, TypeError, AttributeError, pyarrow.ArrowException) as error:
            raise BadInput(f"{self.path} is a damaged export ({error}); export again") from error


def open_export(path: Path) -> Exported | None:
    """Return a Parquet file that a vecstore has written, None if it is anything else. Raises BadInput if damaged."""
    if path.suffix.lower() not in PARQUET:
        return None
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:  # reported where it is read
        return None
    try:
        schema = pyarrow.parquet.read_schema(path)
        metadata = schema.metadata or {}
        if EMBEDDER not in metadata:
            return None
        spec = EmbedderSpec.from_json(metadata[EMBEDDER])
        clusters = _clusters(metadata[CLUSTERING], spec.dim) if CLUSTERING in metadata else None
        decisions = _decisions(metadata[DECISIONS]) if DECISIONS in metadata else ()
        names = _names(json.loads(metadata.get(SELECTIONS, "[]")))
        has_pins, has_facts = PINNED_COLUMN in schema.names, FACTS in metadata
        return Exported(path, spec, clusters, TAGS in metadata, decisions, has_pins, names, has_facts)
    except (OSError, pyarrow.ArrowException):  # reported where it is read
        return None
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is a damaged export ({error}); export again") from error


def _names(found: Any) -> tuple[str, ...]:
    if not all(isinstance(name, str) and name and name.isprintable() for name in found):
        raise ValueError("the name of a selection cannot be")
    return tuple(found)


def _clusters(text: bytes, dim: int) -> ExportedClusters:
    found = json.loads(text)
    told = found["run"]
    run = Clustering(**told, empty=told["k"] - told["kept"] - told["born"])
    centroids = base64.b64decode(found["centroids"], validate=True)
    ids = [int(cluster) for cluster in found["ids"]]
    n_ids = run.k + (run.noise is not None)
    if len(centroids) != len(ids) * dim * 4 or len({*ids}) != n_ids or len(ids) != n_ids or min(ids) < 0:
        raise ValueError("its clusters do not fit their number")
    if run.noise is not None and (run.noise not in ids or not isinstance(run.bound, int | float | None)):
        raise ValueError("its noise is none of its clusters")
    names = {int(cluster): str(name) for cluster, name in found["names"].items()}
    # What older versions do not write.
    options = {**found.get("options", {}), "k_reason": run.k_reason}
    kept = {int(cluster): float(part) for cluster, part in found.get("kept", {}).items()}
    nodes, mergers = _tree(found["tree"], ids) if "tree" in found else ([], b"")
    if not names.keys() <= {*ids, *(node.cluster for node in nodes)}:
        raise ValueError("a name is of none of its clusters")
    Method.of(options)  # raises for what is no method
    return ExportedClusters(run, int(found["horizon"]), ids, names, centroids, options, kept, nodes, mergers)


def _tree(told: dict[str, Any], leaves: list[int]) -> tuple[list[Node], bytes]:
    nodes = [Node(int(c), int(level), p if p is None else int(p), int(t)) for c, level, p, t in told["nodes"]]
    mergers = base64.b64decode(told["mergers"], validate=True)
    wrong = tree_shape.faults(nodes, np.frombuffer(mergers, "<i8").reshape(-1, 2).astype(np.int64), leaves)
    if wrong or min(node.cluster for node in nodes) < 0:
        raise ValueError("; ".join(["its tree is none", *wrong]))
    return nodes, mergers


def _decisions(text: bytes) -> tuple[PairDecision, ...]:
    return tuple(_decision(told) for told in json.loads(text))


def _decision(told: dict[str, Any]) -> PairDecision:
    one, other = bytes.fromhex(told["one"]), bytes.fromhex(told["other"])
    kept, path = (None if told[name] is None else bytes.fromhex(told[name]) for name in ("kept", "path"))
    verdict, decided = str(told["verdict"]), str(told["decided"])
    if len(one) != 32 or len(other) != 32 or one > other or verdict not in VERDICTS:
        raise ValueError("a decision is of no two contents")
    if (kept in (one, other)) != (verdict == KEEP_VERDICT) or (path is not None and kept is None):
        raise ValueError("a decision keeps another content")
    return PairDecision(one, other, verdict, kept, path, decided)


def _require_units(vectors: NDArray[Any], dim: int) -> None:
    if vectors.dtype != ROW_DTYPE or vectors.shape[1] != dim:
        raise ValueError(f"its vectors are {vectors.dtype} of {vectors.shape[1]} numbers")
    if not _are_units(vectors):
        raise ValueError("a vector is not of length 1")


def _are_units(vectors: NDArray[Any]) -> bool:
    wide = vectors.astype(np.float64)
    return bool((np.abs(np.vecdot(wide, wide) - 1) <= LENGTH_ERROR).all())


def _facts(said: dict[str, Any], width: int, height: int) -> Facts | None:
    """Return an image's facts, None if it has none. Raises ValueError for what no store has recorded."""
    if said.get("bytes") is None:
        return None
    kinds = {**dict.fromkeys(FACT_TEXTS, str), **dict.fromkeys(FACT_INTEGERS, int), **dict.fromkeys(FACT_REALS, float)}
    keywords = tuple(said["keywords"] or ())
    wrong = [name for name, kind in kinds.items() if not isinstance(said[name], kind | None)]
    if wrong or not all(isinstance(keyword, str) and "\n" not in keyword for keyword in keywords):
        raise ValueError(f"facts that cannot be: {', '.join(wrong or ['keywords'])}")
    return Facts(**{**said, "keywords": keywords}, width=width, height=height)


def _checked(row: ExportedRow) -> ExportedRow:
    numbers = (row.id, row.width, row.height, row.size, row.mtime_ns)
    if not all(isinstance(number, int) for number in numbers) or len(row.sha256) != 32:
        raise ValueError("a row has an empty field")
    if not all(0 <= number <= MOST for number in (row.width, row.height, row.size)):
        raise ValueError("a row has a size that cannot be")
    if not isinstance(row.path, bytes):
        object.__setattr__(row, "path", os.fsencode(row.path))
    if not (row.path.startswith(b"/") or is_address(row.path)) or b"\0" in row.path:
        raise ValueError("a path is not absolute")
    return row


def require_directions(rows: GivenRows, source: Path) -> None:
    """Raise BadInput for a vector that has no direction: of length 0, or with a number that is not finite."""
    with closing(_side_by_side(_lengths_unless_surely_fine, rows)) as looked_at:
        for first, lengths in looked_at:
            _require_lengths(lengths, first, source, "nothing was imported")


def stored_blocks(rows: GivenRows, source: Path) -> Generator[Float16, None, None]:
    """Yield the vectors as they are stored, in blocks of (m, dim) float16. Raises BadInput as `require_directions`.

    Those in float16 that are of length 1 already are taken for stored ones, and left as they are.
    """
    with closing(_side_by_side(_stored, rows)) as converted:
        for first, (block, lengths) in converted:
            _require_lengths(lengths, first, source, IN_PART)
            yield block


def _side_by_side(function: Callable[[NDArray[Any]], T], rows: GivenRows) -> Generator[tuple[int, T], None, None]:
    """Yield for each block of a file's vectors, in order, the number of its first one and what the function makes of
    it, which is read and worked on beside what the caller does."""
    size = _block_rows(rows)
    with ThreadPoolExecutor(1) as pool:
        made = ordered(pool, lambda read: function(read()), rows.blocks(size), lambda: CONVERTED_AHEAD)
        yield from ((number * size, found) for number, found in enumerate(made))


def _stored(given: NDArray[Any]) -> tuple[Float16, NDArray[np.float64]]:
    """Return a block of vectors as they are stored, and their lengths."""
    stored, lengths = np.empty(given.shape, ROW_DTYPE), np.empty(len(given))
    n_rows = max(CACHED_BYTES // max(given.shape[1] * 8, 1), 1)
    parts = zip(in_blocks(given, n_rows), in_blocks(stored, n_rows), in_blocks(lengths, n_rows), strict=True)
    for some, its_rows, its_lengths in parts:
        wide = some.astype(np.float64)
        its_lengths[:] = _lengths(wide)
        if some.dtype == ROW_DTYPE:
            are_units = np.abs(its_lengths**2 - 1) <= LENGTH_ERROR
        with np.errstate(divide="ignore", invalid="ignore"):  # such a length is reported
            wide /= its_lengths[:, None]
            its_rows[:] = quantize_unit_rows(wide.astype(np.float32))
        if some.dtype == ROW_DTYPE:
            its_rows[are_units] = some[are_units]
    return stored, lengths


def _lengths_unless_surely_fine(block: NDArray[Any]) -> NDArray[np.float64]:
    """Return the lengths of the vectors; none where float32 is enough to see that they have directions."""
    return np.empty(0) if _surely_have_directions(block) else _lengths(np.asarray(block, np.float64))


def _surely_have_directions(block: NDArray[Any]) -> bool:
    """Say whether float32 is enough to see that no vector is of length 0 or infinite: it takes a tenth of the time."""
    if block.dtype != np.float32:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.vecdot(block, block)
    return bool(((squared > np.finfo(np.float32).tiny) & np.isfinite(squared)).all())


def _lengths(block: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.sqrt(np.vecdot(block, block))
    return lengths


def _require_lengths(lengths: NDArray[np.float64], first: int, source: Path, outcome: str) -> None:
    bad = np.flatnonzero(~((lengths > 0) & np.isfinite(lengths)))
    if len(bad):
        raise BadInput(f"vector {first + bad[0]} of {source} is of length {lengths[bad[0]]}; {outcome}")


def _block_rows(rows: GivenRows) -> int:
    return max(READ_BYTES // max(rows.shape[1] * 8, 1), 1)


def identify(path: bytes, folders: dict[bytes, bool]) -> tuple[FileStamp, bytes, str | None]:
    """Return a path's stamp, its content's sha256, and why the file cannot be read, if it is there and cannot.

    A file that is not there, or not a file at all (an address), is known by its path alone. folders: which are there,
    as found for the paths before, so that files of one that is not are not looked for.
    """
    if is_address(path) or not _is_there(path, folders):
        return FileStamp(path, 0, 0), hashlib.sha256(b"vecstore path\0" + path).digest(), None
    try:
        content = decoding.read(path)
    except decoding.Unreadable as error:
        return FileStamp(path, 0, 0), b"", str(error)
    return FileStamp(path, content.size, content.mtime_ns), content.sha256, None


def _is_there(path: bytes, folders: dict[bytes, bool]) -> bool:
    folder = path.rpartition(b"/")[0]
    if not folders.get(folder, True):
        return False
    if os.path.lexists(path):
        return True
    if folder not in folders:
        folders[folder] = os.path.lexists(folder or b"/")
    return False


def _paths_of(path: Path) -> list[bytes]:
    """Return the paths in a Parquet file, none if it has no column `path`."""
    import pyarrow.parquet

    with _readable(path), pyarrow.parquet.ParquetFile(path) as file:
        if "path" not in file.schema_arrow.names:
            return []
        return [os.fsencode(text) for text in file.read(columns=["path"]).column("path").to_pylist()]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise BadInput for what pyarrow raises at a file that is not what it should be."""
    import pyarrow

    try:
        yield
    except (OSError, KeyError, ValueError, TypeError, AttributeError, pyarrow.ArrowException) as error:
        raise BadInput(f"{path} is not a Parquet file with a column `vector` of equally long lists: {error}") from error


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"the list of paths {path} cannot be read: {error.strerror}") from error
