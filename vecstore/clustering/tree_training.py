"""A tree of clusters in the making: trained with checkpoints, and its nodes given the ids of nodes before.

`lifecycle.py` records what comes of it in the transaction of its clustering; `trees.py` is for asking.
"""

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device
from vecstore.clustering.checkpoint import CHECKPOINT, SECONDS
from vecstore.clustering.matching import match
from vecstore.errors import BadInput
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.trees import Node
from vecstore.storage.derived_arrays import load_arrays, save_arrays
from vecstore.storage.durable_files import draft_of
from vecstore.storage.vector_file import Float16, Float32

if TYPE_CHECKING:
    from indexes.kmeans import KMeansOptions
    from indexes.kmeans_tree import Tree, TreeState

log = logging.getLogger(__name__)

Int64 = NDArray[np.int64]

# Children of one node are joined by comparing all with all: 128 MiB of numbers.
MOST_CHILDREN = 4_096
# `auto`: so many children of a node, and images of a leaf.
AUTO_CHILDREN, AUTO_LEAF = 20, 50
# A checkpoint of many leaves is large: at most this part of the time goes into writing them.
CHECKPOINT_PART = 0.1


def require_levels(levels: tuple[int, ...] | str, n_images: int, holder: str) -> tuple[int, ...]:
    """Return the numbers of nodes in each level. Raises BadInput for what no tree over so many images can have."""
    if n_images < 2:
        raise BadInput(f"{holder} has {n_images} image{'s' * (n_images != 1)}, and a tree needs at least 2; add more")
    if isinstance(levels, str):
        return _auto_levels(n_images)
    shown = ",".join(map(str, levels))
    if not levels or levels[0] < 2 or any(one >= other for one, other in zip(levels, levels[1:], strict=False)):
        raise BadInput(f"the levels of a tree are {shown or 'none'}; give growing numbers from 2 on, such as 20,400")
    if levels[-1] > n_images:
        raise BadInput(
            f"a tree of {shown} needs {levels[-1]} images, but {holder} has {n_images}; end with at most {n_images}"
        )
    for above, below in zip((1, *levels), levels, strict=False):
        if below / above > MOST_CHILDREN:
            raise BadInput(
                f"a tree of {shown} has {below} clusters below {above}, more than the {MOST_CHILDREN} that are joined "
                f"at once; put a level between, such as {math.isqrt(above * below)}"
            )
    return levels


