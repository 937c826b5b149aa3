"""Trees that are damaged, changed by hand, exported and embedded anew."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.clustering.contract import shape_of, take
from tests.clustering.test_lifecycle import blobs
from vecstore.clustering import tree_shape
from vecstore.errors import BadInput, NotFound, StoreDamaged
from vecstore.storage.catalog.trees import Node
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")

SOME_LEAF = "cluster = (select min(cluster) from tree_nodes where level = 3)"
NODES = [
    *[Node(10, 1, None, 0), Node(11, 1, None, 2)],
    *[Node(0, 2, 10, 0), Node(1, 2, 10, 1), Node(2, 2, 11, 2), Node(3, 2, 11, 3)],
]
MERGERS = np.array([[0, 1], [2, 3], [0, 2]])
LINE = np.array([[0], [1], [10], [11]], np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Six tight clusters of 20 images, in a tree of 3, 6 and 12 whose largest node has a name."""
    with Store.open(tmp_path / "store", create=True, device="cpu") as opened:
        take(opened, tmp_path, blobs([20] * 6, seed=0), "image")
        opened.cluster(tree=(3, 6, 12), restarts=3)
        opened.name_cluster(opened.tree(1)[0].cluster, "top")
        yield opened


def change(store: Store, statement: str) -> None:
    """Change the catalog behind the program's back."""
    with closing(sqlite3.connect(store.path / "catalog.sqlite")) as db, db:
        db.execute(statement)


# Damage


def test_an_image_of_no_cluster_is_counted_nowhere_and_found(store: Store) -> None:
    change(store, "update memberships set cluster = 999 where row in (0, 1)")
    store.remove(0)
    assert sum(node.size for node in store.tree(1)) == 118
    assert store.check()


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (f"update tree_nodes set parent = 999 where {SOME_LEAF}", "1 nodes are below none of the level above"),
        (f"delete from tree_nodes where {SOME_LEAF}", "its last level is not that of the clusters"),
        (f"update tree_nodes set level = 'x' where {SOME_LEAF}", "its last level is not that of the clusters; 1 nodes"),
        ("update tree_nodes set typical = 999", "it has nodes that are shown by clusters which are not below them"),
        ("update tree_mergers set mergers = x'00'", "the order in which its clusters join is damaged"),
        ("delete from tree_mergers", "the order in which its clusters join is damaged"),
    ],
)
def test_a_damaged_tree_is_found_and_mended(store: Store, statement: str, what: str) -> None:
    whole = shape_of(store)
    change(store, statement)
    (found,) = store.check()
    assert (found.kind, found.where, found.repairable) == ("tree", "tree of clustering 1", True)
    assert found.what.startswith(what)
    assert [finding.repaired for finding in store.check(repair=True)] == [True]
    assert (store.check(), shape_of(store)) == ([], whole)


@pytest.mark.parametrize(
    "statement",
    [
        "update tree_nodes set parent = cluster where level = 2",
        "update tree_nodes set level = 'x' where level = 2",
        "delete from tree_nodes where level = 2",
        "delete from tree_nodes where level = 3",
    ],
)
def test_where_a_whole_level_is_lost_walking_says_so_and_a_repair_keeps_the_clusters(
    store: Store, statement: str
) -> None:
    clusters = store.clusters()
    change(store, statement)
    for walk in (store.tree, lambda: store.cut_tree(2)):
        with pytest.raises(StoreDamaged, match="^the tree of clustering 1 is damaged; `vecstore check --repair` mends"):
            walk()
    store.check(repair=True)
    assert (store.check(), store.clusters()) == ([], clusters)
    with pytest.raises(NotFound, match="not a tree"):
        store.tree()
    store.cluster(tree=(3, 6, 12), restarts=3)  # and whatever is made next is whole
    assert store.check() == []


def test_what_makes_a_tree_has_no_faults() -> None:
    assert tree_shape.faults(NODES, MERGERS, [0, 1, 2, 3]) == []
    mended = tree_shape.mended(NODES, 2, [0, 1, 2, 3], LINE, np.ones(4, np.int64))
    assert mended is not None
    assert (mended[0], {*map(tuple, mended[1].tolist())}) == (NODES, {(0, 1), (2, 3), (0, 2)})


