"""The k-NN graph: the nearest neighbours of every image, a block at a time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.rows import in_blocks
from vecstore.results import Edge
from vecstore.search.filters import Filter
from vecstore.search.query import allowed_in, neighbours
from vecstore.session import Session
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.vector_file import Float16

if TYPE_CHECKING:
    from indexes.ann import Index

# Images asked for at once; the first are printed when so many were searched.
QUERIES_AT_ONCE = 64


def edges(session: Session, conditions: Filter, k: int, min_score: float | None, exact: bool) -> Iterator[Edge]:
    """Yield the k nearest of every image; see `Store.neighbours`. Raises before the first step."""
    with session.catalog.reading():
        vectors = session.vectors()
        allowed = allowed_in(session, len(vectors), conditions)
        index = session.engine.searcher(vectors, exact=exact, many=True)
    verifier = ChecksumVerifier(session.catalog, vectors)
    found = nearest_of_each(index, vectors, allowed, k)
    return (edge for query, near in found for edge in _edges_of(session, query, near, min_score, verifier))


def _edges_of(
    session: Session, query: int, near: list[tuple[int, float]], min_score: float | None, verifier: ChecksumVerifier
) -> list[Edge]:
    """Return the edges of the graph from one image; none that lead to, or from, one that was removed meanwhile."""
    with session.catalog.reading():
        images = session.catalog.images
        if not images.is_alive(query):
            return []
        alive = [(row, score) for row, score in near if images.is_alive(row)]
        verifier.require([query, *(row for row, _ in alive)])
        return [Edge(query, **vars(neighbour)) for neighbour in neighbours(session, alive, min_score)]


def nearest_of_each(
    index: "Index", vectors: Float16, allowed: NDArray[np.bool_] | None, k: int
) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """Yield (row, its k nearest others as (row, score), nearest first) for every row that is allowed, ascending."""
    rows = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    for block in in_blocks(rows, QUERIES_AT_ONCE):
        found = index.search(vectors[block].astype(np.float32), k + 1, allowed)
        for row, near, scores in zip(block.tolist(), found.rows.tolist(), found.scores.tolist(), strict=True):
            # Among more than k equals a row need not find itself, so that others are counted and not cut by one.
            others = [(other, score) for other, score in zip(near, scores, strict=True) if other != row]
            yield row, others[:k]