def _auto_levels(n_images: int) -> tuple[int, ...]:
    leaves = max(2, n_images // AUTO_LEAF)
    found = [leaves]
    while found[0] > 2 * AUTO_CHILDREN:
        found.insert(0, round(found[0] / AUTO_CHILDREN))
    return tuple(n for n in found if n >= 2)


def train(
    catalog: Catalog,
    vectors: Float16,
    rows: Int64,
    levels: tuple[int, ...],
    options: "KMeansOptions",
    device: Device,
    folder: Path,
    on_node: Callable[[int, int], None],
) -> "Tree":
    """Return a trained tree; a run that was killed is gone on with. on_node: called with (level, nodes trained)."""
    from indexes.kmeans_tree import grow

    stamp = {
        "format": "tree 1",
        "store": [catalog.created(), catalog.embedder()],
        "rows": hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest(),
        "levels": levels,
        "options": asdict(options),
        "device": str(device),
    }
    checkpoint = TreeCheckpoint(folder, json.dumps(stamp, sort_keys=True))

    def watch(state: "TreeState") -> None:
        checkpoint.save(state)
        on_node(len(state.parents), state.n_trained)

    return grow(vectors, rows, levels, options, device, resume=checkpoint.load(), watch=watch)


class TreeCheckpoint:
    """The checkpoint of a tree, in the file that a run of k-means has its own in (`checkpoint.py`)."""

    def __init__(self, folder: Path, stamp: str) -> None:
        self.path = folder / CHECKPOINT
        self._stamp = stamp
        self._due = time.monotonic() + SECONDS

    def load(self) -> "TreeState | None":
        """Return the state that an earlier run of the same stamp was killed in, None if there is none."""
        from indexes.kmeans_tree import TreeState

        found = load_arrays(self.path)
        try:
            if found is None or str(found["stamp"]) != self._stamp:
                return None
            n_levels, n_trained, trained_on = (int(n) for n in found["counts"])
            parents = [found[f"parents{level}"] for level in range(n_levels)]
            state = TreeState(parents, found["centroids"], found["labels"], found["next_labels"], n_trained, trained_on)
        except (ValueError, TypeError, KeyError):  # an archive of something else
            return None
        log.info("going on from %s: level %d, %d nodes", self.path, n_levels, n_trained)
        return state

    def save(self, state: "TreeState") -> None:
        """Write the state down, unless that was done a moment ago. Where it cannot be, the run goes on without."""
        started = time.monotonic()
        if started < self._due:
            return
        try:
            save_arrays(
                self.path,
                stamp=self._stamp,
                counts=[len(state.parents), state.n_trained, state.trained_on],
                centroids=state.centroids,
                labels=state.labels,
                next_labels=state.next_labels,
                **{f"parents{level}": parents for level, parents in enumerate(state.parents)},
            )
        except OSError as error:  # a full disk, say; it may have room by the next time
            log.warning("the checkpoint %s cannot be written (%s); a killed run would start over", self.path, error)
        ended = time.monotonic()
        self._due = ended + max(SECONDS, (ended - started) / CHECKPOINT_PART)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        draft_of(self.path).unlink(missing_ok=True)


def levels_of(catalog: Catalog, clustering: int, leaves: Iterable[int]) -> list[dict[int, int]]:
    """Return, of each level of a clustering, the node above each leaf; of one that is no tree, the clusters alone."""
    found = [{leaf: leaf for leaf in leaves}]
    parents = catalog.trees.parents(clustering)
    for _ in range(catalog.trees.depth(clustering) - 1):
        if any(parents.get(node) is None for node in found[0].values()):  # of a damaged tree
            break
        found.insert(0, {leaf: int(parents[node] or 0) for leaf, node in found[0].items()})
    return found


def paired(before: Sequence[int], after: Sequence[int]) -> dict[int, int]:
    """Return which level of before each level of after goes on from: those whose numbers of nodes are nearest.

    No two levels go on from one, and none from one that is above what a higher level goes on from.

    Examples
    --------
    >>> paired([20], [20, 400]), paired([20, 400], [30]), paired([20, 400], [20, 400])
    ({0: 0}, {0: 0}, {0: 0, 1: 1})
    """
    found: dict[int, int] = {}
    pairs = [(abs(math.log(new / old)), i, j) for i, new in enumerate(after) for j, old in enumerate(before)]
    for _, new, old in sorted(pairs):
        if all((new - n) * (old - o) > 0 for n, o in found.items()):
            found[new] = old
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Nodes:
    """The nodes of a new tree, above its leaves.

    of_level: for each inner level, (k,) int64, the position of the node above each leaf. ids: of these nodes. typical:
    the leaf that stands for each. mergers: in which order leaves join.
    """

    of_level: list[Int64]
    ids: list[list[int]]
    typical: list[Int64]
    mergers: list[tuple[int, int]]

    def record(self, catalog: Catalog, clustering: int, leaves: Sequence[int]) -> None:
        """Record the nodes of a clustering. leaves: the ids of its clusters, by position."""
        records: list[Node] = []
        parent_of: dict[int, int | None] = {}
        for level, (of_leaf, ids, typical) in enumerate(zip(self.of_level, self.ids, self.typical, strict=False), 1):
            for node in np.unique(of_leaf).tolist():
                first = int(np.argmax(of_leaf == node))
                records.append(Node(ids[node], level, parent_of.get(first), leaves[typical[node]]))
            parent_of = {leaf: ids[node] for leaf, node in enumerate(of_leaf.tolist())}
        last = len(self.of_level) + 1
        records += [Node(cluster, last, parent_of.get(leaf), cluster) for leaf, cluster in enumerate(leaves)]
        pairs = np.array([[leaves[one], leaves[other]] for one, other in self.mergers], "<i8")
        catalog.trees.insert(clustering, records, pairs.tobytes())


def nodes_of(
    centroids: Float32,
    sizes: Int64,
    parents: list[Int64],
    levels: tuple[int, ...],
    shared: tuple[Int64, list[Int64 | None]],
    next_id: int,
) -> Nodes:
    """Return the nodes of a tree with their ids.

    centroids, sizes: of the leaves. parents: of each level but the first. shared: the leaf of each row that was
    clustered before too, and for each inner level the id of its node then, in the level that it goes on from. next_id:
    the first id that was never given.
    """
    from indexes.kmeans_tree import mergers

    of_level: list[Int64] = []
    at = np.arange(len(centroids))
    for above in reversed(parents):
        at = above[at]
        of_level.insert(0, at)
    ids = []
    labels, before = shared
    for of_leaf, n_nodes, old in zip(of_level, levels, before, strict=False):
        none = np.empty(0, np.int64)
        found = match(*((none, none) if old is None else (old, of_leaf[labels])), n_nodes, next_id)
        ids.append(found.ids)
        next_id = max(next_id, max(found.ids) + 1)
    joined, typical = mergers(centroids, sizes, parents, levels)
    return Nodes(of_level, ids, typical, joined)
