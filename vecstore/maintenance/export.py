"""A store as one file for other programs, and for `import`: Parquet, or .npy with a list of paths.

Vectors are written as they are stored, in float16, so that they come back bit for bit. In Parquet the file's metadata
say what made them and, with the centroids, which clusters they are in; `ingest/vector_import.py` reads both.
"""

import base64
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from indexes.rows import in_blocks, rows_per_block
from vecstore.embedders.embedder import EmbedderSpec
from vecstore.errors import BadInput, NotFound
from vecstore.results import ExportReport, Facts
from vecstore.session import Session
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.durable_files import replacing, replacing_path, translate_os_errors
from vecstore.storage.export_format import (
    CLUSTERING,
    DECISIONS,
    EMBEDDER,
    FACT_COLUMNS,
    FACT_INTEGERS,
    FACT_LISTS,
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
from vecstore.storage.vector_file import ROW_DTYPE, Float16

# Of a row group of Parquet.
GROUP_ROWS = 4_096
FIELDS = (
    *("id", "path", "sha256", "width", "height", "added", "size", "mtime_ns"),
    *("cluster", "distance", "cluster_name"),
)


def export(session: Session, file: Path, paths: Path | None) -> ExportReport:
    """Write the images of one moment; see `Store.export`. A file appears whole or not at all."""
    with session.catalog.reading():
        return _export(session.catalog, session.spec, session.vectors(), file, paths)


def _export(catalog: Catalog, spec: EmbedderSpec, vectors: Float16, file: Path, paths: Path | None) -> ExportReport:
    is_parquet = file.suffix.lower() in PARQUET
    if not is_parquet and file.suffix.lower() != ".npy":
        raise BadInput(f"{file} is neither .parquet nor .npy; choose the format by one of these suffixes")
    if is_parquet and paths is not None:
        raise BadInput(f"a Parquet file contains the paths; leave {paths} out")
    listed = None if is_parquet else paths or file.with_suffix(".txt")
    for target in filter(None, (file, listed)):
        if os.path.lexists(target):
            raise BadInput(f"{target} already exists, and an export overwrites nothing; name another file")
    if not catalog.images.count():
        raise NotFound("the store has no images to export")
    guard = ChecksumVerifier(catalog, vectors)
    found = catalog.paths.exported()
    if is_parquet:
        images, rows = _write_parquet(catalog, spec, vectors, found, guard, file)
    else:
        images, rows = _write_npy(vectors, found, guard, file, listed or file)
    size = sum(os.path.getsize(target) for target in filter(None, (file, listed)))
    return ExportReport(str(file), str(listed) if listed else None, images, rows, size)


def _write_npy(
    vectors: Float16, found: Iterator[tuple[Any, ...]], guard: ChecksumVerifier, file: Path, listed: Path
) -> tuple[int, int]:
    known = [(row, path) for row, path, *_ in found]
    # A line for each path, unless one has a line end itself.
    end = b"\0" if any(b"\n" in path or b"\r" in path for _, path in known) else b"\n"
    with translate_os_errors(listed), replacing(listed) as text:
        text.write(b"".join(path + end for _, path in known))
        with translate_os_errors(file), replacing_path(file) as target:
            out = np.lib.format.open_memmap(target, "w+", ROW_DTYPE, (len(known), vectors.shape[1]))
            written = 0
            for rows in in_blocks(np.array([row for row, _ in known]), rows_per_block(vectors.shape[1], ROW_DTYPE)):
                guard.require(rows.tolist())
                out[written : written + len(rows)] = vectors[rows]
                written += len(rows)
            out.flush()
    return len({row for row, _ in known}), len(known)


def _write_parquet(
    catalog: Catalog,
    spec: EmbedderSpec,
    vectors: Float16,
    found: Iterator[tuple[Any, ...]],
    guard: ChecksumVerifier,
    file: Path,
) -> tuple[int, int]:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise BadInput(f"writing {file} needs pyarrow; install vecstore[parquet], or name a .npy") from error
    schema = arrow_schema(catalog, spec)
    images, n_rows = 0, 0
    with translate_os_errors(file), replacing_path(file) as target, pq.ParquetWriter(target, schema) as writer:
        for rows, table in arrow_tables(catalog, vectors, found, guard, schema):
            writer.write_table(table)
            images, n_rows = images + len({*rows}), n_rows + len(rows)
    return images, n_rows


def arrow_tables(
    catalog: Catalog, vectors: Float16, found: Iterator[tuple[Any, ...]], guard: ChecksumVerifier, schema: Any
) -> Iterator[tuple[list[int], Any]]:
    """Yield (ids, table of Arrow) for each block of what `catalog.paths.exported` found; all paths of an image in one.

    schema: of `arrow_schema`, or columns of it.
    """
    import pyarrow as pa

    selections, pinned = _selections_of_rows(catalog), _pinned_rows(catalog)
    for block in _blocks(found):
        columns: dict[str, Any] = dict(zip(FIELDS, zip(*block, strict=True), strict=True))
        rows = list(columns["id"])
        if TAGS_COLUMN in schema.names:
            columns[TAGS_COLUMN] = [catalog.tags.of(row) for row in rows]
        columns[SELECTIONS_COLUMN] = [selections.get(row, []) for row in rows]
        columns[PINNED_COLUMN] = [row in pinned for row in rows]
        known = dict(catalog.facts.of_rows({*rows}))
        for name in FACT_COLUMNS:
            columns[name] = [getattr(known.get(row, Facts()), name) for row in rows]
        guard.require(rows)
        flat = pa.array(np.ascontiguousarray(vectors[rows]).reshape(-1))
        arrays = {"vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])}
        for field in schema:
            if field.name != "vector":
                arrays[field.name] = pa.array(columns[field.name], field.type)
        yield rows, pa.table([arrays[field.name] for field in schema], schema=schema)


def arrow_schema(catalog: Catalog, spec: EmbedderSpec) -> Any:
    """Return the columns of an export, and in its metadata what made the vectors and what was decided."""
    import pyarrow as pa

    names = catalog.selections.names()
    return pa.schema(
        [
            pa.field("id", pa.int64()),
            pa.field("path", pa.string() if _are_text(catalog) else pa.binary()),
            pa.field("vector", pa.list_(pa.float16(), spec.dim)),
            pa.field("sha256", pa.binary(32)),
            *[pa.field(name, pa.int64()) for name in ("width", "height")],
            pa.field("added", pa.string()),
            *[pa.field(name, pa.int64()) for name in ("size", "mtime_ns", "cluster")],
            pa.field("distance", pa.float64()),
            pa.field("cluster_name", pa.string()),
            *[pa.field(name, pa.string()) for name in FACT_TEXTS],
            *[pa.field(name, pa.int64()) for name in FACT_INTEGERS],
            *[pa.field(name, pa.float64()) for name in FACT_REALS],
            *[pa.field(name, pa.list_(pa.string())) for name in FACT_LISTS],
            *([pa.field(TAGS_COLUMN, pa.binary())] if catalog.tags.are_kept() else []),
            *([pa.field(SELECTIONS_COLUMN, pa.list_(pa.string()))] if names else []),
            *([pa.field(PINNED_COLUMN, pa.bool_())] if _pinned_rows(catalog) else []),
        ],
        metadata={
            **{EMBEDDER: spec.to_json(), FACTS: "1"},
            **_clustering(catalog),
            **_decisions(catalog),
            **({TAGS: "1"} if catalog.tags.are_kept() else {}),
            **({SELECTIONS: json.dumps(names)} if names else {}),
        },
    )


def _selections_of_rows(catalog: Catalog) -> dict[int, list[str]]:
    """Return the names of the selections of each image that is in one."""
    found: dict[int, list[str]] = defaultdict(list)
    for name in catalog.selections.names():
        for row in catalog.selections.rows(catalog.selections.require(name)):
            found[row].append(name)
    return found


def _pinned_rows(catalog: Catalog) -> set[int]:
    current = catalog.clusterings.current()
    return set() if current is None else {row for row, _ in catalog.memberships.pinned(current)}


def _blocks(found: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows in blocks; all paths of an image are in one."""
    block: list[tuple[Any, ...]] = []
    for row in found:
        if len(block) >= GROUP_ROWS and row[0] != block[-1][0]:
            yield block
            block = []
        block.append(row)
    if block:
        yield block


def _are_text(catalog: Catalog) -> bool:
    """Say whether every path is UTF-8, which a string of Parquet has to be."""
    try:
        for _, path in catalog.paths.all():
            path.decode()
    except UnicodeDecodeError:
        return False
    return True


def _clustering(catalog: Catalog) -> dict[bytes, str]:
    """Return the metadata that tell of the current clustering, if there is one."""
    number = catalog.clusterings.current()
    if number is None:
        return {}
    run = next(run for run in catalog.clusterings.all() if run.clustering == number)
    centroids, ids = catalog.clusterings.centroids(number)
    known = {
        "run": {name: value for name, value in asdict(run).items() if name != "empty"},  # it follows from the others
        "horizon": catalog.clusterings.horizon(number),
        "ids": ids,
        "names": {cluster: name for cluster, name, _ in catalog.clusterings.named(number)},
        "centroids": base64.b64encode(centroids).decode(),
        "options": catalog.clusterings.options(number),
        "kept": {cluster: kept for cluster, _, kept in catalog.clusterings.kept(number)},
    }
    if nodes := catalog.trees.shape(number):
        mergers = base64.b64encode(catalog.trees.mergers(number)).decode()
        known["tree"] = {"nodes": [*nodes], "mergers": mergers}
    return {CLUSTERING: json.dumps(known)}


def _decisions(catalog: Catalog) -> dict[bytes, str]:
    """Return the metadata that tell of what was decided about duplicates, if anything was."""
    found = [
        {name: value.hex() if isinstance(value, bytes) else value for name, value in vars(decision).items()}
        for decision in catalog.decisions.all()
    ]
    return {DECISIONS: json.dumps(found)} if found else {}
