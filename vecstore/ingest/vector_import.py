"""Ready-made vectors: from a .npy or Parquet file to unit rows and the paths that they belong to. Knows no store.

What `maintenance/export.py` wrote comes back as it was: vectors bit for bit, contents, clusters and names.
"""

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.rows import in_blocks, rows_per_block
from vecstore.embedders.embedder import EmbedderSpec
from vecstore.errors import BadInput
from vecstore.results import Clustering
from vecstore.sources import decoding
from vecstore.sources.file_stamp import MOST, FileStamp
from vecstore.sources.paths import absolute, is_address
from vecstore.sources.text_files import read_list, unknown_encoding
from vecstore.storage.catalog.tags import ROW_BYTES
from vecstore.storage.checksums import LENGTH_ERROR
from vecstore.storage.export_format import CLUSTERING, EMBEDDER, PARQUET, TAGS, TAGS_COLUMN
from vecstore.storage.vector_file import ROW_DTYPE, Float16

# Of a Parquet file, read at a time: with the vectors, as many Python objects.
BATCH_ROWS = 4_096


def load(vectors: Path, paths: Path | None) -> tuple[NDArray[Any], list[bytes]]:
    """Return the vectors, (n, dim) of floats, mapped where they can be, and the n paths, absolute.

    vectors: .npy, or Parquet with a column `vector` of lists. paths: a list, a path a line or NUL-separated; may be
    left out for Parquet with a column `path`. Raises BadInput for anything else, and if the numbers differ.
    """
    rows, named = _parquet(vectors) if vectors.suffix.lower() in PARQUET else (_npy(vectors), [])
    if paths is not None:
        named = read_list(_bytes_of(paths))
        if (trouble := unknown_encoding(named)) is not None:
            raise BadInput(f"{paths}: {trouble}; nothing was imported")
    if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating):
        raise BadInput(
            f"{vectors} holds {rows.dtype} of shape {rows.shape}; (n, dim) floating-point numbers are wanted"
        )
    if not named:
        raise BadInput(f"there are no paths for the vectors of {vectors}; name a file with one path a line")
    if len(named) != len(rows):
        raise BadInput(f"{vectors} holds {len(rows)} vectors, but there are {len(named)} paths; they must be as many")
    return rows, [absolute(path) for path in named]


@dataclass(frozen=True)
class ExportedClusters:
    """A clustering of an export. horizon: the first id that was added after it. names: of those that have one."""

    run: Clustering
    horizon: int
    ids: list[int]
    names: dict[int, str]
    centroids: bytes


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


