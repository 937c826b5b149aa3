"""Clusters by hand: what a person decides stays, through new clusterings, and is undone like everything else."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes import kmeans, lloyd
from indexes.devices import Device
from indexes.kmeans import KMeansOptions, Pinned
from tests.clustering.test_lifecycle import blobs, import_vectors, labels_of
from vecstore.errors import BadInput, NotFound
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = Device("cpu")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Four tight clusters of 20 images: rows 0-19 are one, 20-39 the next, and so on."""
    with import_vectors(tmp_path / "a", blobs([20, 20, 20, 20], seed=0)) as opened:
        opened.cluster(4, restarts=10)
        yield opened


def state(store: Store) -> tuple[object, ...]:
    """All that a change by hand can change."""
    pins = [(pin.id, pin.cluster) for pin in store.pins()]
    return labels_of(store), pins, store.clusters(), store.which(*range(80))


def of(store: Store, row: int) -> int:
    return store.which(row)[0].cluster


# Moved and pinned


def test_a_moved_image_is_pinned_and_stays_through_new_clusterings(store: Store) -> None:
    there, own = of(store, 25), of(store, 3)
    report = store.move(3, "@4", to=there)
    after_move = {of(store, row) for row in (3, 4)}
    for options in ({"k": 4}, {"k": 4, "seed": 7}, {"k": 6}, {"warm_start": True}, {"k": 4, "full_iterations": 3}):
        store.cluster(**{"restarts": 3, **options} if "k" in options else options)
        assert {of(store, row) for row in (3, 4)} == {there} == after_move
        assert (of(store, 25), of(store, 0)) == (there, own)
        assert [(pin.id, pin.cluster) for pin in store.pins()] == [(3, there), (4, there)]
    assert (report.cluster, report.moved, report.pinned, store.check()) == (there, 2, 2, [])


def test_pins_part_what_vectors_alone_would_not(store: Store) -> None:
    """Of the four clusters, k-means joins two at k = 3. Pinned images of each of these keep the two apart."""
    store.cluster(3, restarts=10)
    joined = next((a, b) for a in (0, 20, 40) for b in (20, 40, 60) if a < b and of(store, a) == of(store, b))
    store.undo()
    ids = [of(store, row) for row in joined]
    store.pin(*(row + n for row in joined for n in range(5)))
    for seed in range(3):
        store.cluster(3, seed=seed, restarts=10)
        assert [of(store, row + 10) for row in joined] == ids
        store.undo()


def test_iterations_over_all_rows_keep_pinned_images_where_they_are(store: Store) -> None:
    store.move(*range(10), to=of(store, 25))
    run = store.cluster(4, restarts=3, full_iterations=5)
    vectors = np.asarray(store.session.vectors(), np.float32)
    means = [vectors[run.labels_ == position].mean(axis=0) for position in range(4)]
    np.testing.assert_allclose(run.cluster_centers_, means, atol=1e-6)


def test_images_that_are_added_later_get_their_nearest_cluster(store: Store, tmp_path: Path) -> None:
    own, there = of(store, 0), of(store, 25)
    store.move(*range(18), to=there)  # the centroids stay
    store.close()
    with import_vectors(tmp_path / "a", blobs([2, 0, 0, 0], seed=5), prefix="later-") as again:
        assert ({of(again, row) for row in (80, 81)}, len(again.pins()), again.check()) == ({own}, 18, [])


def test_an_unpinned_image_goes_home_with_the_next_clustering(store: Store) -> None:
    own, there = of(store, 3), of(store, 25)
    store.move(3, to=there)
    assert [(pin.id, pin.cluster) for pin in store.unpin(3, 4)] == [(3, there)]
    assert (of(store, 3), store.pins()) == (there, [])
    store.cluster(4, restarts=10)
    assert of(store, 3) == own


def test_a_new_cluster_is_a_clustering_of_its_own(store: Store) -> None:
    before, own = state(store), of(store, 0)
    report = store.move(1, 2, 21, to="new")
    run = store.clusterings()[-1]
    assert (report.cluster, {of(store, row) for row in (1, 2, 21)}, of(store, 0)) == (4, {4}, own)
    assert (run.current, run.k, run.kept, run.born, run.gone, run.moved, run.previous) == (True, 5, 4, 1, 0, 3, 1)
    assert run.k_reason == "by hand: moved 3 images to a new cluster, 4"
    assert ([pin.id for pin in store.pins()], store.check()) == ([1, 2, 21], [])
    store.undo()
    assert state(store) == before


