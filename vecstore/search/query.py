"""The images nearest to a query: to one image or word, or to the mean of several less a part of that of others.

What is subtracted counts less than what is added, as in Rocchio's feedback: subtracted whole, one picture leads so far
from all the others that what is left is unlike anything that was asked for.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vecstore.clustering.clusters import current_clusters
from vecstore.defaults import MINUS_WEIGHT
from vecstore.errors import BadInput
from vecstore.image_ref import ImageRef, NewPicture, identify_all, vector_of
from vecstore.results import Neighbour
from vecstore.search.filters import Filter, Mask, allowed_rows
from vecstore.session import Session
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.vector_file import Float32
from vecstore.words.text_tower import require_no_prompts
from vecstore.words.word_vectors import word_vectors


@dataclass(frozen=True)
class Examples:
    """What to look for.

    images, words: the mean of all of them is looked for. minus, minus_words: the mean of all of these is subtracted,
    times minus_weight. prompts: templates for the words, for embedders that read text.
    """

    images: Sequence[ImageRef]
    minus: Sequence[ImageRef] = ()
    words: Sequence[str] = ()
    minus_words: Sequence[str] = ()
    minus_weight: float = MINUS_WEIGHT
    prompts: Sequence[str] = ()


def similar(
    session: Session, examples: Examples, conditions: Filter, k: int, min_score: float | None, exact: bool
) -> list[Neighbour]:
    """Return the k stored images nearest to the examples; see `Store.similar`."""
    if not examples.images and not examples.words:
        raise BadInput("name at least one image or word to find others like it")
    if not (examples.words or examples.minus_words):
        require_no_prompts(examples.prompts)
    # Before the transaction: a new picture or text is embedded here, and its network may have to be downloaded first.
    plus, less = (
        identify_all(session, images)
        + [NewPicture(b"", vector) for vector in word_vectors(session, words, examples.prompts)]
        for images, words in ((examples.images, examples.words), (examples.minus, examples.minus_words))
    )
    return nearest(session, plus, less, conditions, k, min_score, exact, examples.minus_weight)


def nearest(
    session: Session,
    plus: Sequence[int | NewPicture],
    less: Sequence[int | NewPicture],
    conditions: Filter,
    k: int,
    min_score: float | None = None,
    exact: bool = False,
    minus_weight: float = MINUS_WEIGHT,
) -> list[Neighbour]:
    """Return the k stored images nearest to pictures that are identified already, and to vectors of words."""
    with session.catalog.reading():
        vectors = session.vectors()
        # At once: a writer may put one of newer rows in its place.
        index = session.engine.searcher(vectors, exact=exact)
        allowed = allowed_in(session, len(vectors), conditions)
        verifier = ChecksumVerifier(session.catalog, vectors)
        query = _query(session, plus, less, minus_weight)
        found = index.search(query[None], k, allowed)
        hits = list(zip(found.rows[0].tolist(), found.scores[0].tolist(), strict=True))
        own = plus[0] if len(plus) == 1 and not less else None
        if isinstance(own, int) and (allowed is None or allowed[own]):
            hits = own_first(own, hits)
        verifier.require(row for row, _ in hits)
        return neighbours(session, hits, min_score)


def allowed_in(session: Session, n_rows: int, conditions: Filter) -> Mask | None:
    """Return which rows may be found, None for all of them."""
    return allowed_rows(session.catalog, n_rows, conditions, lambda: current_clusters(session).clustering)


def neighbours(session: Session, hits: Sequence[tuple[int, float]], min_score: float | None) -> list[Neighbour]:
    """Return (row, score) with what the catalog says of each row, ranked as they come. Inside a transaction."""
    kept = [(row, score) for row, score in hits if min_score is None or score >= min_score]
    # Of all of them together: a statement for each takes several times as long.
    paths = session.catalog.paths.first_of_each(row for row, _ in kept)
    clusters = session.catalog.memberships.clusters_of(row for row, _ in kept)
    return [
        Neighbour(rank, row, score, os.fsdecode(paths.get(row, b"")), clusters.get(row))
        for rank, (row, score) in enumerate(kept, start=1)
    ]


def _query(
    session: Session, plus: Sequence[int | NewPicture], minus: Sequence[int | NewPicture], minus_weight: float
) -> Float32:
    query = np.mean([vector_of(session, image) for image in plus], axis=0)
    if minus:
        query = query - np.float32(minus_weight) * np.mean([vector_of(session, image) for image in minus], axis=0)
    length = float(np.linalg.norm(query))
    if not length:
        raise BadInput("what to look for and what to subtract cancel out, so nothing is left to look for; change one")
    return np.asarray(query / np.float32(length), np.float32)


def own_first(own: int, hits: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Put the image that was asked for before others with the very same vector, which tie with it."""
    others = [(row, score) for row, score in hits if row != own]
    # Of more copies than k, or through a damaged index, it may not be among those that were found.
    score = hits[0][1] if len(others) < len(hits) else 1.0
    return [(own, score), *others][: len(hits)]
