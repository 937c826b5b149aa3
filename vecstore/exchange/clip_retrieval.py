"""clip-retrieval's folders: vectors in `img_emb/img_emb_N.npy`, and what they are of in `metadata/metadata_N.parquet`.

Written a part of `PART_ROWS` at a time, read part after part. https://github.com/rom1504/clip-retrieval
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from indexes.rows import in_blocks, rows_per_block
from vecstore.errors import BadInput, NotFound
from vecstore.exchange.arrow import pyarrow_for, readable
from vecstore.exchange.given_rows import in_size, paths_in
from vecstore.exchange.new_files import as_text, bytes_below, new_folder
from vecstore.ingest.vector_import import Block, GivenRows, NpyRows
from vecstore.results import ExportReport
from vecstore.session import Session
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.vector_file import ROW_DTYPE

VECTORS, METADATA = "img_emb", "metadata"
VECTORS_FILE = re.compile(rf"{VECTORS}_(\d+)\.npy")
# Of a file, as `clip-retrieval inference` writes by itself.
PART_ROWS = 1_000_000
# Where the pictures are, in the order in which they are looked for: of files, and of a webdataset made by img2dataset.
PATH_COLUMNS = ("image_path", "url")
WRITTEN = ("image_path", "id", "sha256", "caption", "cluster", "cluster_name")


class PartRows:
    """The vectors of several .npy files, one after the other."""

    def __init__(self, parts: list[NpyRows]) -> None:
        self._parts = parts
        self.dtype = np.result_type(*(part.dtype for part in parts))
        self.shape: tuple[int, ...] = (sum(part.shape[0] for part in parts), parts[0].shape[1])

    def blocks(self, size: int) -> Iterator[Block]:
        parts = (read() for part in self._parts for read in part.blocks(size))
        return in_size((part.astype(self.dtype, copy=False) for part in parts), size)


def load(source: Path, pictures: Path | None) -> tuple[GivenRows, list[bytes]]:
    """Return the vectors of a folder and the path of each. Raises BadInput if the two do not fit."""
    files = {int(name[1]): name[0] for file in os.listdir(source / VECTORS) if (name := VECTORS_FILE.fullmatch(file))}
    if not files:
        raise BadInput(f"{source / VECTORS} has no {VECTORS}_N.npy; it is not a folder of clip-retrieval")
    numbers = sorted(files)
    parts = [NpyRows(source / VECTORS / files[number]) for number in numbers]
    names: list[bytes] = []
    for number, part in zip(numbers, parts, strict=True):
        if len(part.shape) != 2 or part.shape[1] != parts[0].shape[1] or not np.issubdtype(part.dtype, np.floating):
            raise BadInput(
                f"{source / VECTORS / files[number]} holds {part.dtype} of shape {part.shape}; (n, "
                f"{parts[0].shape[-1]}) floating-point numbers are wanted"
            )
        stem = files[number].removeprefix(f"{VECTORS}_").removesuffix(".npy")
        part_names = _paths_in(source / METADATA / f"{METADATA}_{stem}.parquet")
        if len(part_names) != part.shape[0]:
            raise BadInput(
                f"{source}: part {stem} has {part.shape[0]} vectors, but {len(part_names)} paths in {METADATA}; "
                "nothing was imported"
            )
        names += part_names
    return PartRows(parts), paths_in(pictures, names)


def _paths_in(file: Path) -> list[bytes]:
    pyarrow_for(f"reading {file}")
    import pyarrow.parquet

    with readable(file, "metadata of clip-retrieval"), pyarrow.parquet.ParquetFile(file) as opened:
        column = next((name for name in PATH_COLUMNS if name in opened.schema_arrow.names), None)
        if column is None:
            raise BadInput(f"{file} has none of the columns {', '.join(PATH_COLUMNS)}; nothing says what the rows are")
        found = opened.read(columns=[column]).column(column).to_pylist()
    if not all(isinstance(name, str | bytes) and name for name in found):
        raise BadInput(f"{file} has a row without {column}; nothing was imported")
    return [os.fsencode(name) for name in found]


def write(session: Session, target: Path) -> ExportReport:
    """Write vectors, float16 as they are stored, and metadata; a row for each path."""
    pa = pyarrow_for(f"writing {target}")
    catalog = session.catalog
    with catalog.reading(), new_folder(target) as draft:
        vectors = session.vectors()
        guard = ChecksumVerifier(catalog, vectors)
        for name in (VECTORS, METADATA):
            (draft / name).mkdir()
        part: list[dict[str, Any]] = []
        images, n_rows, number = set(), 0, 0
        for row, path, sha256, *_, cluster, _distance, name in catalog.paths.exported():
            caption = getattr(dict(catalog.facts.of_rows({row})).get(row), "caption", None)
            values = (as_text(path, target), row, sha256.hex(), caption, cluster, name)
            part.append(dict(zip(WRITTEN, values, strict=True)))
            images.add(row)
            n_rows += 1
            if len(part) == PART_ROWS:
                _write_part(pa, draft, number, part, vectors, guard)
                part, number = [], number + 1
        if not n_rows:
            raise NotFound("the store has no images to export")
        if part:
            _write_part(pa, draft, number, part, vectors, guard)
    return ExportReport(str(target), None, len(images), n_rows, bytes_below(target))


def _write_part(
    pa: Any, draft: Path, number: int, part: list[dict[str, Any]], vectors: Any, guard: ChecksumVerifier
) -> None:
    import pyarrow.parquet

    integers = ("id", "cluster")
    schema = pa.schema([(name, pa.int64() if name in integers else pa.string()) for name in WRITTEN])
    pyarrow.parquet.write_table(pa.Table.from_pylist(part, schema), draft / METADATA / f"{METADATA}_{number}.parquet")
    shape = (len(part), vectors.shape[1])
    out = np.lib.format.open_memmap(draft / VECTORS / f"{VECTORS}_{number}.npy", "w+", ROW_DTYPE, shape)
    written = 0
    for rows in in_blocks(np.array([one["id"] for one in part]), rows_per_block(shape[1], ROW_DTYPE)):
        guard.require(rows.tolist())
        out[written : written + len(rows)] = vectors[rows]
        written += len(rows)
    out.flush()
