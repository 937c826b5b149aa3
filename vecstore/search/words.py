"""Images by words: by the text tower of an embedder that has one, else by the classes of its head.

By a head, the score is the sum of the probabilities of the classes that a word stands for.
Candidates are the images that have one of these classes among their five best: from the tags that are recorded, 20
bytes an image, which are kept between questions, or made from the vectors of images without. The best candidates are
then scored exactly, over all classes: without that, a dog that could be of ten breeds ranks below a cat that looks like
one. So the answer does not depend on what is recorded, but where very many images have no tags: of these, candidates
are what the index finds in the classes' directions.
"""

import functools
import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from indexes.rows import as_float32, in_blocks, to_float32
from vecstore.embedders.embedder import unit_rows
from vecstore.embedders.heads import Head
from vecstore.image_ref import NewPicture
from vecstore.results import Found
from vecstore.search.filters import Filter
from vecstore.search.query import allowed_in, nearest
from vecstore.session import Session
from vecstore.storage.checksums import ChecksumVerifier, require_rows
from vecstore.storage.vector_file import Float16, Float32
from vecstore.words.kept_tags import KeptTags
from vecstore.words.stored_head import stored_head
from vecstore.words.tagging import (
    BEST,
    LOGIT_ROWS,
    SCALE,
    SLOW_ROWS,
    Tags,
    best_classes,
    scores_and_tags,
)
from vecstore.words.text_tower import reads_text, refuse_prompts, require_prompts, text_vectors
from vecstore.words.vocabulary import vocabulary

log = logging.getLogger(__name__)

# Candidates that are scored exactly: four for each result, and no fewer than these.
CANDIDATES, LEAST_CANDIDATES = 4, 256
# Directions that the index looks in for one word.
DIRECTIONS = 64
WORDS_SHOWN = 3

# The number of BLAS's threads is one for all threads, and each puts back what it found.
ONE_AT_A_TIME = threading.Lock()

Terms = list[frozenset[int]]
Int64 = NDArray[np.int64]


class WordSearch:
    """Finds the images of one store by words; keeps the recorded tags between questions."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tags = KeptTags()

    def find(
        self, text: str, prompts: Sequence[str], conditions: Filter, k: int, min_score: float | None
    ) -> list[Found]:
        """Return the k images that fit words best; see `Store.find`."""
        session = self._session
        require_prompts(prompts)
        if reads_text(session):
            return _nearest_to_text(session, text, prompts, conditions, k, min_score)
        refuse_prompts(session, prompts)
        head = stored_head(session)  # before the transaction, as it may have to be made; none is refused
        terms = vocabulary().require(text, session.spec.name)
        with session.catalog.reading():
            vectors = session.vectors()
            rows = self._candidates(vectors, head, terms, conditions, max(k * CANDIDATES, LEAST_CANDIDATES))
            scores, tags = _exact(vectors, rows, head, terms)
            order = np.argsort(-scores, kind="stable")[:k]
            if min_score is not None:
                order = order[scores[order] >= min_score]
            ChecksumVerifier(session.catalog, vectors).require(rows[order].tolist())
            classes = frozenset[int]().union(*terms)
            found = zip(rows[order].tolist(), scores[order].tolist(), tags[order].tolist(), strict=True)
            return [_described(session, rank, *hit, classes) for rank, hit in enumerate(found, start=1)]

    def _candidates(self, vectors: Float16, head: Head, terms: Terms, conditions: Filter, wanted: int) -> Int64:
        """Return the rows whose best classes have most of what is asked for, ascending; of several terms the least."""
        session, n_rows = self._session, len(vectors)
        # At once: a writer may put one of newer rows in its place.
        searcher = session.engine.searcher(vectors) if n_rows >= SLOW_ROWS else None
        self._tags.bring_up_to_date(session, n_rows)
        sums: NDArray[np.uint16] = np.minimum.reduce([self._tags.sums(term, n_rows) for term in terms])
        missing = ~self._tags.is_tagged(n_rows)
        allowed = allowed_in(session, n_rows, conditions)
        if allowed is not None:
            sums[~allowed] = 0
            missing &= allowed
        rows = np.flatnonzero(missing)
        if searcher is not None and len(rows) >= SLOW_ROWS:
            log.warning(
                "%d images have no words recorded, and the index looks for the most likely ones; "
                "`vecstore tag --all` makes the answer whole, and quick",
                len(rows),
            )
            directions = np.concatenate([_directions(head, sorted(term)) for term in terms])
            rows = np.unique(searcher.search(directions, wanted, missing).rows)
        elif len(rows):
            require_rows(session.catalog, vectors, rows)
        for block in in_blocks(rows, LOGIT_ROWS):
            tags = best_classes(as_float32(vectors, block), head)
            sums[block] = np.minimum.reduce([_sums(tags, term) for term in terms])
        return _best(sums, wanted)


def _directions(head: Head, classes: Sequence[int]) -> Float32:
    """Return the directions of the classes in the space of features, of 64 groups at the most, (n, dim) of length 1.

    ImageNet's order is by kinds, so that neighbours in it make a group. The mean of all classes' weights is taken away,
    for it adds the same to each class.
    """
    groups = np.array_split(np.array(classes), min(len(classes), DIRECTIONS))
    means = np.array([head.weights[group].mean(axis=0) for group in groups], np.float32)
    return unit_rows(means - head.weights.mean(axis=0))


def _sums(tags: Tags, term: frozenset[int]) -> NDArray[np.uint16]:
    """Return the sum of the probabilities of some classes among each row's best, of (n, 10) tags."""
    wanted = np.isin(tags[:, :BEST], list(term))
    return np.where(wanted, tags[:, BEST:], 0).sum(axis=1, dtype=np.uint16)  # type: ignore[no-any-return]


