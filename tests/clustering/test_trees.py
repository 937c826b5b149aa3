"""Trees of clusters: walked down and up, cut, with ids that live on; and names that stop being true."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from indexes import kmeans, kmeans_tree, split_and_merge
from indexes.devices import Device
from indexes.kmeans import KMeansOptions
from indexes.kmeans_tree import TreeState, grow, shares
from indexes.ward import ward
from tests.clustering.test_lifecycle import blobs, import_vectors, labels_of
from vecstore.clustering import tree_training
from vecstore.clustering.checkpoint import CHECKPOINT
from vecstore.errors import BadInput, NotFound
from vecstore.results import ClusteringCost
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = Device("cpu")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Twelve tight clusters of 20 images, in a tree of 3, 12 and 24."""
    with import_vectors(tmp_path / "a", blobs([20] * 12, seed=0)) as opened:
        opened.cluster(tree=(3, 12, 24), restarts=5)
        yield opened


def test_each_level_holds_every_image_once_and_each_node_what_is_below_it(store: Store) -> None:
    levels = [store.tree(level) for level in (1, 2, 3)]
    assert [len(nodes) for nodes in levels] == [3, 12, 24]
    assert [sum(node.size for node in nodes) for nodes in levels] == [240] * 3
    for above, below in zip(levels, levels[1:], strict=False):
        for node in above:
            children = store.tree(below=node.cluster)
            assert children == [child for child in below if child.parent == node.cluster]
            assert (node.children, node.size) == (len(children), sum(child.size for child in children))
    assert {(leaf.cluster, leaf.size) for leaf in levels[2]} == {(c.cluster, c.size) for c in store.clusters()}


def test_the_way_up_from_a_cluster_begins_at_the_top(store: Store) -> None:
    for leaf in store.tree(3):
        top, middle, last = store.tree_path(leaf.cluster)
        assert (top.level, middle.level, last) == (1, 2, leaf)
        assert (middle.parent, last.parent) == (top.cluster, middle.cluster)


def test_levels_from_a_node_down_are_as_many_as_were_asked_for(store: Store) -> None:
    top = store.tree(1)[0]
    assert store.tree(depth=2) == [
        *store.tree(1),
        *(c for node in store.tree(1) for c in store.tree(below=node.cluster)),
    ]
    assert len(store.tree(below=top.cluster, depth=9)) == top.children + sum(
        node.children for node in store.tree(below=top.cluster)
    )


def test_a_tree_is_cut_into_any_number_of_clusters_each_a_part_of_the_cut_before(store: Store) -> None:
    leaves_of = {
        node.cluster: {leaf.cluster for leaf in store.tree(3) if node in store.tree_path(leaf.cluster)}
        for node in store.tree(depth=3)
    }
    before: list[set[int]] = []
    for k in range(1, 25):
        cut = store.cut_tree(k)
        parts = [set[int]().union(*(leaves_of[node] for node in part.nodes)) for part in cut]
        assert (len(parts), sum(part.size for part in cut), sum(map(len, parts))) == (k, 240, 24)
        assert all(any(part <= one for one in before) for part in parts) or not before
        before = parts
    assert [{part.nodes for part in store.cut_tree(k)} for k in (3, 24)] == [
        {(node.cluster,) for node in store.tree(level)} for level in (1, 3)
    ]


def test_nodes_keep_their_ids_and_names_through_a_new_tree(store: Store) -> None:
    top = store.tree(2)[0].cluster
    store.name_cluster(top, "beach")
    ids = [{node.cluster for node in store.tree(level)} for level in (1, 2)]
    store.cluster(tree=(3, 12, 24), restarts=5)
    assert [{node.cluster for node in store.tree(level)} for level in (1, 2)] == ids
    assert store.tree_path("beach")[-1].cluster == top


