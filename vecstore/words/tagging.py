"""Tags: the best classes of each image, by the head on the vector as it is stored.

A row's tags are ten little-endian 16-bit numbers: five classes, the best first, and their probabilities in 65,535ths,
rounded down; a probability of 0 is of no class. `storage/catalog/tags.py` keeps them without knowing what they mean.
"""

import functools
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.rows import as_float32, in_blocks
from vecstore.embedders.heads import Head, head_of
from vecstore.errors import NotFound, VecstoreError
from vecstore.image_ref import ImageRef, identify, path_of, vector_of
from vecstore.results import ImageTags, Tag
from vecstore.session import Session
from vecstore.storage.catalog.tags import ROW_BYTES
from vecstore.storage.checksums import require_rows
from vecstore.storage.layout import HEAD
from vecstore.storage.vector_file import Float16
from vecstore.words.stored_head import read_head, stored_head
from vecstore.words.vocabulary import vocabulary

log = logging.getLogger(__name__)

BEST = 5
SCALE = 65_535
NO_CLASS = 65_535
# Rows whose tags are recorded in one transaction.
COMMIT_ROWS = 65_536
# Rows whose logits are made at a time: 16 MB of them.
LOGIT_ROWS = 4_096

# From so many images without tags on, it is said how to answer sooner.
SLOW_ROWS = 100_000

Mask = NDArray[np.bool_]
Tags = NDArray[np.uint16]
# Takes vectors as they are stored, returns the bytes of their tags.
Tagger = Callable[[Float16], Iterable[bytes]]


def best_classes(vectors: NDArray[np.floating], head: Head) -> Tags:
    """Return the tags of vectors of length 1, (n, 10) uint16: classes, then probabilities in 65,535ths."""
    logits = head.logits(vectors.astype(np.float32))
    return _best_of(logits, _softmax(logits))


def scores_and_tags(
    vectors: NDArray[np.float32], head: Head, terms: Sequence[frozenset[int]]
) -> tuple[NDArray[np.float32], Tags]:
    """Return the probability that vectors of length 1 show all of some terms, (n,) float32, and their tags."""
    logits = head.logits(vectors)
    probabilities = _softmax(logits)
    return _of_terms(probabilities, terms), _best_of(logits, probabilities)


def term_probabilities(
    vectors: NDArray[np.float32], head: Head, words: Sequence[Sequence[frozenset[int]]]
) -> NDArray[np.float32]:
    """Return the probability that vectors of length 1 show each word, which is some terms, (n, words) float32."""
    probabilities = _softmax(head.logits(vectors))
    return np.stack([_of_terms(probabilities, terms) for terms in words], axis=1)


def _of_terms(probabilities: NDArray[np.float32], terms: Sequence[frozenset[int]]) -> NDArray[np.float32]:
    """Return the sum of the probabilities of a term's classes, (n,); of several terms that of the least."""
    return np.minimum.reduce([probabilities[:, sorted(term)].sum(axis=1) for term in terms])  # type: ignore[no-any-return]


def _best_of(logits: NDArray[np.float32], probabilities: NDArray[np.float32]) -> Tags:
    best = np.argpartition(-logits, BEST, axis=1)[:, :BEST]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(logits, best, 1), axis=1, kind="stable"), 1)
    # Rounded down, so that their sum is never more than 65,535.
    shares = np.floor(np.take_along_axis(probabilities, best, 1) * SCALE)
    return np.concatenate([best, shares], axis=1).astype(np.uint16)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def tagger(session: Session) -> Tagger | None:
    """Return what makes the tags of new rows; None if tags were not asked for.

    It makes none while there is no head: one whose features' length is to be measured first, on images of the store, or
    whose weights are not here. Then `fill` does the rest, or says why it cannot.
    """
    if not session.catalog.tags.are_kept():
        return None

    kept_head = functools.cache(stored_head)

    def tag(vectors: Float16) -> Iterable[bytes]:
        try:
            return as_bytes(best_classes(vectors, kept_head(session)))
        except VecstoreError as error:
            log.debug("no tags are recorded with these images: %s", error)
            return []

    return tag


def require_words(session: Session) -> None:
    """Raise BadInput or WeightsUnavailable if the embedder has no head, before anything is made for it."""
    if not session.exists or read_head(session.path / HEAD, session.spec.to_json()) is None:
        head_of(session.embedder)


def begin(session: Session) -> None:
    """Let every add record tags from now on. Raises what `require_words` does."""
    require_words(session)
    with session.lock(), session.catalog.writing():
        session.catalog.tags.keep()


def fill(session: Session) -> int:
    """Record the tags of all images that have none; return of how many. The lock is held."""
    catalog = session.catalog
    vectors = session.vectors()
    rows = untagged_rows(session)
    if not len(rows):
        return 0
    head = stored_head(session)
    require_rows(catalog, vectors, rows)
    for part in in_blocks(rows, COMMIT_ROWS):
        with catalog.writing():
            for block in in_blocks(part, LOGIT_ROWS):
                made = as_bytes(best_classes(as_float32(vectors, block), head))
                catalog.tags.put(zip(block.tolist(), made, strict=True))
    return len(rows)


def fill_or_warn(session: Session) -> None:
    """Record the tags that are missing, if any were asked for; a warning says why that cannot be done now."""
    if not session.catalog.tags.are_kept():
        return
    try:
        fill(session)
    except VecstoreError as error:
        log.warning("some images have no words recorded yet, and `vecstore tag --all` makes up for it: %s", error)