def _nearest_to_text(
    session: Session, text: str, prompts: Sequence[str], conditions: Filter, k: int, min_score: float | None
) -> list[Found]:
    """Return the images nearest to a text; the score is the model's probability of a match where it has one."""
    vector = text_vectors(session, [text], prompts)[0]
    near = nearest(session, [NewPicture(b"", vector)], [], conditions, k)
    embedder: Any = session.embedder
    scores = np.array([hit.score for hit in near], np.float32)
    matched = embedder.match(scores) if hasattr(embedder, "match") else None
    found = zip(near, scores if matched is None else matched, strict=True)
    return [
        Found(hit.rank, hit.id, float(score), hit.path, hit.cluster, (text,))
        for hit, score in found
        if min_score is None or score >= min_score
    ]


def _best(sums: NDArray[np.uint16], count: int) -> Int64:
    """Return the `count` rows of the highest sums above 0, ascending; of equal sums those of the lowest ids."""
    # From above, how many rows have at least this sum: of a million, sorting takes longer than finding them.
    at_least = np.cumsum(np.bincount(sums, minlength=SCALE + 1)[::-1])
    bound = max(SCALE - int(np.searchsorted(at_least, count)), 1)
    rows = np.flatnonzero(sums >= bound)
    order = np.argsort(-sums[rows].astype(np.int32), kind="stable")
    return np.sort(rows[order[:count]])


def _exact(vectors: Float16, rows: Int64, head: Head, terms: Terms) -> tuple[Float32, Tags]:
    """Return the probability that each image shows what is asked for, and its tags."""
    found = [(np.zeros(0, np.float32), np.zeros((0, 2 * BEST), np.uint16))]
    # A product this small takes 7 ms on one core; two that other work shares wait for each other, 67 ms at the median.
    with ONE_AT_A_TIME, _blas().limit(limits=1, user_api="blas"):
        for block in in_blocks(rows, LOGIT_ROWS):
            found.append(scores_and_tags(to_float32(np.asarray(vectors)[block]), head, terms))
    scores, tags = zip(*found, strict=True)
    return np.concatenate(scores), np.concatenate(tags)


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()  # looking for the libraries takes longer than the product


def _described(session: Session, rank: int, row: int, score: float, tags: list[int], wanted: frozenset[int]) -> Found:
    names = vocabulary().names
    words = tuple(names[number][0] for number in tags[:BEST] if number in wanted)[:WORDS_SHOWN]
    assigned = session.catalog.memberships.cluster_of(row)
    path = os.fsdecode(session.catalog.paths.first_of(row) or b"")
    return Found(rank, row, min(score, 1.0), path, assigned[0] if assigned else None, words)