def test_a_pin_that_was_removed_comes_back_to_its_cluster(store: Store) -> None:
    there = of(store, 25)
    store.move(3, to=there)
    store.remove(3)
    store.cluster(4, restarts=10)
    store.undo()
    store.undo()
    assert (of(store, 3), [pin.id for pin in store.pins()]) == (there, [3])
    store.undo(redo=True)
    store.undo(redo=True)
    assert store.pins() == []
    db = store.session.catalog.db
    assert db.execute("select cluster from memberships where clustering = 2 and row = 3 and pinned").fetchall() == [
        (there,)
    ]


def test_pins_outlive_forgotten_labels_and_a_compaction(store: Store) -> None:
    there = of(store, 25)
    store.move(3, 4, to=there)
    store.cluster(2, restarts=5)
    store.remove(4)
    store.compact(keep_clusterings=1)
    store.use_clustering(1)
    assert (of(store, 3), [pin.id for pin in store.pins()], store.check()) == (there, [3], [])


def test_a_repair_keeps_pinned_images_where_they_are(store: Store) -> None:
    there = of(store, 25)
    store.move(3, to=there)
    before = state(store)
    db = store.session.catalog.db
    db.execute("update memberships set distance = distance + 1 where row in (3, 5)")
    assert [finding.kind for finding in store.check()] == ["membership"]
    store.check(repair=True)
    assert (state(store), store.check()) == (before, [])


# Merged and split


def test_a_merger_keeps_the_first_and_its_name(store: Store) -> None:
    one, other, third = of(store, 0), of(store, 20), of(store, 40)
    store.name_cluster(one, "Pets & flowers")
    store.pin(21)
    before = state(store)
    run = store.merge_clusters("pets & flowers", other)
    assert {of(store, row) for row in range(40)} == {one}
    assert (run.k, run.kept, run.merged, run.gone, run.moved, of(store, 40)) == (3, 3, 1, 1, 20, third)
    assert [(pin.id, pin.cluster) for pin in store.pins()] == [(21, one)]
    merged = next(c for c in store.clusters() if c.cluster == one)
    vectors = np.asarray(store.session.vectors()[:40], np.float32)
    np.testing.assert_allclose(run.cluster_centers_[list(run.cluster_ids_).index(one)], vectors.mean(0), atol=1e-6)
    assert (merged.name, merged.size, store.check()) == ("Pets & flowers", 40, [])
    after = state(store)
    store.undo()
    assert state(store) == before
    store.undo(redo=True)
    assert state(store) == after
    store.use_clustering(1)
    assert labels_of(store) == before[0]


def test_a_removed_image_that_is_pinned_goes_along_with_a_merger(store: Store) -> None:
    one, other = of(store, 0), of(store, 20)
    store.pin(21)
    store.remove(21)
    run = store.merge_clusters(one, other)
    query = "select cluster, pinned from memberships where clustering = ? and row = 21"
    assert store.session.catalog.db.execute(query, [run.clustering]).fetchall() == [(one, 1)]
    assert store.check() == []


def test_a_split_leaves_the_others_and_the_pins_keep_the_id(store: Store) -> None:
    one, other = of(store, 0), of(store, 20)
    store.merge_clusters(one, other)
    store.pin(25)
    before = labels_of(store)
    run = store.split_cluster(one)
    after = labels_of(store)
    assert {row: after[row] for row in range(40, 80)} == {row: before[row] for row in range(40, 80)}
    assert ({after[row] for row in range(20, 40)}, len({after[row] for row in range(20)})) == ({one}, 1)
    assert (run.k, run.born, store.operations()[0].kind, store.check()) == (4, 1, "split", [])
    store.undo()
    assert labels_of(store) == before