@dataclass(frozen=True)
class Exported:
    """A Parquet file that a vecstore has written."""

    path: Path
    spec: EmbedderSpec
    clusters: ExportedClusters | None
    has_tags: bool = False

    def tags(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (sha256, tags) of the images that have tags. Raises BadInput for a damaged file."""
        import pyarrow
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=["sha256", TAGS_COLUMN]):
                    for sha256, tags in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        if tags is not None and len(tags) != ROW_BYTES:
                            raise ValueError(f"tags of {len(tags)} bytes")
                        if tags is not None:
                            yield sha256, tags
        except (OSError, KeyError, ValueError, TypeError, AttributeError, pyarrow.ArrowException) as error:
            raise BadInput(f"{self.path} is a damaged export ({error}); export again") from error

    def rows(self) -> Iterator[ExportedRow]:
        """Yield its rows. Raises BadInput for a damaged one."""
        import pyarrow
        import pyarrow.parquet

        fields = [name for name in ExportedRow.__annotations__ if name != "vector"]
        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(BATCH_ROWS):
                    column = batch.column("vector")
                    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
                    _require_units(vectors, self.spec.dim)
                    for vector, *values in zip(vectors, *(batch.column(f).to_pylist() for f in fields), strict=True):
                        row = ExportedRow(vector=vector, **dict(zip(fields, values, strict=True)))
                        yield _checked(row)
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
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
        if EMBEDDER not in metadata:
            return None
        spec = EmbedderSpec.from_json(metadata[EMBEDDER])
        clusters = _clusters(metadata[CLUSTERING], spec.dim) if CLUSTERING in metadata else None
        return Exported(path, spec, clusters, TAGS in metadata)
    except (OSError, pyarrow.ArrowException):  # reported where it is read
        return None
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is a damaged export ({error}); export again") from error


def _clusters(text: bytes, dim: int) -> ExportedClusters:
    found = json.loads(text)
    told = found["run"]
    run = Clustering(**told, empty=told["k"] - told["kept"] - told["born"])
    centroids = base64.b64decode(found["centroids"], validate=True)
    ids = [int(cluster) for cluster in found["ids"]]
    if len(centroids) != len(ids) * dim * 4 or len({*ids}) != run.k or len(ids) != run.k or min(ids) < 0:
        raise ValueError("its clusters do not fit their number")
    names = {int(cluster): str(name) for cluster, name in found["names"].items()}
    return ExportedClusters(run, int(found["horizon"]), ids, names, centroids)


def _require_units(vectors: NDArray[Any], dim: int) -> None:
    if vectors.dtype != ROW_DTYPE or vectors.shape[1] != dim:
        raise ValueError(f"its vectors are {vectors.dtype} of {vectors.shape[1]} numbers")
    if not _are_units(vectors):
        raise ValueError("a vector is not of length 1")


def _are_units(vectors: NDArray[Any]) -> bool:
    wide = vectors.astype(np.float64)
    return bool((np.abs(np.vecdot(wide, wide) - 1) <= LENGTH_ERROR).all())


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


def unit_blocks(rows: NDArray[Any], source: Path) -> Iterator[NDArray[Any]]:
    """Yield the rows in blocks, (m, dim) float32, each of length 1. Raises BadInput for a row that has no direction.

    Rows of float16 that are of length 1 already are taken for stored ones, and left as they are.
    """
    first = 0
    for given in in_blocks(rows, rows_per_block(rows.shape[1], np.float64)):
        block = np.asarray(given, np.float64)
        lengths = np.linalg.norm(block, axis=1)
        bad = np.flatnonzero(~((lengths > 0) & np.isfinite(lengths)))
        if len(bad):
            raise BadInput(f"vector {first + bad[0]} of {source} is of length {lengths[bad[0]]}; nothing was imported")
        stored = np.asarray(given)
        yield stored if stored.dtype == ROW_DTYPE and _are_units(stored) else (block / lengths[:, None]).astype("f4")
        first += len(block)


def identify(path: bytes) -> tuple[FileStamp, bytes, str | None]:
    """Return a path's stamp, its content's sha256, and why the file cannot be read, if it is there and cannot.

    A file that is not there, or not a file at all (an address), is known by its path alone.
    """
    if is_address(path) or not os.path.lexists(path):
        return FileStamp(path, 0, 0), hashlib.sha256(b"vecstore path\0" + path).digest(), None
    try:
        content = decoding.read(path)
    except decoding.Unreadable as error:
        return FileStamp(path, 0, 0), b"", str(error)
    return FileStamp(path, content.size, content.mtime_ns), content.sha256, None


def _npy(path: Path) -> NDArray[Any]:
    try:
        rows: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy hands on what the parsers of Python's own syntax raise at a header
        raise BadInput(f"{path} cannot be read as .npy: {error}") from error
    return rows


def _parquet(path: Path) -> tuple[NDArray[Any], list[bytes]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise BadInput(
            f"reading {path} needs pyarrow; install vecstore[parquet], or give the vectors as .npy"
        ) from error
    try:
        table = pyarrow.parquet.read_table(path)
        column = table.column("vector").combine_chunks()
        rows = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
        named = [os.fsencode(text) for text in table.column("path").to_pylist()] if "path" in table.column_names else []
    except (OSError, KeyError, ValueError, TypeError, AttributeError, pyarrow.ArrowException) as error:
        raise BadInput(f"{path} is not a Parquet file with a column `vector` of equally long lists: {error}") from error
    return rows, named


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"the list of paths {path} cannot be read: {error.strerror}") from error
