"""The images that are nearest to a query: to one image, or to the mean of several less the mean of others."""

import os
from collections.abc import Sequence

import numpy as np

from vecstore.clustering.clusters import current_clusters
from vecstore.errors import BadInput
from vecstore.image_ref import ImageRef, NewPicture, identify, vector_of
from vecstore.results import Neighbour
from vecstore.search.filters import Filter, Mask, allowed_rows
from vecstore.session import Session
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.vector_file import Float32


def similar(
    session: Session,
    refs: Sequence[ImageRef],
    minus: Sequence[ImageRef],
    conditions: Filter,
    k: int,
    min_score: float | None,
    exact: bool,
) -> list[Neighbour]:
    """Return the k stored images nearest to the mean of `refs` less that of `minus`; see `Store.similar`."""
    if not refs:
        raise BadInput("name at least one image to find others like it")
    # Before the transaction: a new picture is embedded here, and its network may have to be downloaded first.
    plus, less = ([identify(session, ref) for ref in given] for given in (refs, minus))
    return nearest(session, plus, less, conditions, k, min_score, exact)


def nearest(
    session: Session,
    plus: Sequence[int | NewPicture],
    less: Sequence[int | NewPicture],
    conditions: Filter,
    k: int,
    min_score: float | None = None,
    exact: bool = False,
) -> list[Neighbour]:
    """Return the k stored images nearest to pictures that are identified already."""
    with session.catalog.reading():
        vectors = session.vectors()
        # At once: a writer may put one of newer rows in its place.
        index = session.engine.searcher(vectors, exact=exact)
        allowed = allowed_in(session, len(vectors), conditions)
        verifier = ChecksumVerifier(session.catalog, vectors)
        query = _query(session, plus, less)
        found = index.search(query[None], k, allowed)
        hits = list(zip(found.rows[0].tolist(), found.scores[0].tolist(), strict=True))
        own = plus[0] if len(plus) == 1 and not less else None
        if isinstance(own, int) and (allowed is None or allowed[own]):
            hits = _own_first(own, hits)
        verifier.require(row for row, _ in hits)
        return neighbours(session, hits, min_score)


def allowed_in(session: Session, n_rows: int, conditions: Filter) -> Mask | None:
    """Return which rows may be found, None for all of them."""
    return allowed_rows(session.catalog, n_rows, conditions, lambda: current_clusters(session).clustering)


def neighbours(session: Session, hits: Sequence[tuple[int, float]], min_score: float | None) -> list[Neighbour]:
    """Return (row, score) with what the catalog says of each row, ranked as they come. Inside a transaction."""
    kept = [(row, score) for row, score in hits if min_score is None or score >= min_score]
    return [_neighbour(session, rank, row, score) for rank, (row, score) in enumerate(kept, start=1)]


def _neighbour(session: Session, rank: int, row: int, score: float) -> Neighbour:
    path = session.catalog.paths.first_of(row)
    assigned = session.catalog.memberships.cluster_of(row)
    return Neighbour(rank, row, score, os.fsdecode(path or b""), assigned[0] if assigned else None)


def _query(session: Session, plus: Sequence[int | NewPicture], minus: Sequence[int | NewPicture]) -> Float32:
    query = np.mean([vector_of(session, image) for image in plus], axis=0)
    if minus:
        query = query - np.mean([vector_of(session, image) for image in minus], axis=0)
    length = float(np.linalg.norm(query))
    if not length:
        raise BadInput("the images and those to subtract cancel out, so nothing is left to look for; change one")
    return np.asarray(query / np.float32(length), np.float32)


def _own_first(own: int, hits: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Put the image that was asked for before others with the very same vector, which tie with it."""
    others = [(row, score) for row, score in hits if row != own]
    # Of more copies than k, or through a damaged index, it may not be among those that were found.
    score = hits[0][1] if len(others) < len(hits) else 1.0
    return [(own, score), *others][: len(hits)]