@pytest.mark.parametrize(
    "operate",
    [
        lambda store: store.move(3, 30, to=of(store, 65)),
        lambda store: store.move(3, 30, to="new"),
        lambda store: store.merge_clusters(0, 2, 3),
        lambda store: store.split_cluster(1, 3),
        lambda store: store.pin(7, 8),
        lambda store: store.unpin(50),
    ],
    ids=["move", "new", "merge", "split", "pin", "unpin"],
)
def test_every_change_by_hand_is_undone_and_redone(operate: Callable[[Store], object], store: Store) -> None:
    store.pin(50)
    before = state(store)
    operate(store)
    after = state(store)
    store.undo()
    undone = state(store)
    store.undo(redo=True)
    assert (undone == before, after != before, state(store) == after, store.check()) == (True, True, True, [])


@pytest.mark.parametrize("seed", range(3))
def test_any_sequence_of_changes_is_gone_back_and_forth(seed: int, store: Store) -> None:
    random = np.random.default_rng(seed)

    def now() -> tuple[object, ...]:
        pins = [(pin.id, pin.cluster) for pin in store.pins()]
        chosen = {found.name: [image.id for image in store.selected(found.name)] for found in store.selections()}
        return labels_of(store), pins, chosen, store.session.catalog.clusterings.current()

    states = [now()]
    for _ in range(14):
        alive = store.session.catalog.images.alive_rows()
        rows = random.choice(alive, 3, replace=False).tolist()
        found = store.clusters()
        match int(random.integers(8)):
            case 0:
                store.move(*rows, to=found[int(random.integers(len(found)))].cluster)
            case 1:
                store.move(*rows, to="new")
            case 2 if len(found) > 2:
                store.merge_clusters(found[0].cluster, found[-1].cluster)
            case 3:
                store.split_cluster(found[0].cluster)
            case 4:
                store.pin(*rows)
            case 5:
                store.unpin(*alive[::2])
            case 6:
                store.select("some", *rows, remove=random.random() < 0.3 and "some" in now()[2])  # type: ignore[operator]
                store.remove(rows[0])
            case _:
                pinned = len({pin.cluster for pin in store.pins()})
                store.cluster(max(pinned, int(random.integers(2, 6))), restarts=2, iterations=5)
        if now() != states[-1]:
            states.append(now())
    assert store.check() == []
    n_undone = 0
    seen = [now()]
    while len(store.operations()) - 2 > n_undone:  # the import and the first clustering stay
        store.undo()
        n_undone += 1
        if now() != seen[-1]:
            seen.append(now())
    assert (seen[-1], seen[0]) == (states[0], states[-1])
    assert [state for state in seen if state in states] == states[::-1]
    for _ in range(n_undone):
        store.undo(redo=True)
    assert (now(), store.check()) == (states[-1], [])


