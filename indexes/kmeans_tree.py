"""Hierarchical k-means: each cluster of a level is split into clusters of the next one, trained on its own rows.

A cluster gets as many children as its part of the rows, so that those of a level have about the same size. Rows are
read a node at a time, from the map.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from indexes import kmeans, split_and_merge
from indexes.devices import Device
from indexes.kmeans import KMeansOptions
from indexes.lloyd import Sums, update_centroids
from indexes.rows import as_float32, in_blocks, rows_per_block, sums_by_label

Int64 = NDArray[np.int64]

# Iterations over all leaves at the end, on at most so many rows: 1 GiB of them in principal directions. After so many
# of them leaves move to where they are worth more; the last ones follow the last move.
POLISH_ITERATIONS, ITERATIONS_A_MOVE, POLISH_ROWS = 9, 3, 1 << 21
LEAVES_THAT_STAY = 2


@dataclass(frozen=True)
class TreeState:
    """What is trained of a tree.

    Attributes
    ----------
    parents: of each complete level, and of the one under way as far as it is, the position of each node's parent.
    centroids: (m, dim) float32, of the level under way.
    labels: (n,) int64, the node of each row in the last complete level.
    next_labels: the same of the level under way, -1 where it is not known yet.
    n_trained: how many nodes of the last complete level have their children.
    trained_on: rows of the trainings so far, each counted as often as it was used.
    """

    parents: list[Int64]
    centroids: NDArray[np.float32]
    labels: Int64
    next_labels: Int64
    n_trained: int = 0
    trained_on: int = 0


@dataclass(frozen=True)
class Tree:
    """centroids: (k, dim) float32 of the leaves. parents: of each level but the first, the position of the parents.

    runs: of each training of the last level; trained_on: rows of all trainings.
    """

    centroids: NDArray[np.float32]
    parents: list[Int64] = field(repr=False)
    trained_on: int
    runs: int


Watch = Callable[[TreeState], None]


def grow(
    vectors: NDArray[np.float16],
    rows: Int64,
    levels: tuple[int, ...],
    options: KMeansOptions,
    device: Device,
    *,
    resume: TreeState | None = None,
    watch: Watch | None = None,
) -> Tree:
    """Return a tree with so many nodes in each level.

    On a CPU the result depends only on the vectors, levels and options.

    Parameters
    ----------
    vectors: (n_rows, dim) float16, may be mapped.
    rows: (n,) int64, ascending, n >= levels[-1].
    levels: ascending numbers of nodes, the leaves last.
    options: of each training; without restarts, the nodes of a level share the budget of one training.
    resume: the state of an interrupted run of the same.
    watch: called with the state after each node.
    """
    none = np.empty((0, vectors.shape[1]), np.float32)
    start = TreeState([np.empty(0, np.int64)], none, np.zeros(len(rows), np.int64), np.full(len(rows), -1))
    state = resume or start
    while True:
        level = len(state.parents) - 1
        is_last = level == len(levels) - 1
        n_nodes = 1 if level == 0 else levels[level - 1]
        n_children, n_rows = -(-levels[level] // n_nodes), max(len(rows) // n_nodes, 1)
        n_numbers = min(n_rows, kmeans.sample_size(n_children)) * vectors.shape[1]
        runs = options.restarts or kmeans.affordable_runs(n_numbers, n_children, options, 1 / n_nodes)
        own = replace(options, restarts=runs)
        state = _grow_level(vectors, rows, (n_nodes, levels[level], is_last), own, device, state, watch)
        if is_last:
            *above, parents = state.parents
            centroids, parents = polished(vectors, rows, state.centroids, parents, options, device)
            return Tree(centroids, [*above, parents][1:], state.trained_on, runs)
        state = TreeState(
            [*state.parents, np.empty(0, np.int64)],
            none,
            state.next_labels,
            np.full(len(rows), -1),
            trained_on=state.trained_on,
        )


def _grow_level(
    vectors: NDArray[np.float16],
    rows: Int64,
    size: tuple[int, int, bool],
    options: KMeansOptions,
    device: Device,
    state: TreeState,
    watch: Watch | None,
) -> TreeState:
    n_nodes, k, is_last = size
    counts = np.bincount(state.labels, minlength=n_nodes)
    children = shares(counts, k)
    first_child = np.concatenate([[0], np.cumsum(children)])
    by_node, first_row = np.argsort(state.labels, kind="stable"), np.concatenate([[0], np.cumsum(counts)])
    *above, own_parents = state.parents
    for node in range(state.n_trained, n_nodes):
        at = by_node[first_row[node] : first_row[node + 1]]
        n_children = int(children[node])
        if n_children:
            sample = kmeans.sample_rows(rows[at], n_children, options.seed)
            training = as_float32(vectors, sample)
            trained = kmeans.train(training, n_children, options, device)
            own_parents = np.concatenate([own_parents, np.full(n_children, node)])
            if not is_last:  # what the leaves hold is asked of all rows at once, by whoever has the tree
                blocks = kmeans.assign_blocks(vectors, rows[at], trained.centroids, device)
                labels = np.concatenate([assigned.labels for _, assigned in blocks])
                state.next_labels[at] = first_child[node] + labels
            state = replace(
                state,
                parents=[*above, own_parents],
                centroids=np.concatenate([state.centroids, trained.centroids]),
                n_trained=node + 1,
                trained_on=state.trained_on + len(sample),
            )
        if watch:
            watch(state)
    return state


def polished(
    vectors: NDArray[np.float16],
    rows: Int64,
    centroids: NDArray[np.float32],
    parents: Int64,
    options: KMeansOptions,
    device: Device,
) -> tuple[NDArray[np.float32], Int64]:
    """Return the leaves after some iterations over them all, and their parents.

    A row may go to a leaf of another node, and a leaf to another node: what is cut by the bounds of the nodes above has
    leaves on both sides. They are made on a sample, in principal directions where there are many dimensions, as runs of
    k-means are.
    """
    sample = kmeans.sample_rows(rows, len(centroids), options.seed)
    sample = sample[:: -(-len(sample) // POLISH_ROWS)]
    if len(sample) < len(centroids):
        return centroids, parents
    space, directions = in_directions(vectors, sample, options.seed)
    leaves, n_iterations = np.ascontiguousarray(centroids @ directions), min(options.iterations, POLISH_ITERATIONS)
    for iteration in range(n_iterations):
        labels = kmeans.assign(space, leaves, device).labels
        leaves = kmeans.means(space, labels, leaves, options.spherical)
        if (iteration + 1) % ITERATIONS_A_MOVE == 0 and iteration + 1 < n_iterations:
            leaves, beside = split_and_merge.moves(space, labels, leaves, _may_move(parents))
            parents = parents[beside]
    labels = kmeans.assign(space, leaves, device).labels
    return in_all_dimensions(vectors, sample, labels, leaves @ directions.T, options.spherical), parents


def _may_move(parents: Int64) -> NDArray[np.bool_]:
    """Return which leaves may go to another node: two of each stay, so that it is still one that is split."""
    by_node = np.argsort(parents, kind="stable")
    rank = np.empty_like(by_node)
    rank[by_node] = np.arange(len(parents)) - np.searchsorted(parents[by_node], parents[by_node])
    may: NDArray[np.bool_] = rank >= LEAVES_THAT_STAY
    return may


def in_directions(
    vectors: NDArray[np.float16], rows: Int64, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return rows in principal directions, (n, d), and these, (dim, d); as they are where dimensions are few."""
    dim = vectors.shape[1]
    if dim < 2 * kmeans.DIRECTIONS:
        directions = np.eye(dim, dtype=np.float32)
    else:
        some = np.sort(np.random.default_rng(seed).permutation(rows)[: kmeans.PCA_ROWS])
        directions = kmeans.directions_of(as_float32(vectors, some), seed)
    space = np.empty((len(rows), directions.shape[1]), np.float32)
    for at in in_blocks(np.arange(len(rows)), rows_per_block(dim, np.float32)):
        space[at] = as_float32(vectors, rows[at]) @ directions
    return space, directions


