"""How well words tell images apart: the most probable of some words for each image against the label it has.

A word stands for the label of the same name, whatever the case, and for its plural. Images whose label is none of the
words are left out and counted.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from vecstore.clustering.evaluation import label_images, read_labels
from vecstore.errors import NotFound
from vecstore.results import Confusion, WordEvaluation, WordScore
from vecstore.session import Session
from vecstore.sources.paths import AnyPath, absolute, shown
from vecstore.words.own_words import score_blocks, scorer, scores_of
from vecstore.words.vocabulary import spellings


def evaluate_words(
    session: Session, words: Sequence[str], prompts: Sequence[str], labels: AnyPath | None
) -> WordEvaluation:
    """Return how often the most probable word is an image's label; see `Store.evaluate_words`."""
    table = read_labels(labels) if labels is not None else None
    score = scorer(session, words, prompts)
    catalog = session.catalog
    with catalog.reading():
        searchable = {*catalog.images.searchable_rows()}
        labelled = label_images(sorted((row, path) for row, path in catalog.paths.all() if row in searchable), table)
        word_of = _words_of({label for _, label in labelled.values()}, words)
        rows = np.array(sorted(row for row, (_, label) in labelled.items() if label in word_of), np.int64)
        if not len(rows):
            source = "its folders" if labels is None else shown(absolute(labels))
            there = ", ".join(sorted({label for _, label in labelled.values()})[:5]) or "none"
            raise NotFound(
                f"no label of the images of {session.path} in {source} is one of the words; the labels are {there}"
            )
        pairs: Counter[tuple[str, str]] = Counter()
        for block in score_blocks(rows, words):
            best = scores_of(session, block, score).argmax(axis=1)
            pairs.update(
                (labelled[row][1], words[word]) for row, word in zip(block.tolist(), best.tolist(), strict=True)
            )
    return _compared(pairs, word_of, len(labelled) - len(rows), prompts)


def _words_of(labels: set[str], words: Sequence[str]) -> dict[str, str]:
    """Return the word that stands for each label, of the labels that have one."""
    by_name = {name: word for word in reversed(words) for name in spellings(word)}
    found = {label: next((by_name[name] for name in spellings(label) if name in by_name), None) for label in labels}
    return {label: word for label, word in found.items() if word is not None}


def _compared(
    pairs: Counter[tuple[str, str]], word_of: dict[str, str], left_out: int, prompts: Sequence[str]
) -> WordEvaluation:
    total = sum(pairs.values())
    of_label: Counter[str] = Counter()
    chosen: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for (label, word), count in pairs.items():
        of_label[label] += count
        chosen[word] += count
        if word_of[label] == word:
            right[label] += count
    scores = [
        WordScore(
            label,
            word_of[label],
            images,
            right[label] / images,
            # Of two labels with one word, each image of the one is wrong for the other.
            right[label] / chosen[word_of[label]] if chosen[word_of[label]] else 0.0,
        )
        for label, images in sorted(of_label.items())
    ]
    confused = sorted(
        (Confusion(label, word, count) for (label, word), count in pairs.items() if word_of[label] != word),
        key=lambda one: (-one.images, one.label, one.word),
    )
    return WordEvaluation(total, left_out, sum(right.values()) / total, tuple(prompts), tuple(scores), tuple(confused))
