"""How long a search takes, measured with vectors that the store has."""

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.vector_file import Float16

if TYPE_CHECKING:
    from indexes.ann import Index

# Searches to take the median of.
QUERIES_TO_TIME = 7


def median_query_ms(index: "Index", vectors: Float16, catalog: Catalog) -> float | None:
    """Return the median milliseconds of a search for ten neighbours, by a few searchable images; None without one.

    vectors: (rows, dim) float16, mapped; all that the catalog counts.
    """
    hidden = catalog.images.hidden_rows()
    searchable = np.ones(len(vectors), np.bool_)
    searchable[hidden] = False
    rows = np.flatnonzero(searchable)
    seconds = []
    for row in rows[:: max(len(rows) // QUERIES_TO_TIME, 1)]:
        query = np.asarray(vectors[row], np.float32)[None]
        started = time.perf_counter()
        index.search(query, 10, searchable if hidden else None)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds) if seconds else None