def in_all_dimensions(
    vectors: NDArray[np.float16], rows: Int64, labels: Int64, centroids: NDArray[np.float32], spherical: bool
) -> NDArray[np.float32]:
    """Return the means of the rows of each label; a centroid without rows stays. Rows are read block by block."""
    k, dim = centroids.shape
    sums = np.zeros((k, dim))
    for at in in_blocks(np.arange(len(rows)), rows_per_block(dim, np.float32)):
        sums += sums_by_label(as_float32(vectors, rows[at]), labels[at], k)
    return update_centroids(centroids, Sums(sums, np.bincount(labels, minlength=k), 0.0), spherical)


def shares(counts: Int64, total: int) -> Int64:
    """Return how many children nodes get, in proportion to their rows; at least 1 and at most one a row.

    counts: (n,) rows of each node. total: of the children, at most the rows.

    Examples
    --------
    >>> shares(np.array([60, 30, 1, 0]), 10).tolist()
    [6, 3, 1, 0]
    """
    found = np.minimum(1, counts)
    while (left := total - int(found.sum())) > 0:
        # To whoever has the most rows a child: the largest averages (Jefferson, D'Hondt), a part of them at a time.
        open_ = found < counts
        wanted = np.where(open_, counts * (total / max(int(counts[open_].sum()), 1)), 0)
        gained = np.where(open_, np.minimum(np.floor(wanted).astype(np.int64), counts) - found, 0).clip(0)
        if 0 < gained.sum() <= left:
            found += gained
            continue
        found[int(np.argmax(np.where(open_, counts / np.maximum(found, 1), -1)))] += 1
    return found


