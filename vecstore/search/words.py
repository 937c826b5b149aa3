"""Images by words: by the text tower of an embedder that has one, else by the classes of its head.

By a head, the score is the sum of the probabilities of the classes that a word stands for.
Candidates are the images that have one of these classes among their five best: from the tags that are recorded, 20
bytes an image, or made from the vectors of images without, a block at a time, so that the answer does not depend on
what is recorded. The best candidates are then scored exactly, over all classes: without that, a dog that could be of
ten breeds ranks below a cat that looks like one.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.rows import as_float32, in_blocks
from vecstore.errors import BadInput
from vecstore.image_ref import NewPicture
from vecstore.results import Found
from vecstore.search.filters import Filter
from vecstore.search.query import allowed_in, nearest
from vecstore.session import IMPORTED, Session
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.layout import HEAD
from vecstore.storage.vector_file import Float16, Float32, quantize_unit_rows
from vecstore.words.stored_head import read_head, stored_head
from vecstore.words.tagging import BEST, LOGIT_ROWS, SCALE, Tags, best_classes, every_block, probabilities_of
from vecstore.words.vocabulary import vocabulary

# Candidates that are scored exactly: four for each result, and no fewer than these.
CANDIDATES, LEAST_CANDIDATES = 4, 256
WORDS_SHOWN = 3

Terms = list[frozenset[int]]


def find(session: Session, text: str, conditions: Filter, k: int, min_score: float | None) -> list[Found]:
    """Return the k images that fit words best; see `Store.find`."""
    if read_head(session.path / HEAD, session.spec.to_json()) is None and reads_text(session):
        return _nearest_to_text(session, text, conditions, k, min_score)
    stored_head(session)  # before the transaction, as it may have to be made; an embedder without one is refused
    terms = vocabulary().require(text, session.spec.name)
    with session.catalog.reading():
        vectors = session.vectors()
        allowed = allowed_in(session, len(vectors), conditions)
        sums = _Sums(terms, len(vectors))
        for some, tags in every_block(session, vectors, allowed):
            sums.take(some, tags)
        rows = _best(sums.of_rows, max(k * CANDIDATES, LEAST_CANDIDATES))
        ChecksumVerifier(session.catalog, vectors).require(rows.tolist())
        scores = _exact(session, vectors, rows, terms)
        order = np.argsort(-scores, kind="stable")[:k]
        hits = zip(rows[order].tolist(), scores[order].tolist(), strict=True)
        kept = [(row, score) for row, score in hits if min_score is None or score >= min_score]
        return _described(session, vectors, kept, frozenset[int]().union(*terms))


def reads_text(session: Session) -> bool:
    """Say whether the store's embedder has a tower that brings text into the pictures' space."""
    return session.spec.name != IMPORTED and hasattr(session.embedder, "embed_text")


def _nearest_to_text(session: Session, text: str, conditions: Filter, k: int, min_score: float | None) -> list[Found]:
    """Return the images nearest to a text; the score is the model's probability of a match where it has one."""
    if not text.strip():
        raise BadInput("no word was given to look for; name a thing, such as dog")
    embedder: Any = session.embedder
    vector = quantize_unit_rows(embedder.embed_text([text])).astype(np.float32)[0]
    near = nearest(session, [NewPicture(b"", vector)], [], conditions, k)
    scores = np.array([hit.score for hit in near], np.float32)
    matched = embedder.match(scores) if hasattr(embedder, "match") else None
    found = zip(near, scores if matched is None else matched, strict=True)
    return [
        Found(hit.rank, hit.id, float(score), hit.path, hit.cluster, (text,))
        for hit, score in found
        if min_score is None or score >= min_score
    ]


class _Sums:
    """For every row, the probabilities of its best classes that are asked for, in 65,535ths; of several terms, the
    least sum, for an image has to show all."""

    def __init__(self, terms: Terms, n_rows: int) -> None:
        self.of_rows = np.zeros(n_rows, np.uint16)
        self._wanted = []
        for term in terms:
            wanted = np.zeros(SCALE + 1, np.uint16)  # of any 16-bit number, so that no tag can be out of it
            wanted[list(term)] = 1
            self._wanted.append(wanted)

    def take(self, rows: NDArray[np.int64], tags: Tags) -> None:
        """Sum up rows by their tags, (n, 10) uint16."""
        self.of_rows[rows] = np.minimum.reduce([self._sum(wanted, tags) for wanted in self._wanted])

    def _sum(self, wanted: NDArray[np.uint16], tags: Tags) -> NDArray[np.uint16]:
        total = np.zeros(len(tags), np.uint16)  # a row's probabilities add up to 65,535 at the most
        for place in range(BEST):
            total += wanted[tags[:, place]] * tags[:, BEST + place]
        return total


def _best(sums: NDArray[np.uint16], count: int) -> NDArray[np.int64]:
    """Return the `count` rows of the highest sums above 0, ascending; of equal sums those of the lowest ids."""
    rows = np.flatnonzero(sums)
    if len(rows) > count:  # of a million images, sorting all that have a word takes longer than finding them
        bound = np.partition(sums[rows], len(rows) - count)[len(rows) - count]
        rows = rows[sums[rows] >= bound]
    order = np.argsort(-sums[rows].astype(np.int32), kind="stable")
    return np.sort(rows[order[:count]])


def _exact(session: Session, vectors: Float16, rows: NDArray[np.int64], terms: Terms) -> Float32:
    """Return the probability that each image shows what is asked for; of several terms the least."""
    head = stored_head(session)
    found = [np.zeros(0, np.float32)]
    for block in in_blocks(rows, LOGIT_ROWS):
        units = as_float32(vectors, block)
        found.append(np.minimum.reduce([probabilities_of(units, head, sorted(term)) for term in terms]))
    return np.concatenate(found)


def _described(
    session: Session, vectors: Float16, hits: Sequence[tuple[int, float]], wanted: frozenset[int]
) -> list[Found]:
    if not hits:
        return []
    rows = np.array([row for row, _ in hits])
    names, tags = vocabulary().names, best_classes(np.asarray(vectors[rows]), stored_head(session))
    found = []
    for rank, ((row, score), own) in enumerate(zip(hits, tags.tolist(), strict=True), start=1):
        words = tuple(names[number][0] for number in own[:BEST] if number in wanted)[:WORDS_SHOWN]
        assigned = session.catalog.memberships.cluster_of(row)
        path = os.fsdecode(session.catalog.paths.first_of(row) or b"")
        found.append(Found(rank, row, min(score, 1.0), path, assigned[0] if assigned else None, words))
    return found
