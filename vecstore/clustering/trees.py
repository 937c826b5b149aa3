"""Walking a tree of clusters: its levels, down and up, and cut into any number of clusters.

Nothing is trained, assigned or counted here. What is read of the whole tree is kept until the store changes: its
thousands of nodes take longer to read than to walk.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vecstore.clustering.clusters import current_clusters
from vecstore.clustering.kept_names import is_doubtful
from vecstore.errors import BadInput, NotFound
from vecstore.results import Cluster, Cut, TreeNode
from vecstore.session import Session
from vecstore.storage.catalog.trees import Node, damaged

# Nodes that name a part of a cut.
MOST_NAMES = 3


@dataclass(frozen=True)
class WholeTree:
    """The current clustering's tree. sizes: images of every node that has any. children: of every node, by id."""

    clustering: int
    depth: int
    nodes: dict[int, Node]
    sizes: dict[int, int]
    children: dict[int | None, list[int]]


class Trees:
    """The tree that was asked for last, as long as the store is as it was."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[int, int], WholeTree] | None = None

    def of(self, session: Session) -> WholeTree:
        """Return the current tree. In a read transaction. Raises NotFound if there is none."""
        session.catalog.images.row_count()  # the transaction begins with the first thing that is read
        state = session.catalog.state()
        if self._kept is None or self._kept[0] != state:
            self._kept = state, _read(session)
        return self._kept[1]


def _read(session: Session) -> WholeTree:
    clustering = session.catalog.clusterings.current()
    if clustering is None:
        current_clusters(session)  # raises what says so
    nodes = {node.cluster: node for node in session.catalog.trees.shape(clustering or 0)}
    if clustering is None or not nodes:
        raise NotFound("the current clustering is not a tree; make one with `vecstore cluster --tree auto`")
    sizes = session.catalog.trees.sizes(clustering)
    children: dict[int | None, list[int]] = {}
    for node in reversed(nodes.values()):  # from the leaves up
        above = 0 if node.parent is None else nodes[node.parent].level if node.parent in nodes else None
        if above != node.level - 1:
            raise damaged(clustering)
        if size := sizes.get(node.cluster):
            children.setdefault(node.parent, []).append(node.cluster)
            if node.parent is not None:
                sizes[node.parent] = sizes.get(node.parent, 0) + size
    if not sizes.keys() <= nodes.keys():
        raise damaged(clustering)
    for below in children.values():
        below.sort(key=lambda node: (-sizes[node], node))
    return WholeTree(clustering, max(node.level for node in nodes.values()), nodes, sizes, children)


def walk(session: Session, trees: Trees, level: int | None, below: int | str | None, depth: int) -> list[TreeNode]:
    """Return nodes of the tree; see `Store.tree`."""
    with session.catalog.reading():
        tree = trees.of(session)
        top = None if below is None else _node(session, tree, below)
        top_level = 0 if top is None else tree.nodes[top].level
        if level is not None and top_level == tree.depth:
            raise BadInput(f"{top} is a cluster of the last level, and nothing is below it; leave the level out")
        if level is not None and not top_level < level <= tree.depth:
            where = "" if top is None else f" below {top}"
            raise BadInput(f"there is no level {level}{where}; choose from {top_level + 1} to {tree.depth}")
        found: list[int] = []
        here = [top]
        last = top_level + depth if level is None else level
        for at in range(top_level + 1, min(last, tree.depth) + 1):
            here = [child for node in here for child in tree.children.get(node, [])]
            if level is None or at == level:
                found += [node for node in here if node is not None]
        if level is not None:
            found.sort(key=lambda node: (-tree.sizes[node], node))
        return [_described(session, tree, node) for node in found]


@dataclass(frozen=True)
class Grouping:
    """The clusters of one level of a tree, or of a cut. group_of: of each cluster of the clustering, which is its."""

    clusters: list[Cluster]
    group_of: dict[int, int]


def grouping(session: Session, trees: Trees, level: int | None, k: int | None) -> Grouping:
    """Return the nodes of a level as clusters, the largest first, or the k clusters that the tree is cut into.

    A cluster of several nodes has the id of the largest. Raises as `walk` and `cut` do.
    """
    if (level is None) == (k is None):
        raise BadInput("a level of a tree and a cut are two ways to group its clusters; give one of them")
    with session.catalog.reading():
        tree = trees.of(session)
        if level is not None:
            nodes = walk(session, trees, level, None, 1)
            parts: list[tuple[Cut | TreeNode, tuple[int, ...]]] = [(node, (node.cluster,)) for node in nodes]
        else:
            parts = [(made, made.nodes) for made in cut(session, trees, k or 0)]
        clusters, group_of = [], {}
        for part, held in parts:
            clusters.append(_as_cluster(held[0], part))
            for leaf in _leaves(tree, held):
                group_of[leaf] = held[0]
        return Grouping(clusters, group_of)


def _as_cluster(cluster: int, part: Cut | TreeNode) -> Cluster:
    return Cluster(
        *(cluster, part.name, part.size, None, None, None, None, part.representative, part.representative_id),
        suggested=part.suggested,
        kept=part.kept,
        doubtful=part.doubtful,
    )


def _leaves(tree: WholeTree, nodes: Iterable[int]) -> list[int]:
    here = list(nodes)
    while here and tree.nodes[here[0]].level < tree.depth:
        here = [child for node in here for child in tree.children.get(node, [])]
    return here


def levels(session: Session, trees: Trees) -> tuple[int, ...]:
    """Return how many nodes with images each level has; see `Store.tree_levels`."""
    with session.catalog.reading():
        if not session.catalog.trees.depth(session.catalog.clusterings.current() or 0):
            return ()
        tree = trees.of(session)
        counts = Counter(node.level for node in tree.nodes.values() if tree.sizes.get(node.cluster))
        return tuple(counts[level] for level in range(1, tree.depth + 1))


def way_up(session: Session, trees: Trees, node: int | str) -> list[TreeNode]:
    """Return the nodes from the top of the tree to one; see `Store.tree_path`."""
    with session.catalog.reading():
        tree = trees.of(session)
        at: int | None = _node(session, tree, node)
        way: list[int] = []
        while at is not None:
            way.insert(0, at)
            at = tree.nodes[at].parent
        return [_described(session, tree, one) for one in way]


def cut(session: Session, trees: Trees, k: int) -> list[Cut]:
    """Return the k clusters that the tree is cut into; see `Store.cut_tree`."""
    with session.catalog.reading():
        tree = trees.of(session)
        leaves = [node.cluster for node in tree.nodes.values() if node.level == tree.depth]
        n_leaves = sum(1 for leaf in leaves if tree.sizes.get(leaf))
        if not 1 <= k <= n_leaves:
            raise BadInput(f"the tree has {n_leaves} clusters with images and cannot be cut into {k}")
        part_of = _parts(session, tree, leaves, k)
        groups: dict[int, list[int]] = {}
        # From the top, the nodes whose leaves are all of one part, below which nobody needs to look.
        part: dict[int, int | None] = dict(part_of)
        for node in reversed(tree.nodes.values()):
            if node.level < tree.depth:
                below = {part[child] for child in tree.children.get(node.cluster, [])}
                part[node.cluster] = below.pop() if len(below) == 1 else None
        here = list(tree.children.get(None, []))
        while here:
            nodes, here = here, []
            for one in nodes:
                whole = part[one]
                if whole is None:
                    here += tree.children.get(one, [])
                else:
                    groups.setdefault(whole, []).append(one)
        return sorted((_cut(session, tree, nodes) for nodes in groups.values()), key=lambda made: -made.size)


def _parts(session: Session, tree: WholeTree, leaves: list[int], k: int) -> dict[int, int]:
    """Return which part each leaf with images is in, where those join first that are cheapest to join."""
    above = {leaf: leaf for leaf in leaves}

    def root(leaf: int) -> int:
        while above[leaf] != leaf:
            above[leaf] = above[above[leaf]]
            leaf = above[leaf]
        return leaf

    has_images = {leaf: bool(tree.sizes.get(leaf)) for leaf in leaves}
    left = sum(has_images.values())
    pairs = np.frombuffer(session.catalog.trees.mergers(tree.clustering), "<i8").reshape(-1, 2)
    for one, other in pairs.tolist():
        a, b = root(one), root(other)
        if has_images[a] and has_images[b]:
            if left == k:
                break
            left -= 1
        above[b] = a
        has_images[a] = has_images[a] or has_images[b]
    return {leaf: root(leaf) for leaf in leaves if tree.sizes.get(leaf)}


def _cut(session: Session, tree: WholeTree, nodes: list[int]) -> Cut:
    largest = tree.nodes[nodes[0]]
    picture = session.catalog.trees.most_typical(tree.clustering, largest.typical)
    named = [session.catalog.trees.names(tree.clustering, node) for node in nodes]
    name, suggested, kept = named[0] if len(named) == 1 else (None, _together(named), None)
    return Cut(
        nodes=tuple(nodes),
        name=name,
        size=sum(tree.sizes[node] for node in nodes),
        representative=os.fsdecode(picture[1]) if picture else None,
        representative_id=picture[0] if picture else None,
        suggested=suggested,
        kept=kept,
        doubtful=is_doubtful(kept),
    )


def _together(named: Iterable[tuple[str | None, str | None, float | None]]) -> str | None:
    """Return what nodes could be called together: what the first that have a name, or could have one, are called."""
    called = [name or suggested for name, suggested, _ in named if name or suggested]
    return " + ".join(map(str, called[:MOST_NAMES])) + " + ..." * (len(called) > MOST_NAMES) or None


def node_of(session: Session, trees: Trees, node: int) -> TreeNode:
    """Return a node of the current tree."""
    with session.catalog.reading():
        return _described(session, trees.of(session), node)


def _node(session: Session, tree: WholeTree, node: int | str) -> int:
    return session.catalog.clusterings.require_node(tree.clustering, node)


def _described(session: Session, tree: WholeTree, node: int) -> TreeNode:
    found = tree.nodes[node]
    picture = session.catalog.trees.most_typical(tree.clustering, found.typical)
    name, suggested, kept = session.catalog.trees.names(tree.clustering, node)
    return TreeNode(
        cluster=node,
        name=name,
        level=found.level,
        parent=found.parent,
        children=len(tree.children.get(node, [])),
        size=tree.sizes.get(node, 0),
        representative=os.fsdecode(picture[1]) if picture else None,
        representative_id=picture[0] if picture else None,
        suggested=suggested,
        kept=kept,
        doubtful=is_doubtful(kept),
    )