def mergers(
    centroids: NDArray[np.float32], sizes: Int64, parents: list[Int64], levels: tuple[int, ...]
) -> tuple[list[tuple[int, int]], list[Int64]]:
    """Return in which order the leaves of a tree join, and which leaf stands for each node of each level.

    Nodes of one parent join before it joins others, so that every node is a part on the way from the leaves to one.

    Parameters
    ----------
    centroids: (k, dim) float32, of the leaves.
    sizes: (k,) int64, rows of each leaf.
    parents: of each level but the first, the position of each node's parent; the leaves last.
    levels: how many nodes each has; those without a leaf stay without, and are at -1.

    Returns
    -------
    k - 1 pairs of leaves, the lowest merger first: each joins the parts that two leaves are in. And of each level the
    position of the leaf, with rows where one has any, that is nearest to the mean of the node's rows.
    """
    from indexes.ward import ward

    found: list[tuple[float, int, int]] = []
    means, weights = centroids.astype(np.float64), sizes.astype(np.int64)
    stands_for, highest = np.arange(len(centroids)), np.zeros(len(centroids))
    leaf_to_node = np.arange(len(centroids))
    typical = [np.arange(len(centroids))]
    tops = np.zeros(levels[0], np.int64)  # what is above them all
    for above, n_above in zip([*reversed(parents), tops], [*reversed(levels[:-1]), 1], strict=True):
        new_means, new_weights = np.zeros((n_above, means.shape[1])), np.zeros(n_above, np.int64)
        new_first, new_highest = np.full(n_above, -1), np.zeros(n_above)
        for node in range(n_above):
            children = np.flatnonzero((above == node) & (stands_for >= 0))
            if not len(children):
                continue
            heights = {int(child): float(highest[child]) for child in children}
            part = {int(child): int(child) for child in children}
            for one, other, height in ward(means[children].astype(np.float32), weights[children]):
                a, b = part[int(children[one])], part[int(children[other])]
                height = max(height, heights[a], heights[b])
                found.append((height, int(stands_for[children[one]]), int(stands_for[children[other]])))
                part = {child: a if owner == b else owner for child, owner in part.items()}
                heights[a] = height
            new_highest[node] = max(heights.values())
            new_first[node] = stands_for[children[0]]
            new_weights[node] = weights[children].sum()
            share = weights[children] if new_weights[node] else np.ones(len(children))
            new_means[node] = np.average(means[children], axis=0, weights=share)
        leaf_to_node = above[leaf_to_node]
        means, weights, stands_for, highest = new_means, new_weights, new_first, new_highest
        typical.insert(0, _nearest_leaves(centroids, sizes, leaf_to_node, means))
    found.sort(key=lambda merger: merger[0])
    return [(one, other) for _, one, other in found], typical[1:]


def _nearest_leaves(centroids: NDArray[np.float32], sizes: Int64, node_of: Int64, means: NDArray[np.float64]) -> Int64:
    away = np.linalg.norm(centroids - means[node_of], axis=1)
    order = np.lexsort((away, sizes == 0, node_of))
    nodes, first = np.unique(node_of[order], return_index=True)
    result = np.full(len(means), -1, np.int64)
    result[nodes] = order[first]
    return result
