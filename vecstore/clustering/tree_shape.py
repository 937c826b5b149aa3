"""Whether the nodes of a tree make one, and the tree that they make after clusters came, went or were damaged.

Which node is above which is on record alone; by which leaves a node is shown, and in what order leaves join, follows
from that and the centroids. So a node whose parent is not known goes below the nearest one of the level above.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.rows import sums_by_label
from vecstore.errors import StoreDamaged
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.trees import Node
from vecstore.storage.vector_file import Float32

Int64 = NDArray[np.int64]


def faults(nodes: Sequence[Node], mergers: Int64 | None, leaves: Sequence[int]) -> list[str]:
    """Return in words why these are not the nodes of a tree; nothing if they are.

    mergers: (m, 2) leaves by which parts join, None where they are damaged. leaves: the clusters of the clustering.
    """
    level_of = {node.cluster: node.level for node in nodes}
    depth = max(level_of.values(), default=0)
    found = []
    if {cluster for cluster, level in level_of.items() if level == depth} != {*leaves}:
        found.append("its last level is not that of the clusters")
    lost = sum((0 if node.parent is None else level_of.get(node.parent)) != node.level - 1 for node in nodes)
    if lost:
        found.append(f"{lost} nodes are below none of the level above")
    if {cluster for cluster, level in level_of.items() if level < depth} - {node.parent for node in nodes}:
        found.append("it has nodes above no cluster")
    if not found and not _typical_are_below(nodes):
        found.append("it has nodes that are shown by clusters which are not below them")
    if mergers is None or not _join_all(mergers, leaves):
        found.append("the order in which its clusters join is damaged")
    return found


def _typical_are_below(nodes: Sequence[Node]) -> bool:
    parent_of = {node.cluster: node.parent for node in nodes}
    for node in nodes:
        at: int | None = node.typical
        while at is not None and at != node.cluster:
            at = parent_of.get(at)
        if at is None:
            return False
    return True


def _join_all(mergers: Int64, leaves: Sequence[int]) -> bool:
    """Say whether each merger joins two parts, and the last one the last two."""
    above = {leaf: leaf for leaf in leaves}
    if len(mergers) != len(above) - 1 or not {*mergers.ravel().tolist()} <= above.keys():
        return False
    for pair in mergers.tolist():
        one, other = (_root(above, leaf) for leaf in pair)
        if one == other:
            return False
        above[other] = one
    return True


def _root(above: dict[int, int], leaf: int) -> int:
    while above[leaf] != leaf:
        above[leaf] = above[above[leaf]]
        leaf = above[leaf]
    return leaf


def mended(
    nodes: Sequence[Node], depth: int, leaves: Sequence[int], centroids: Float32, sizes: Int64
) -> tuple[list[Node], Int64] | None:
    """Return the nodes of a tree over these leaves, and its mergers; None if there is a level without a node.

    nodes: as far as they are known. depth: how many levels there are. centroids, sizes: (k, dim) and (k,), of the
    leaves. Nodes stay where they are on record; others, and leaves that are new, go below the nearest, and a node
    without a leaf below it is left out.
    """
    from indexes.kmeans_tree import mergers

    parent_of = {node.cluster: node.parent for node in nodes}
    levels, parents = [[*leaves]], list[Int64]()
    means, weights = centroids.astype(np.float64), np.maximum(sizes, 1e-9)
    for level in range(depth - 1, 0, -1):
        known = [node.cluster for node in nodes if node.level == level and node.cluster not in {*leaves}]
        position = {cluster: at for at, cluster in enumerate(known)}
        own = np.array([-1 if parent is None else position.get(parent, -1) for parent in map(parent_of.get, levels[0])])
        used = np.unique(own[own >= 0])
        if not len(used):
            return None
        middles, _ = _means(means[own >= 0], weights[own >= 0], np.searchsorted(used, own[own >= 0]), len(used))
        own = np.searchsorted(used, own) * (own >= 0) - (own < 0)
        for orphan in np.flatnonzero(own < 0):
            own[orphan] = np.argmin(np.linalg.norm(middles - means[orphan], axis=1))
        means, weights = _means(means, weights, own, len(used))
        levels.insert(0, [known[at] for at in used])
        parents.insert(0, own)
    joined, typical = mergers(centroids, sizes, parents, tuple(map(len, levels)))
    above = [[None] * len(levels[0]), *([ids[at] for at in own] for ids, own in zip(levels, parents, strict=False))]
    made = [
        Node(cluster, level, parent, leaves[stands_for])
        for level, (ids, over, leaf) in enumerate(zip(levels, above, typical, strict=True), 1)
        for cluster, parent, stands_for in zip(ids, over, leaf.tolist(), strict=True)
    ]
    return made, np.array([[leaves[one], leaves[other]] for one, other in joined], np.int64).reshape(-1, 2)


def _means(
    points: NDArray[np.float64], weights: NDArray[np.float64], of: Int64, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted means of n groups of points, and the weights of the groups."""
    total = np.bincount(of, weights, n).astype(np.float64)
    return sums_by_label(points * weights[:, None], of, n) / total[:, None], total


