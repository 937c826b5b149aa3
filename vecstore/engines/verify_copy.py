"""Whether an engine has a true copy of the rows: as many as can be found, and, of a sample or all, the same numbers."""

import numpy as np

from vecstore.engines.engine import Engine, Int64
from vecstore.errors import StoreDamaged
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.vector_file import VectorFile

# Rows of a sample, spread over the store: a second or so of reading.
SAMPLE_ROWS = 2_000
ROWS_AT_ONCE = 500


def require_equal(
    engine: Engine, catalog: Catalog, vectors: VectorFile, next_step: str, *, all_rows: bool = False
) -> int:
    """Compare what the engine has with the rows, a sample of them unless all are asked for; return how many.

    The engine has been sent everything. next_step: what to do where they differ. Raises StoreDamaged, and NotFound
    for a row that the engine lacks.
    """
    if engine.count() != catalog.images.found_count():
        raise StoreDamaged(
            f"{engine.name} has {engine.count()} of the {catalog.images.found_count()} images; {next_step}"
        )
    rows = np.asarray(catalog.images.searchable_rows(), np.int64)
    rows = rows if all_rows else rows[:: max(len(rows) // SAMPLE_ROWS, 1)]
    stored = vectors.read(catalog.images.row_count())
    for start in range(0, len(rows), ROWS_AT_ONCE):
        block: Int64 = rows[start : start + ROWS_AT_ONCE]
        if not np.array_equal(engine.get(block), np.asarray(stored[block], np.float32)):
            raise StoreDamaged(
                f"{engine.name} does not return the vectors that it was sent, of images @{block[0]} to @{block[-1]}; "
                f"{next_step}"
            )
    return len(rows)