def test_a_node_of_unknown_place_goes_below_the_nearest() -> None:
    for lost in (0, 1, 2, 3):
        known = [node for node in NODES if node.cluster != lost]
        mended = tree_shape.mended(known, 2, [0, 1, 2, 3], LINE, np.ones(4, np.int64))
        assert mended is not None
        assert [(node.cluster, node.parent) for node in mended[0]] == [(n.cluster, n.parent) for n in NODES]


def test_mergers_that_join_a_part_with_itself_are_no_order() -> None:
    for wrong in (MERGERS[:2], MERGERS[[0, 0, 1]], np.array([[0, 1], [2, 3], [0, 9]])):
        assert tree_shape.faults(NODES, wrong, [0, 1, 2, 3]) == ["the order in which its clusters join is damaged"]


# By hand


def test_a_tree_stays_one_as_clusters_are_merged_split_and_made(store: Store) -> None:
    leaves = [leaf.cluster for leaf in store.tree(3)]
    above = {leaf: [node.cluster for node in store.tree_path(leaf)[:-1]] for leaf in leaves}
    tops = store.tree(1)

    parts = store.split_cluster(leaves[0], 2).cluster_ids_.tolist()
    assert len(store.tree(3)) == 13
    for leaf in parts:
        assert [node.cluster for node in store.tree_path(leaf)[:-1]] == above.get(leaf, above[leaves[0]])
    assert [(node.cluster, node.size, node.name) for node in store.tree(1)] == [
        (node.cluster, node.size, node.name) for node in tops
    ]
    store.undo()

    store.merge_clusters(leaves[0], leaves[1])
    assert {leaf.cluster for leaf in store.tree(3)} == {*leaves} - {leaves[1]}
    assert (len(store.cut_tree(11)), store.check()) == (11, [])
    store.undo()

    row = store.members(leaves[0])[0].id
    new = store.move(row, to="new").cluster
    assert [node.cluster for node in store.tree_path(new)[:-1]] == above[leaves[0]]
    assert (len(store.cut_tree(13)), store.check()) == (13, [])


# Elsewhere


def test_an_import_brings_the_tree_its_names_and_their_doubts(store: Store, tmp_path: Path) -> None:
    store.cluster(1)
    store.name_cluster(store.clusters()[0].cluster, "all")
    store.cluster(tree=(6, 12), restarts=3)
    store.name_cluster(store.tree(2)[0].cluster, "leaf")
    doubts = store.kept_names()
    assert any(name.doubtful for name in doubts)
    store.export(tmp_path / "out.parquet")
    with Store.open(tmp_path / "new", create=True, device="cpu") as new:
        new.import_vectors(tmp_path / "out.parquet")
        assert (shape_of(new), new.kept_names(), new.check()) == (shape_of(store), doubts, [])


def test_an_export_whose_tree_is_none_is_refused(store: Store, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    store.export(tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    known = json.loads(table.schema.metadata[b"vecstore.clustering"])
    known["tree"]["nodes"][0][1] = 7
    changed = {**table.schema.metadata, b"vecstore.clustering": json.dumps(known)}
    pq.write_table(table.replace_schema_metadata(changed), tmp_path / "changed.parquet")
    with Store.open(tmp_path / "new", create=True) as new, pytest.raises(BadInput, match="damaged export .its tree is"):
        new.import_vectors(tmp_path / "changed.parquet")


def test_another_embedder_makes_a_tree_of_the_same_levels_and_names_its_nodes(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, colour in enumerate([(200, 20, 20), (120, 0, 60), (20, 20, 200), (0, 120, 120)]):
        for shade in range(5):
            Image.new("RGB", (32, 32), tuple(part + shade for part in colour)).save(pictures / f"{number}{shade}.png")
    with Store.open(tmp_path / "source", embedder="hsv", create=True) as source:
        source.add(pictures)
        source.cluster(tree=(2, 4), restarts=10)
        for node in source.tree(depth=2):
            source.name_cluster(node.cluster, f"{node.level} {node.representative_id}")
        report = source.embed_into(tmp_path / "new", embedder="tiny")
        with Store.open(tmp_path / "new") as new:
            assert [len(new.tree(level)) for level in (1, 2)] == [2, 4]
            assert (report.clusters, report.names_kept + report.names_lost) == (4, 6)
            named = {node.name: node.level for node in new.tree(depth=2) if node.name}
            assert all(name.startswith(f"{level} ") for name, level in named.items())
            assert report.names_kept == len(named) >= 5