@pytest.mark.parametrize(
    ("operate", "error", "message"),
    [
        (lambda store: store.move(to=1), BadInput, "name at least one image"),
        (lambda store: store.move(99, to=1), NotFound, "no image @99"),
        (lambda store: store.move(1, to=9), NotFound, "no cluster 9 in the current clustering; there are 0, 1, 2, 3"),
        (lambda store: store.move(1, to="beech"), NotFound, "no cluster is called 'beech'; did you mean 'Beach'"),
        (lambda store: store.merge_clusters(1), BadInput, "name two or more clusters"),
        (lambda store: store.merge_clusters(1, "1"), BadInput, "cluster 1 is named twice, and cannot be merged with"),
        (lambda store: store.split_cluster(1, 1), BadInput, "a cluster is split into two or more; k is 1"),
        (lambda store: store.split_cluster(4), BadInput, "cluster 4 has 1 image and cannot be split into 2"),
        (lambda store: store.cluster(1), BadInput, "k is 1, but images are pinned to 2 clusters; choose -k from 2 on"),
        (lambda store: store.name_cluster(1, "12"), BadInput, "'12' is a number, and would be taken for a cluster's"),
        (lambda store: store.members("BEACHES"), BadInput, r"'BEACHES' may be any of the clusters 1 \('b.*s'\), 2 \("),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(
    operate: Callable[[Store], object], error: type[Exception], message: str, store: Store
) -> None:
    if "cluster 4" in message:
        store.move(70, to="new")
        store.unpin(70)
    store.name_cluster(0, "Beach")
    store.name_cluster(1, "beaches")
    store.name_cluster(2, "Beaches")
    store.pin(0, 20)
    before = (labels_of(store), store.pins(), store.operations())
    with pytest.raises(error, match=message):
        operate(store)
    assert (labels_of(store), store.pins(), store.operations()) == before


def test_nothing_is_moved_before_there_are_clusters(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "b", blobs([3, 3], seed=0)) as store:
        for operate in (
            lambda: store.move(0, to=1),
            lambda: store.pin(0),
            store.pins,
            lambda: store.merge_clusters(0, 1),
        ):
            with pytest.raises(NotFound, match="has no clusters yet; make some with `vecstore cluster -k N`"):
                operate()


def test_auto_takes_at_least_as_many_clusters_as_are_pinned(store: Store) -> None:
    store.cluster(12, restarts=2)
    store.pin(*(c.representative_id for c in store.clusters() if c.representative_id is not None))
    n_pinned = len({pin.cluster for pin in store.pins()})
    run = store.cluster("auto")
    assert run.k >= n_pinned
    assert {(pin.id, pin.cluster) for pin in store.pins()} == {(pin.id, of(store, pin.id)) for pin in store.pins()}


# The arithmetic


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 1_000), k=st.integers(2, 5), init=st.sampled_from(["random", "kmeans++"]))
def test_training_keeps_pinned_rows_and_is_no_worse_than_its_first_step(seed: int, k: int, init: str) -> None:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((30, 4)).astype(np.float32)
    pinned = np.full(30, -1, np.int64)
    pinned[:6] = random.integers(0, k, 6)
    both = Pinned(pinned, pinned)
    short, long = (kmeans.train(rows, k, KMeansOptions(seed, n, 1, init=init), CPU, pinned=both) for n in (1, 30))
    found = kmeans.hold(kmeans.assign(rows, long.centroids, CPU), rows, long.centroids, both)
    assert found.labels[:6].tolist() == pinned[:6].tolist()
    assert long.objective <= short.objective * (1 + 1e-5)
    # A fixed point: each centroid is the mean of its rows.
    means = np.array(
        [rows[found.labels == c].mean(0) if (found.labels == c).any() else long.centroids[c] for c in range(k)]
    )
    np.testing.assert_allclose(long.centroids, means, atol=1e-5)


def test_a_training_with_pinned_rows_that_was_interrupted_ends_the_same() -> None:
    rows = np.random.default_rng(0).standard_normal((60, 300)).astype(np.float32)
    held = np.full(60, -1, np.int64)
    held[:4] = 0, 0, 1, 1
    pinned, options, states = Pinned(held, held), KMeansOptions(3, 8, 3), list[kmeans.State]()
    whole = kmeans.train(rows, 5, options, CPU, watch=states.append, pinned=pinned)
    assert len(states) > 6
    for state in states[::4]:
        resumed = kmeans.train(rows, 5, options, CPU, resume=state, pinned=pinned)
        np.testing.assert_array_equal(resumed.centroids, whole.centroids)


def test_one_run_is_made_where_every_centroid_has_its_seeds() -> None:
    rows = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    held = np.full(30, -1, np.int64)
    held[:2] = 0, 1
    runs = [kmeans.train(rows, k, KMeansOptions(0, 5, 4), CPU, pinned=Pinned(held, held)).runs for k in (2, 3)]
    assert runs == [1, 4]


def test_sums_with_pinned_rows_are_those_of_the_labels() -> None:
    random = np.random.default_rng(0)
    rows, centroids = (random.standard_normal((n, 4)).astype(np.float32) for n in (20, 3))
    stored = rows.astype(np.float16)
    rows = stored.astype(np.float32)
    held, positions = np.array([2, 5, 9]), np.array([0, 2, 2])
    total = lloyd.hold(lloyd.sums_of(stored, np.arange(20), centroids, CPU), rows[held], positions, centroids, CPU)
    labels = kmeans.assign(rows, centroids, CPU).labels
    labels[held] = positions
    np.testing.assert_allclose(total.sums, [rows[labels == c].sum(0) for c in range(3)], atol=1e-5)
    assert total.counts.tolist() == np.bincount(labels, minlength=3).tolist()
    assert total.objective == pytest.approx(float(np.square(rows - centroids[labels]).sum()), rel=1e-5)