@dataclass(frozen=True)
class CarriedTree:
    """The tree of a clustering over the clusters of another one that was made from it by hand.

    split: the cluster whose parts are new; they stay below what is above it.
    """

    before: int
    centroids: Float32
    sizes: Int64
    split: int | None = None

    def record(self, catalog: Catalog, clustering: int, leaves: Sequence[int]) -> None:
        """Record it, if the clustering of before is a tree. leaves: the ids of the clusters, by position."""
        nodes = catalog.trees.shape(self.before)
        depth = max((node.level for node in nodes), default=0)
        parent_of = {node.cluster: node.parent for node in nodes}
        nodes += [
            Node(leaf, depth, parent_of[self.split], leaf)
            for leaf in leaves
            if self.split in parent_of and leaf not in parent_of
        ]
        made = mended(nodes, depth, leaves, self.centroids, self.sizes) if nodes else None
        if made is not None:
            catalog.trees.insert(clustering, made[0], made[1].astype("<i8").tobytes())


def faults_of(catalog: Catalog, clustering: int) -> list[str]:
    """Return in words what is wrong with the tree of a clustering; nothing if it has none."""
    nodes, mergers = catalog.trees.shape(clustering), mergers_of(catalog, clustering)
    if not nodes and not catalog.trees.has_mergers(clustering):
        return []
    return faults(nodes, mergers, [cluster for cluster, _ in catalog.clusterings.cluster_names(clustering)])


def mergers_of(catalog: Catalog, clustering: int) -> Int64 | None:
    """Return the mergers of a tree, (m, 2) clusters; None if they are damaged."""
    try:
        return np.frombuffer(catalog.trees.mergers(clustering), "<i8").reshape(-1, 2).astype(np.int64)
    except (StoreDamaged, ValueError):
        return None


def mend(catalog: Catalog, clustering: int, dim: int) -> None:
    """Make a tree of the nodes of a clustering that are on record; without enough of them it is one of clusters alone.

    Inside a write transaction. The centroids have to be sound.
    """
    blob, leaves = catalog.clusterings.centroids(clustering)
    nodes, sizes = catalog.trees.shape(clustering), catalog.trees.sizes(clustering)
    levels = catalog.clusterings.options(clustering).get("levels") or ()
    depth = len(levels) or max((node.level for node in nodes), default=0)
    centroids = np.frombuffer(blob, "<f4").reshape(-1, dim).astype(np.float32)
    made = mended(nodes, depth, leaves, centroids, np.array([sizes.get(leaf, 0) for leaf in leaves], np.int64))
    catalog.trees.forget(clustering)
    if made is not None and depth:
        catalog.trees.insert(clustering, made[0], made[1].astype("<i8").tobytes())