def tag_all(session: Session) -> int:
    """Record the tags of all images, and of those added from now on; see `Store.tag_all`."""
    require_words(session)
    with session.writing():
        with session.catalog.writing():
            session.catalog.tags.keep()
        return fill(session)


def tags_of(session: Session, refs: Sequence[ImageRef]) -> list[ImageTags]:
    """Return the tags of images, kept or made from their vectors; see `Store.tag`."""
    head = None
    found = []
    for ref in refs:
        image = identify(session, ref)
        row = image if isinstance(image, int) else None
        kept = session.catalog.tags.of(row) if row is not None else None
        if kept is None:
            head = head or stored_head(session)
            tags = best_classes(vector_of(session, image)[None], head)[0]
        else:
            tags = as_tags(kept)[0]
        path = session.catalog.paths.first_of(row) if row is not None else None
        found.append(ImageTags(row, path_of(ref) if path is None else os.fsdecode(path), in_words(tags)))
    return found


def every_images_tags(session: Session) -> Iterator[ImageTags]:
    """Yield the recorded tags of all images, by id. Raises NotFound if none were recorded."""
    if not session.catalog.tags.are_kept():
        raise NotFound(f"the store {session.path} has no words recorded; `vecstore tag --all` records them")
    return itertools.chain.from_iterable(_tags_in(session, block) for block in session.catalog.tags.block_numbers())


def _tags_in(session: Session, block: int) -> list[ImageTags]:
    """Return the tags of one block: no transaction stays open while its reader takes a rest."""
    with session.catalog.reading():
        hidden, first_of = {*session.catalog.images.hidden_rows()}, session.catalog.paths.first_of
        first, tags = session.catalog.tags.block(block)
        rows = enumerate(as_tags(tags), start=first)
        return [
            ImageTags(row, os.fsdecode(first_of(row) or b""), in_words(own))
            for row, own in rows
            if own[BEST] and row not in hidden
        ]


def kept_blocks(session: Session) -> Iterator[tuple[int, Tags]]:
    """Yield (first row, (n, 10) uint16 tags) of the tags that are recorded; rows without have the probability 0."""
    for first, classes in session.catalog.tags.blocks():
        yield first, as_tags(classes)


def best_recorded(session: Session, n_rows: int) -> NDArray[np.uint16]:
    """Return the best class of each row, (n_rows,), of the tags that are recorded; `NO_CLASS` where there are none."""
    best = np.full(n_rows, NO_CLASS, np.uint16)
    for first, tags in kept_blocks(session):
        own = tags[: max(n_rows - first, 0)]
        best[first : first + len(own)] = np.where(own[:, BEST] > 0, own[:, 0], NO_CLASS)
    return best


def every_block(session: Session, vectors: Float16, wanted: Mask | None) -> Iterator[tuple[NDArray[np.int64], Tags]]:
    """Yield (rows, tags) of rows in blocks: the recorded tags, then those made from the vectors of rows without.

    Parameters
    ----------
    session: inside a read transaction.
    vectors: (n_rows, dim) float16, all rows that the catalog counts.
    wanted: (n_rows,) bool, which rows; None: all.

    Raises
    ------
    StoreDamaged: recorded tags, or a vector to make them from, are damaged.
    """
    missing = np.ones(len(vectors), np.bool_) if wanted is None else wanted.copy()
    for first, tags in kept_blocks(session):
        usable = tags[: max(len(vectors) - first, 0)]
        chosen = missing[first : first + len(usable)] & (usable[:, BEST] > 0)
        missing[first : first + len(usable)] &= ~chosen
        yield np.flatnonzero(chosen) + first, usable if chosen.all() else usable[chosen]
    rows = np.flatnonzero(missing)
    if len(rows) >= SLOW_ROWS:
        log.warning("%d images have no words recorded; `vecstore tag --all` makes this quick", len(rows))
    if len(rows):
        require_rows(session.catalog, vectors, rows)
    for block in in_blocks(rows, LOGIT_ROWS):
        yield block, best_classes(as_float32(vectors, block), stored_head(session))


def untagged_rows(session: Session) -> NDArray[np.int64]:
    """Return the images, also removed ones whose vector is there, that have no tags recorded, ascending."""
    catalog = session.catalog
    missing = np.ones(catalog.images.row_count(), np.bool_)
    for first, tags in kept_blocks(session):
        missing[first : first + len(tags)] = tags[:, BEST][: len(missing) - first] == 0
    missing[catalog.images.vacant_rows()] = False
    missing[catalog.checksums.quarantined_rows()] = False
    return np.flatnonzero(missing)


def as_tags(data: bytes) -> Tags:
    """Return (n, 10) uint16 tags from their bytes."""
    return np.frombuffer(data, "<u2").astype(np.uint16, copy=False).reshape(-1, 2 * BEST)


def in_words(tags: Tags) -> tuple[Tag, ...]:
    """Return a row's tags, the best first."""
    names = vocabulary().names
    pairs = zip(tags[:BEST].tolist(), tags[BEST:].tolist(), strict=True)
    return tuple(Tag(names[number][0], round(share / SCALE, 4)) for number, share in pairs if share)


def as_bytes(tags: Tags) -> Iterator[bytes]:
    """Yield the bytes of each row's tags."""
    data = tags.astype("<u2").tobytes()
    return (data[start : start + ROW_BYTES] for start in range(0, len(data), ROW_BYTES))
