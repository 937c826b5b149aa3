"""Words of one's own: the probability of each of some words for a picture, by the text tower, or by the head.

A text tower takes any words and weighs them against each other (`text_tower.chances`); a head knows names, and says of
each by itself how probable its classes are.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexes.rows import as_float32, in_blocks
from vecstore.embedders.heads import CLASSES
from vecstore.errors import BadInput
from vecstore.image_ref import ImageRef, identify, path_of, vector_of
from vecstore.results import ImageTags, Tag
from vecstore.session import Session
from vecstore.sources.paths import AnyPath, absolute
from vecstore.sources.text_files import excerpt, is_utf8, read_text
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.vector_file import Float32
from vecstore.words.stored_head import stored_head
from vecstore.words.tagging import BEST, LOGIT_ROWS, term_probabilities
from vecstore.words.text_tower import chances, reads_text, refuse_prompts, require_prompts, text_vectors
from vecstore.words.vocabulary import vocabulary

MOST_WORDS = 10_000
# Takes (n, dim) vectors of length 1, returns (n, words) probabilities.
Scorer = Callable[[Float32], Float32]


def read_words(file: AnyPath) -> list[str]:
    """Return the words of a file, one word or phrase a line, each once; empty lines are left out.

    Raises BadInput for a file that cannot be read, has no words or too many, or a line that is not UTF-8.
    """
    source = Path(os.fsdecode(absolute(file)))
    try:
        lines = read_text(source.read_bytes()).splitlines()
    except OSError as error:
        raise BadInput(f"{source} cannot be read as a list of words: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        if not is_utf8(os.fsencode(line)):
            raise BadInput(f"{source}, line {number}: {excerpt(line)} is not UTF-8; save it as UTF-8")
    words = [*dict.fromkeys(line.strip() for line in lines if line.strip())]
    if not words:
        raise BadInput(f"{source} has no words; write one word or phrase a line")
    return words


def scorer(session: Session, words: Sequence[str], prompts: Sequence[str]) -> Scorer:
    """Return what gives the probabilities of the words for vectors of the store.

    Raises BadInput for no words, too many, or such that the embedder does not read or know.
    """
    if not words:
        raise BadInput("no word was given; name at least one")
    if len(words) > MOST_WORDS:
        raise BadInput(f"{len(words)} words are given, the most are {MOST_WORDS}; leave some out")
    require_prompts(prompts)
    if reads_text(session):
        texts = text_vectors(session, words, prompts)
        return lambda vectors: chances(session, vectors @ texts.T)
    refuse_prompts(session, prompts)
    head = stored_head(session)
    terms = [vocabulary().require(word, session.spec.name) for word in words]
    return lambda vectors: term_probabilities(vectors, head, terms)


def words_of(
    session: Session, refs: Sequence[ImageRef], words: Sequence[str], prompts: Sequence[str]
) -> list[ImageTags]:
    """Return the best of the words for each image; see `Store.tag`."""
    score = scorer(session, words, prompts)
    found = []
    for ref in refs:
        image = identify(session, ref)
        row = image if isinstance(image, int) else None
        path = session.catalog.paths.first_of(row) if row is not None else None
        shares = score(vector_of(session, image)[None])[0]
        found.append(ImageTags(row, path_of(ref) if path is None else os.fsdecode(path), _best(words, shares)))
    return found


def every_images_words(session: Session, words: Sequence[str], prompts: Sequence[str]) -> Iterator[ImageTags]:
    """Yield the best of the words for every image, by id; see `Store.tags`. Raises before the first step."""
    score = scorer(session, words, prompts)

    def every() -> Iterator[ImageTags]:
        for block in score_blocks(np.array(session.catalog.images.searchable_rows(), np.int64), words):
            yield from _of_block(session, block, words, score)

    return every()


def score_blocks(rows: NDArray[np.int64], words: Sequence[str]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows in blocks whose probabilities take no more memory for many words than for a head's classes."""
    return in_blocks(rows, max(LOGIT_ROWS * CLASSES // max(len(words), CLASSES), 1))


def _of_block(session: Session, rows: NDArray[np.int64], words: Sequence[str], score: Scorer) -> list[ImageTags]:
    """Return those of one block: no transaction stays open while its reader takes a rest."""
    with session.catalog.reading():
        paths = [(row, session.catalog.paths.first_of(row)) for row in rows.tolist()]
        there = [(row, path) for row, path in paths if path is not None]  # the others were removed meanwhile
        shares = scores_of(session, np.array([row for row, _ in there], np.int64), score)
    return [
        ImageTags(row, os.fsdecode(path), _best(words, own)) for (row, path), own in zip(there, shares, strict=True)
    ]


def scores_of(session: Session, rows: NDArray[np.int64], score: Scorer) -> Float32:
    """Return the probabilities for stored rows, ascending, (n, words). Inside a transaction; raises StoreDamaged."""
    vectors = session.vectors()
    ChecksumVerifier(session.catalog, vectors).require(rows.tolist())
    return score(as_float32(vectors, rows))


def _best(words: Sequence[str], shares: Float32) -> tuple[Tag, ...]:
    order = np.argsort(-shares, kind="stable")[:BEST]
    return tuple(Tag(words[number], round(float(shares[number]), 4)) for number in order.tolist())
