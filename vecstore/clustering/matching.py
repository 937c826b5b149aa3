"""Identity: which cluster of a new clustering is which of the one before, by the images that they share.

A new cluster carries an old one's id only where more than half of one lies in the other. Arrays in, ids out: this
module knows no store.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Match:
    """ids[i]: the id of new cluster i. The counts are those of `results.Clustering`, of clusters with images."""

    ids: list[int]
    kept: int
    split: int
    merged: int
    born: int
    gone: int
    moved: int


def match(
    before: Int64,
    after: Int64,
    k: int,
    next_id: int,
    fixed: Mapping[int, int] = MappingProxyType({}),
    noise: tuple[int | None, int | None] = (None, None),
) -> Match:
    """Return the ids of k new clusters, and what became of the old ones.

    before: (n,) int64, the cluster id that each image had. after: (n,) int64, the new cluster that it is in, from 0 to
    k - 1. next_id: the first id that was never given; clusters that carry none get theirs from there, in order.
    fixed: the ids, in `before`, that new clusters carry whatever images they share, as they have images pinned to them.
    noise: the id of the noise, which no cluster carries, and which of the new clusters it is; neither counts as one.

    Two clusters that share more than half of each other are the same; there is no choice. Among the others, as many
    old clusters as can be go on where more than half of their images are, and then as many images as can be keep
    their id: a maximum-weight matching, https://docs.scipy.org/doc/scipy/reference/generated/scipy.optimize.linear_sum_assignment.html
    """
    old_ids, old_of = np.unique(before, return_inverse=True)
    old_size, new_size = np.bincount(old_of, minlength=len(old_ids)), np.bincount(after, minlength=k)
    pairs, shared = np.unique(old_of * k + after, return_counts=True)
    old, new = pairs // k, pairs % k
    most_of_old, most_of_new = 2 * shared > old_size[old], 2 * shared > new_size[new]
    carried = np.full(k, -1)
    carried[[*fixed]] = np.searchsorted(old_ids, [*fixed.values()])
    noise_id, noise_of = noise
    is_noise = old_ids == noise_id
    clusters = ~is_noise[old] & (new != noise_of)  # between two clusters
    free = ~np.isin(old, carried) & ~np.isin(new, [*fixed]) & clusters
    mutual = most_of_old & most_of_new & free
    carried[new[mutual]] = old[mutual]
    open_ = (most_of_old | most_of_new) & free & ~np.isin(old, old[mutual]) & ~np.isin(new, new[mutual])
    weight = shared + most_of_old * (len(before) + 1)
    for o, n in _heaviest(old[open_], new[open_], weight[open_]):
        carried[n] = o
    kept = int(np.count_nonzero(carried >= 0))
    fresh = iter(range(next_id, next_id + k))
    ids = [int(old_ids[o]) if o >= 0 else next(fresh) for o in np.delete(carried, [] if noise_of is None else noise_of)]
    stays = carried[new] == old
    if noise_of is not None and noise_id is not None:
        ids.insert(noise_of, noise_id)
        stays |= is_noise[old] & (new == noise_of)
        new_size[noise_of] = 0
    return Match(
        ids=ids,
        kept=kept,
        split=int(np.count_nonzero(np.bincount(old[most_of_new & clusters]) > 1)),
        merged=int(np.count_nonzero(np.bincount(new[most_of_old & clusters]) > 1)),
        born=int(np.count_nonzero(new_size)) - kept,
        gone=len(old_ids) - int(is_noise.sum()) - kept,
        moved=len(before) - int(shared[stays].sum()),
    )


def _heaviest(old: Int64, new: Int64, weight: Int64) -> list[tuple[int, int]]:
    """Return the pairs of the matching with the greatest sum of weights, each old and each new in one at the most."""
    if not len(old):
        return []
    from scipy.optimize import linear_sum_assignment

    olds, rows = np.unique(old, return_inverse=True)
    news, columns = np.unique(new, return_inverse=True)
    matrix = np.zeros((len(olds), len(news)))
    matrix[rows, columns] = weight
    chosen = linear_sum_assignment(matrix, maximize=True)
    return [(int(olds[r]), int(news[c])) for r, c in zip(*chosen, strict=True) if matrix[r, c]]