def test_a_flat_clustering_goes_on_at_the_level_of_a_tree_that_is_most_like_it(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", blobs([20] * 4, seed=0)) as store:
        store.cluster(4, restarts=10)
        of = labels_of(store)
        store.name_cluster(0, "beach")
        store.cluster(tree=(4, 16), restarts=10)
        assert {node.cluster for node in store.tree(1)} == {*of.values()}
        assert store.tree_path("beach")[-1].size == 20
        store.cluster(4, restarts=10)
        assert labels_of(store) == of
        assert store.check() == []


def test_pinned_images_stay_in_their_cluster_in_a_tree(store: Store) -> None:
    one, other = store.which(0, 25)
    store.move(0, 1, 2, to=other.cluster)
    store.cluster(tree=(3, 20), seed=3, restarts=2)
    assert {found.cluster for found in store.which(0, 1, 2)} == {other.cluster}
    assert one.cluster != other.cluster


def test_undo_goes_back_to_the_tree_and_removed_images_are_not_counted(store: Store) -> None:
    before = store.tree(depth=3)
    store.cluster(5)
    with pytest.raises(NotFound, match="not a tree"):
        store.tree()
    store.undo()
    assert store.tree(depth=3) == before
    store.remove(0)
    assert sum(node.size for node in store.tree(1)) == 239


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((20, 400), "a tree of 20,400 needs 400 images, but the store has 3; end with at most 3"),
        ((3, 2), "growing numbers"),
        ((1, 2), "growing numbers"),
        ((), "needs levels"),
    ],
)
def test_a_tree_that_cannot_be_is_refused(tmp_path: Path, levels: tuple[int, ...], message: str) -> None:
    with import_vectors(tmp_path / "a", blobs([1, 1, 1], seed=0)) as store:
        with pytest.raises(BadInput, match=message):
            store.cluster(tree=levels)
        with pytest.raises(NotFound, match="no clusters yet"):
            store.tree()
        store.cluster(tree="auto")
        with pytest.raises(BadInput, match="no level 2; choose from 1 to 1|no level 2"):
            store.tree(2)
        with pytest.raises(BadInput, match="cannot be cut into 9"):
            store.cut_tree(9)


def test_a_tree_of_one_picture_is_refused_and_one_of_the_same_vectors_is_not(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", blobs([1], seed=0)) as store, pytest.raises(BadInput, match="1 image, and"):
        store.cluster(tree="auto")
    with import_vectors(tmp_path / "b", np.repeat(blobs([1], seed=0), 30, axis=0)) as store:
        store.cluster(tree=(3, 9))
        assert sum(node.size for node in store.tree(1)) == 30
        assert len(store.cut_tree(1)) == 1


class Killed(Exception):
    pass


def test_a_run_that_was_killed_goes_on_and_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_training, "SECONDS", 0.0)
    monkeypatch.setattr(tree_training, "CHECKPOINT_PART", 1e9)
    vectors = blobs([20] * 12, seed=0)
    with import_vectors(tmp_path / "whole", vectors) as store:
        whole = store.cluster(tree=(3, 12, 24), restarts=3).cluster_centers_
    with import_vectors(tmp_path / "a", vectors) as store:
        for at in (1, 3, 9):
            seen = 0

            def kill(_: object, at: int = at) -> None:
                nonlocal seen
                seen += 1
                if seen == at:
                    raise Killed

            with pytest.raises(Killed):
                store.cluster(tree=(3, 12, 24), restarts=3, on_progress=kill)
            assert (store.path / CHECKPOINT).exists()
        trained = []
        store.cluster(tree=(3, 12, 24), restarts=3, on_progress=trained.append)
        np.testing.assert_array_equal(store.cluster(tree=(3, 12, 24), restarts=3).cluster_centers_, whole)
        assert len(trained) < 16
        assert not (store.path / CHECKPOINT).exists()


# Arrays


@given(arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 50)), st.data())
@settings(max_examples=50, deadline=None)
def test_children_are_shared_out_by_rows(counts: np.ndarray, data: st.DataObject) -> None:
    total = data.draw(st.integers(int((counts > 0).sum()), int(counts.sum())))
    found = shares(counts, total)
    assert found.sum() == total
    assert ((found <= counts) & (found >= np.minimum(counts, 1))).all()


def test_joining_with_equal_weights_is_that_of_scipy() -> None:
    from scipy.cluster.hierarchy import linkage

    points = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    heights = [height for *_, height in ward(points, np.ones(60, np.int64))]
    np.testing.assert_allclose(2 * np.array(heights), linkage(points, "ward")[:, 2] ** 2, rtol=1e-4)


