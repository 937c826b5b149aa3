"""What every clustering lives through, however it was made and whatever searches the store.

`live` is run over each way to cluster here, and on each engine in `tests/engines`.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from tests.clustering.test_lifecycle import blobs, labels_of
from tests.programs import environment
from vecstore.clustering import methods
from vecstore.embedders.embedder import unit_rows
from vecstore.storage.vector_file import Float32
from vecstore.store import Store

SIZES = [30, 25, 20, 15]
WAYS: dict[str, dict[str, Any]] = {
    "kmeans": {"k": 4, "restarts": 20},
    "kmeans on the graph": {"k": 4, "graph": True},
    "kmeans on whitened components": {"k": 4, "whiten": True, "pca": 3},
    "a tree": {"tree": (2, 4), "restarts": 20},
    methods.HDBSCAN: {"method": "hdbscan", "min_size": 8},
    methods.AGGLOMERATIVE: {"method": "agglomerative", "k": 4},
    methods.MEANSHIFT: {"method": "meanshift", "bandwidth": 0.5},
    methods.LEIDEN: {"method": "leiden", "min_size": 8},
}

# A run that is killed with all of it written and nothing committed.
KILLED = """
import os, signal, sys
from vecstore.storage.catalog.clusterings import Clusterings
from vecstore.store import Store

Clusterings.make_current = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with Store.open(sys.argv[1], device="cpu") as store:
    store.cluster(**{asked!r})
"""


def live(place: str | Path, asked: dict[str, Any], folder: Path) -> None:
    """Let a clustering of a new store live. asked: of `Store.cluster`, for four clusters. folder: for files."""
    planted = np.repeat(np.arange(len(SIZES)), SIZES)
    vectors = blobs(SIZES, seed=0)
    with Store.open(place, create=True, device="cpu") as store:
        take(store, folder, vectors, "image")

        run = store.cluster(**asked)  # as it was planted
        first = labels_of(store)
        assert adjusted_rand_score(planted, [first[row] for row in range(len(planted))]) > 0.9
        assert (run.k, run.method, store.check()) == (4, asked.get("method", "kmeans"), [])

        store.name_cluster(first[0], "first")  # identity
        store.pin(0, 29)
        again = store.cluster(**asked, seed=3)
        assert (again.kept, again.born, again.gone, again.previous) == (4, 0, 0, run.clustering)
        assert (labels_of(store), [pin.id for pin in store.pins()]) == (first, [0, 29])
        assert (store.which("@0")[0].cluster, store.clusters()[0].name) == (first[0], "first")

        shape = shape_of(store)  # undo and redo
        store.undo()
        assert (labels_of(store), store.clusterings()[0].current, store.check()) == (first, True, [])
        store.undo(redo=True)
        assert (shape_of(store), store.clusterings()[1].current) == (shape, True)

        store.merge_clusters(first[0], first[30])  # by hand
        assert (len(store.clusters()), store.check()) == (3, [])
        store.undo()
        assert shape_of(store) == shape
        n_clusterings = len(store.clusterings())

    killed = [sys.executable, "-c", KILLED.format(asked={**asked, "seed": 5}), str(place)]
    assert subprocess.run(killed, env=environment(), capture_output=True, check=False).returncode == -9
    with Store.open(place, device="cpu") as store:
        assert (shape_of(store), len(store.clusterings()), store.check()) == (shape, n_clusterings, [])

        near = unit_rows(vectors[[3, 33, 58, 78]] + np.float32(1e-3))  # growth
        take(store, folder, near, "later")
        assert [labels_of(store)[90 + i] for i in range(4)] == [first[row] for row in (0, 30, 55, 75)]
        store.remove("@93")
        assert ((93 in labels_of(store)), store.check()) == (False, [])

        grown = labels_of(store)  # history
        store.use_clustering(run.clustering)
        assert (labels_of(store), store.use_clustering(again.clustering)[1]) == (grown, 0)

        store.export(folder / "out.parquet")  # elsewhere
        store.backup(folder / "backup")
        shape = shape_of(store)
        options = store.session.catalog.clusterings.options(again.clustering)
    with Store.open(folder / "imported", create=True, device="cpu") as imported:
        imported.import_vectors(folder / "out.parquet")
        (told,) = imported.clusterings()
        assert (told.method, told.noise, told.bound) == (again.method, again.noise, again.bound)
        found = imported.session.catalog.clusterings.options(told.clustering)
        assert ({name: found[name] for name in options}, shape_of(imported), imported.check()) == (options, shape, [])
    with Store.open(folder / "backup", device="cpu") as copy:
        assert (shape_of(copy), copy.check()) == (shape, [])


def take(store: Store, folder: Path, vectors: Float32, prefix: str) -> None:
    """Import vectors at paths of no files."""
    np.save(folder / "vectors.npy", vectors)
    (folder / "paths.txt").write_text("".join(f"/pictures/{prefix}-{i:05}.jpg\n" for i in range(len(vectors))))
    store.import_vectors(folder / "vectors.npy", folder / "paths.txt")


def shape_of(store: Store) -> Any:
    """What a person sees of the clusters: labels, names, pins, noise, and the nodes above them."""
    clusters = [(one.cluster, one.name, one.size, one.noise, one.doubtful) for one in store.clusters()]
    is_tree = bool(store.session.catalog.trees.shape(store.session.catalog.clusterings.current() or 0))
    tree = (store.tree(depth=2), [part.nodes for part in store.cut_tree(3)]) if is_tree else None
    return labels_of(store), clusters, [(pin.path, pin.cluster) for pin in store.pins()], tree
