"""Names for clusters, from their members' words against the words of all other images.

For every name, of a class or of what classes are kinds of, the mean probability among the members is weighed with the
logarithm of its ratio to that among the others: what says much about this cluster, and little about the others. Of
names that say nearly as much as the best one, the shortest is taken, and of these the most specific.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vecstore.embedders.heads import CLASSES
from vecstore.session import Session
from vecstore.words.own_words import Scorer, score_blocks, scores_of
from vecstore.words.tagging import BEST, SCALE, every_block
from vecstore.words.vocabulary import vocabulary

# What a name has at least to say: its mean probability among the members, and how much more often than elsewhere.
LEAST_MEAN, LEAST_RATIO = 0.2, 2.0
# Added to both means of a ratio, so that a name met nowhere else is not worth without end.
SMOOTHING = 1e-3
NEARLY_AS_GOOD = 0.85
# Of words that separate two clusters: how many, and their least mean probability among the one's members.
MOST_SEPARATING, LEAST_SEPARATING = 3, 0.05


class OwnWords(NamedTuple):
    """Names of a person's own, and what gives their probabilities (`own_words.scorer`)."""

    words: Sequence[str]
    score: Scorer


def suggestions(
    session: Session, clustering: int, levels: Sequence[Mapping[int, int]] = (), own: OwnWords | None = None
) -> dict[int, str]:
    """Return the name that the words suggest for each cluster that they say something about. In a transaction.

    levels: of a tree, the node above each cluster in each level that is above them; nodes get names too.
    own: names to choose from in place of the classes'.
    """
    ids, sums, sizes = _sums(session, clustering, own)
    naming = (list(own.words), np.eye(len(own.words))) if own else _names()
    found = _suggested(ids, sums, sizes, *naming)
    for node_of in levels:
        nodes, places = np.unique([node_of[cluster] for cluster in ids], return_inverse=True)
        of_nodes, sizes_of = np.zeros((len(nodes), sums.shape[1])), np.zeros(len(nodes))
        np.add.at(of_nodes, places, sums)
        np.add.at(sizes_of, places, sizes)
        found |= _suggested(nodes.tolist(), of_nodes, sizes_of, *naming)
    return found


def _suggested(
    ids: list[int],
    sums: NDArray[np.float64],
    sizes: NDArray[np.float64],
    names: list[str],
    members_of: NDArray[np.float64],
) -> dict[int, str]:
    if len(ids) < 2:  # nothing to tell it from
        return {}
    masses = sums @ members_of
    within = masses / np.maximum(sizes, 1)[:, None]
    beyond = (masses.sum(axis=0) - masses) / np.maximum(sizes.sum() - sizes, 1)[:, None]
    ratios = (within + SMOOTHING) / (beyond + SMOOTHING)
    scores = np.where((within >= LEAST_MEAN) & (ratios >= LEAST_RATIO), within * np.log(ratios), 0.0)
    return {
        cluster: names[_best(names, own, members_of)] for cluster, own in zip(ids, scores, strict=True) if own.max() > 0
    }


def separating_words(
    session: Session, clustering: int, cluster: int, others: list[int]
) -> dict[int, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return, for each of some other clusters, the words that say more of the one, and those that say more of the
    other. In a transaction."""
    ids, sums, sizes = _sums(session, clustering)
    names, members_of = _names()
    means = (sums @ members_of) / np.maximum(sizes, 1)[:, None]
    place_of = {number: place for place, number in enumerate(ids)}
    found = {}
    for other in others:
        one, two = means[place_of[cluster]], means[place_of[other]]
        found[other] = (_words_for(names, one, two, members_of), _words_for(names, two, one, members_of))
    return found


def _words_for(
    names: list[str], within: NDArray[np.float64], beyond: NDArray[np.float64], members_of: NDArray[np.float64]
) -> tuple[str, ...]:
    ratios = (within + SMOOTHING) / (beyond + SMOOTHING)
    scores = np.where((within >= LEAST_SEPARATING) & (ratios >= LEAST_RATIO), within * np.log(ratios), 0.0)
    words: list[str] = []
    while scores.max() > 0 and len(words) < MOST_SEPARATING:
        best = _best(names, scores, members_of)
        words.append(names[best])
        # What is of the same classes says the same again.
        scores[(members_of[:, best] @ members_of) > 0] = 0
    return tuple(words)


def _best(names: list[str], scores: NDArray[np.float64], members_of: NDArray[np.float64]) -> int:
    near = np.flatnonzero(scores >= NEARLY_AS_GOOD * scores.max()).tolist()
    return min(near, key=lambda name: (names[name].count(" "), members_of[:, name].sum(), names[name]))


def _sums(
    session: Session, clustering: int, own: OwnWords | None = None
) -> tuple[list[int], NDArray[np.float64], NDArray[np.float64]]:
    """Return the clusters' ids, (clusters, classes or words) the sums of their members' probabilities, and how many
    members."""
    vectors = session.vectors()
    place_of_row = np.full(len(vectors), -1, np.int64)
    places: dict[int, int] = {}
    for row, cluster, _ in session.catalog.memberships.all(clustering):
        place_of_row[row] = places.setdefault(cluster, len(places))
    sizes = np.bincount(place_of_row[place_of_row >= 0], minlength=len(places)).astype(np.float64)
    if own:
        sums = np.zeros((len(places), len(own.words)))
        for rows in score_blocks(np.flatnonzero(place_of_row >= 0), own.words):
            np.add.at(sums, place_of_row[rows], scores_of(session, rows, own.score))
        return list(places), sums, sizes
    sums = np.zeros((len(places), CLASSES))
    for rows, tags in every_block(session, vectors, place_of_row >= 0):
        for place in range(BEST):
            known = tags[:, place] < CLASSES
            np.add.at(sums, (place_of_row[rows][known], tags[known, place]), tags[known, BEST + place] / SCALE)
    return list(places), sums, sizes


def _names() -> tuple[list[str], NDArray[np.float64]]:
    """Return the names, and (classes, names) 1 where a class is of that name."""
    known = vocabulary()
    places: dict[str, int] = {}
    pairs = [(number, places.setdefault(name, len(places))) for number, name in _kinds()]
    members_of = np.zeros((CLASSES, len(places)))
    members_of[tuple(np.array(pairs).T)] = 1
    for name, place in places.items():  # with what the word finds, such as wild dogs for dog
        members_of[list(known.look_up(" ".join(name.casefold().split())) or ()), place] = 1
    return list(places), members_of


def _kinds() -> Iterator[tuple[int, str]]:
    for number, names in enumerate(vocabulary().kinds):
        for name in names:
            yield number, name