def test_a_weight_counts_like_as_many_equal_points() -> None:
    points = np.random.default_rng(1).standard_normal((8, 3)).astype(np.float32)
    weights = np.array([1, 2, 3, 1, 4, 1, 2, 1])
    alone = [height for *_, height in ward(points, weights)]
    repeated = [height for *_, height in ward(np.repeat(points, weights, axis=0), np.ones(15, np.int64))]
    np.testing.assert_allclose(alone, repeated[-7:], rtol=1e-4)


def test_a_tree_grows_the_same_from_any_state(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float16)
    states: list[TreeState] = []
    asked = (vectors, np.arange(600), (4, 16, 40), KMeansOptions(restarts=1), CPU)
    whole = grow(*asked, watch=states.append)
    assert [len(parents) for parents in whole.parents] == [16, 40]
    assert kmeans_tree.__doc__
    for state in states[:-1:4]:
        resumed = grow(*asked, resume=state)
        np.testing.assert_array_equal(resumed.centroids, whole.centroids)
        for parents, expected in zip(resumed.parents, whole.parents, strict=True):
            np.testing.assert_array_equal(parents, expected)


@pytest.mark.parametrize("seed", range(3))
def test_the_leaves_of_a_tree_are_better_than_those_of_one_run_of_flat_kmeans(seed: int) -> None:
    random = np.random.default_rng(seed)
    heaps = np.repeat(random.standard_normal((120, 16)), 50, axis=0) + random.normal(0, 0.3, (6_000, 16))
    rows, options = heaps.astype(np.float32), KMeansOptions(restarts=1)
    vectors = rows.astype(np.float16)
    tree = grow(vectors, np.arange(6_000), (3, 12, 48), options, CPU)
    flat = kmeans.train(rows, 48, options, CPU).objective
    assert kmeans.assign(rows, tree.centroids, CPU).objective < 0.99 * flat
    assert np.bincount(tree.parents[-1]).min() >= 2  # leaves moved, but from no node all of them


def test_few_iterations_polish_a_tree_with_no_more_than_these(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = 0

    def moves(_: object, __: object, leaves: np.ndarray, ___: object) -> tuple[np.ndarray, np.ndarray]:
        nonlocal moved
        moved += 1
        return leaves, np.arange(len(leaves))

    monkeypatch.setattr(split_and_merge, "moves", moves)
    vectors = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float16)
    for iterations, expected in ((3, 0), (4, 1), (25, 2)):
        moved = 0
        grow(vectors, np.arange(600), (4, 16), KMeansOptions(restarts=1, iterations=iterations), CPU)
        assert moved == expected


# Names that stop being true


