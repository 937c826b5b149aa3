"""Index files of usearch and hnswlib: a graph over the store's vectors, whose keys are the ids of the images.

Both keep the whole graph in memory while it is built: the vectors (float16 for usearch, float32 for hnswlib) and about
150 bytes an image more. https://github.com/unum-cloud/usearch https://github.com/nmslib/hnswlib
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from indexes.rows import in_blocks, rows_per_block
from vecstore.errors import BadInput, NotFound
from vecstore.exchange.new_files import new_path
from vecstore.results import ExportReport
from vecstore.session import Session
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.vector_file import Float32

Blocks = Iterator[tuple[Any, Float32]]


def write_usearch(session: Session, target: Path) -> ExportReport:
    """Write an index by cosine, in float16, that `usearch.index.Index.restore` reads."""
    try:
        from usearch.index import Index
    except ImportError as error:
        raise BadInput(f"writing {target} needs usearch; install vecstore[usearch]") from error

    def build(draft: Path, blocks: Blocks, n_rows: int, dim: int) -> None:
        index = Index(ndim=dim, metric="cos", dtype="f16")
        for rows, vectors in blocks:
            index.add(rows.astype(np.uint64), vectors)
        index.save(str(draft))

    return _write(session, target, build)


def write_hnswlib(session: Session, target: Path) -> ExportReport:
    """Write an index by cosine that `hnswlib.Index(space="cosine", dim=...).load_index` reads."""
    try:
        import hnswlib
    except ImportError as error:
        raise BadInput(f"writing {target} needs hnswlib; install vecstore[hnswlib]") from error

    def build(draft: Path, blocks: Blocks, n_rows: int, dim: int) -> None:
        index = hnswlib.Index(space="cosine", dim=dim)
        index.init_index(max_elements=n_rows, ef_construction=200, M=16, random_seed=0)
        for rows, vectors in blocks:
            index.add_items(vectors, rows)
        index.save_index(str(draft))

    return _write(session, target, build)


def _write(session: Session, target: Path, build: Callable[[Path, Blocks, int, int], None]) -> ExportReport:
    catalog = session.catalog
    with catalog.reading(), new_path(target) as draft:
        vectors, rows = session.vectors(), np.array(catalog.images.searchable_rows(), np.int64)
        if not len(rows):
            raise NotFound("the store has no images to export")
        guard = ChecksumVerifier(catalog, vectors)

        def blocks() -> Blocks:
            for block in in_blocks(rows, rows_per_block(vectors.shape[1], np.float32)):
                guard.require(block.tolist())
                yield block, vectors[block].astype(np.float32)

        build(draft, blocks(), len(rows), vectors.shape[1])
    return ExportReport(str(target), None, len(rows), len(rows), os.path.getsize(target))