def test_a_name_is_doubtful_once_less_than_half_of_its_images_are_left(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", blobs([20, 20, 20, 20], seed=0)) as store:
        store.cluster(1)
        store.name_cluster(0, "pets & flowers")
        store.cluster(4, restarts=10)
        (name,) = store.kept_names()
        assert (name.cluster, name.name, name.kept, name.doubtful) == (0, "pets & flowers", 0.25, True)
        (found,) = [cluster for cluster in store.clusters() if cluster.name]
        assert (found.kept, found.doubtful) == (0.25, True)
        store.cluster(4, restarts=10, seed=1)
        assert store.kept_names() == [name]  # also where the clustering before had lost them

        confirmed = store.confirm_name("pets & flowers")
        assert (confirmed.doubtful, store.kept_names()) == (False, [])
        store.undo()
        assert store.kept_names() == [name]
        store.undo(redo=True)
        assert store.kept_names() == []

        store.cluster(4, restarts=10, seed=2)
        assert [name.kept for name in store.kept_names()] == [1.0]


def test_a_cluster_without_a_name_has_none_to_confirm(store: Store) -> None:
    with pytest.raises(BadInput, match="has no name to confirm"):
        store.confirm_name(store.clusters()[0].cluster)


def test_the_name_of_a_node_is_doubtful_too(store: Store) -> None:
    node = store.tree(1)[0]
    store.name_cluster(node.cluster, "all")
    store.name_cluster(node.cluster, "")
    assert store.kept_names() == []
    store.name_cluster(node.cluster, "half")
    store.cluster(tree=(12, 24), restarts=5)
    for kept in store.kept_names():
        assert (kept.name, kept.doubtful) == ("half", kept.kept < 0.5)


# Explaining


def test_an_explanation_has_the_boundary_pictures_of_each_neighbour(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", blobs([20] * 4, seed=0)) as store:
        run = store.cluster(4, restarts=10)
        found = store.explain(0, images=3)
        vectors = np.asarray(store.session.vectors(), np.float32)
        centroids = dict(zip(run.cluster_ids_.tolist(), run.cluster_centers_, strict=True))
        rows = np.array(sorted(row for row, cluster in labels_of(store).items() if cluster == 0))
        away = {other: np.linalg.norm(centroids[other] - centroids[0]) for other in (1, 2, 3)}
        assert [rival.cluster for rival in found.neighbours] == sorted(away, key=lambda other: away[other])
        for rival in found.neighbours:
            own, other = (np.linalg.norm(vectors[rows] - centroids[n], axis=1) for n in (0, rival.cluster))
            assert [image.id for image in rival.boundary] == rows[np.argsort(other - own)[:3]].tolist()
        assert (found.stability, found.leaving) == (1.0, ())


def test_an_image_between_two_clusters_leaves_one_in_some_samples(tmp_path: Path) -> None:
    two = blobs([20, 20], seed=0)
    between = two[:20].mean(axis=0) + two[20:].mean(axis=0)  # once it is in neither, as near to the one as to the other
    between /= np.linalg.norm(between)
    with import_vectors(tmp_path / "a", np.concatenate([two, between[None]])) as store:
        store.cluster(2, restarts=10)
        own = store.which(40)[0].cluster
        found = store.explain(own, samples=20)
        assert found.neighbours[0].boundary[0].id == 40
        assert [leaver.id for leaver in found.leaving] == [40]
        assert (found.leaving[0].to, found.stability is not None and found.stability < 1) == (1 - own, True)
        assert store.explain(own, samples=20) == found


def test_clusters_of_one_image_are_found_again(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", np.eye(3, 16, dtype=np.float32)[::-1].copy()) as store:
        store.cluster(3)
        store.move(0, to=store.which(0)[0].cluster)
        for cluster in range(3):
            assert (store.explain(cluster).stability, store.explain(cluster).leaving) == (1.0, ())


def test_what_is_for_clusters_alone_says_how_to_get_down_from_a_node(store: Store) -> None:
    top = store.tree(1)[0].cluster
    store.name_cluster(top, "top")
    for node, act in [(top, store.explain), ("top", store.split_cluster)]:
        with pytest.raises(
            NotFound, match=f"^{node} is above clusters in the tree; .*`vecstore clusters --below {top}`"
        ):
            act(node)
    leaf = store.tree(3)[0].cluster
    with pytest.raises(BadInput, match=f"^{leaf} is a cluster of the last level, and nothing is below it"):
        store.tree(3, below=leaf)


def test_a_cluster_alone_has_no_neighbour(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", blobs([5], seed=0)) as store:
        store.cluster(1)
        found = store.explain(0)
        assert (found.size, found.neighbours, found.stability) == (5, (), None)
        with pytest.raises(NotFound, match="no cluster 7"):
            store.explain(7)


def test_a_node_is_a_condition_and_has_members_as_a_cluster_has(store: Store) -> None:
    top = store.tree(1)[0]
    leaves = [node for node in store.tree(below=top.cluster, depth=9) if node.level == 3]
    held = {member.id for leaf in leaves for member in store.members(leaf.cluster)}
    members = store.members(top.cluster)
    assert {member.id for member in members} == held
    assert [member.distance for member in members] == sorted(member.distance for member in members)
    assert store.members(top.cluster, 3, farthest=True) == members[::-1][:3]
    page = store.browse(k=1000, order="typical", cluster=top.cluster)
    assert [image.id for image in page.images] == [member.id for member in members]
    store.name_cluster(top.cluster, "landscapes")
    assert {image.id for image in store.browse(k=1000, not_cluster="landscapes").images} == set(range(240)) - held


def test_levels_are_counted_and_nothing_where_there_is_no_tree(store: Store) -> None:
    assert store.tree_levels() == (3, 12, 24)
    emptied = store.tree(3)[0].cluster
    store.remove(*[member.id for member in store.members(emptied)])
    assert store.tree_levels() == (3, 12, 23)
    store.cluster(2, restarts=1)
    assert store.tree_levels() == ()


@pytest.mark.parametrize(("how", "n"), [({"level": 2}, 12), ({"cut": 7}, 7)])
def test_a_map_has_the_clusters_of_a_level_or_a_cut(how: dict[str, int], n: int, store: Store) -> None:
    found = store.map(**how)  # type: ignore[arg-type]
    clusters = found.clusters()
    assert len(clusters) == n
    sizes = Counter(point.cluster for point in found.points)
    assert sizes == {cluster.cluster: cluster.size for cluster in clusters}
    leaf_of = {member.id: leaf.cluster for leaf in store.clusters() for member in store.members(leaf.cluster)}
    together = {leaf_of[point.id]: point.cluster for point in found.points}
    assert all(together[leaf_of[point.id]] == point.cluster for point in found.points)


def test_a_part_of_a_cut_is_called_as_its_node_or_nodes_are(store: Store) -> None:
    one, *_ = store.cut_tree(3)
    store.name_cluster(one.nodes[0], "named")
    (several, *_) = [part for part in store.cut_tree(8) if len(part.nodes) > 1]
    store.name_cluster(several.nodes[-1], "part")
    with store.session.writing(), store.session.catalog.writing():
        store.session.catalog.clusterings.suggest_names(
            1, {several.nodes[0]: "word", store.cut_tree(3)[1].nodes[0]: "x"}
        )
    called = {part.nodes: (part.name, part.suggested) for k in (3, 8) for part in store.cut_tree(k)}
    assert called[one.nodes] == ("named", None)
    assert called[several.nodes] == (None, "word + part")
    assert called[store.cut_tree(3)[1].nodes] == (None, "x")
    for node in store.tree(2):
        store.name_cluster(node.cluster, f"node {node.cluster}")
    store.cluster(tree=(12, 24), restarts=5)  # whose top goes on from these
    nodes = {(node.cluster,): node for node in store.tree(depth=2)}
    for part in (part for part in store.cut_tree(18) if part.nodes in nodes):
        node = nodes[part.nodes]
        of_node = node.name, node.suggested, node.kept, node.doubtful
        assert (part.name, part.suggested, part.kept, part.doubtful) == of_node
    assert any(part.kept is not None for part in store.cut_tree(18))


def test_a_map_has_either_a_level_or_a_cut_of_a_tree(store: Store) -> None:
    with pytest.raises(BadInput, match=r"^a level of a tree and a cut are two ways"):
        store.map(level=1, cut=3)
    with pytest.raises(BadInput, match=r"^there is no level 4; choose from 1 to 3"):
        store.map(level=4)
    store.cluster(2, restarts=1)
    with pytest.raises(NotFound, match=r"^the current clustering is not a tree"):
        store.map(level=1)


def test_what_a_tree_costs_is_stated_before_it_is_made(store: Store) -> None:
    told: list[ClusteringCost] = []
    store.cluster(tree=(3, 12), restarts=1, on_cost=told.append)
    asked = store.cluster_cost(tree=(3, 12))
    assert [(cost.method, cost.images, cost.worked_on) for cost in (*told, asked)] == [("tree", 240, 240)] * 2
    assert told[0].seconds < asked.seconds  # fewer runs were asked for
    with pytest.raises(BadInput, match=r"^a tree of 2,300 needs 300 images"):
        store.cluster_cost(tree=(2, 300))
    with pytest.raises(BadInput, match=r"^k is 241, but the store has 240 images"):
        store.cluster_cost(241)
    with pytest.raises(BadInput, match=r"^k is for kmeans and agglomerative; hdbscan takes"):
        store.cluster_cost(3, method="hdbscan")
    assert store.cluster_cost(50).seconds > store.cluster_cost(5).seconds
    assert store.cluster_cost("auto") == store.cluster_cost() == store.cluster_cost(24)
