"""The life of clusters in a store: ids, names and history, going back, growth, splits, warm starts, checkpoints."""

import json
import os
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from indexes import kmeans
from indexes.devices import Device
from tests.conftest import paint
from tests.programs import run_program, start_program
from vecstore.clustering import checkpoint
from vecstore.clustering.checkpoint import CHECKPOINT, Checkpoint
from vecstore.embedders.embedder import unit_rows
from vecstore.errors import BadInput, NotFound
from vecstore.store import Store

Float32 = NDArray[np.float32]
Labels = dict[int, int]


@pytest.fixture
def store(open_store: Callable[..., Store], tmp_path: Path) -> Iterator[Store]:
    """A store of forty different pictures, clustered by no one yet."""
    for seed in range(40):
        paint(tmp_path / "many" / f"{seed:02}.png", seed)
    with open_store() as opened:
        opened.add(tmp_path / "many")
        yield opened


def labels_of(store: Store) -> Labels:
    return {member.id: cluster.cluster for cluster in store.clusters() for member in store.members(cluster.cluster)}


def import_vectors(folder: Path, vectors: Float32, prefix: str = "") -> Store:
    """Import vectors into the store in `folder`, made if need be; their paths are those of no files."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "vectors.npy", vectors)
    (folder / "paths.txt").write_text("".join(f"{folder}/{prefix}{i:05}.jpg\n" for i in range(len(vectors))))
    with Store.open(folder / "store", create=True, device="cpu") as store:
        store.import_vectors(folder / "vectors.npy", folder / "paths.txt")
    return Store.open(folder / "store", device="cpu")


def blobs(sizes: list[int], seed: int, dim: int = 16) -> Float32:
    """Unit vectors in tight clusters of these sizes, one cluster after the other, with the same centres every time."""
    centres = unit_rows(np.random.default_rng(99).standard_normal((len(sizes), dim)).astype(np.float32))
    noise = np.random.default_rng(seed).standard_normal((sum(sizes), dim)).astype(np.float32)
    return unit_rows(np.repeat(centres, sizes, axis=0) + noise * np.float32(0.05))


# Identity


def test_clustering_again_with_another_seed_changes_no_label_of_the_same_partition(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", blobs([20, 20, 20, 20], seed=0)) as store:
        found = []
        for seed in range(4):
            run = store.cluster(4, seed=seed, restarts=20)
            found.append(labels_of(store))
            assert (run.kept, run.moved, run.gone) == ((4, 0, 0) if seed else (0, 0, 0))
    assert found[1:] == found[:1] * 3


def test_clusters_keep_their_ids_while_the_store_grows(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", blobs([12, 20, 16, 8], seed=0)) as store:
        store.cluster(4, restarts=20)
        before = labels_of(store)
    with import_vectors(tmp_path / "a", blobs([30, 2, 3, 25], seed=1), prefix="later-") as store:
        run = store.cluster(4, seed=5, restarts=20)
        after = labels_of(store)
    assert {row: after[row] for row in before} == before
    assert (run.kept, run.split, run.merged, run.born, run.gone, run.moved) == (4, 0, 0, 0, 0, 0)


def test_a_split_and_a_merger_are_told_and_ids_are_never_given_twice(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", blobs([20, 20, 20, 20], seed=0)) as store:
        changes, ids = [], []
        for k in (4, 2, 4):
            run = store.cluster(k, restarts=50)
            changes.append((run.previous, run.kept, run.split, run.merged, run.born, run.gone, run.moved))
            ids.append({cluster.cluster for cluster in store.clusters()})
    assert changes[0] == (None, 0, 0, 0, 4, 0, 0)
    assert (changes[1][:2], changes[1][4:6], changes[2][:2], changes[2][4:6]) == ((1, 2), (0, 2), (2, 2), (2, 0))
    assert ids[1] < ids[0]
    assert ids[2] == ids[1] | {4, 5}


def test_a_name_stays_with_its_cluster_and_comes_back_with_it(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", blobs([20, 21, 22, 23], seed=0)) as store:
        store.cluster(4, restarts=20)
        for cluster in range(4):
            assert store.name_cluster(cluster, f" number {cluster} ").name == f"number {cluster}"
        store.cluster(4, seed=1, restarts=20)
        again = {cluster.cluster: cluster.name for cluster in store.clusters()}
        store.cluster(1, restarts=1)
        single = [(cluster.cluster, cluster.name) for cluster in store.clusters()]
        store.use_clustering(1)
        back = {cluster.cluster: cluster.name for cluster in store.clusters()}
    assert again == back == {cluster: f"number {cluster}" for cluster in range(4)}
    assert single == [(single[0][0], f"number {single[0][0]}")]


def test_an_empty_name_takes_the_name_away(store: Store) -> None:
    store.cluster(3, restarts=2)
    store.name_cluster(1, "one")
    assert (store.name_cluster(1, "").name, store.name_cluster(2, "one").name) == (None, "one")


@pytest.mark.parametrize(
    ("cluster", "name", "error", "message"),
    [
        (9, "x", NotFound, "no cluster 9 in the current clustering; there are 0, 1, 2"),
        (1, "a\nb", BadInput, r"'a\\nb' is no name for a cluster"),
        (1, "taken", BadInput, "cluster 0 is called 'taken' already; choose another name"),
    ],
)
def test_an_impossible_name_is_refused(
    cluster: int, name: str, error: type[Exception], message: str, store: Store
) -> None:
    store.cluster(3, restarts=2)
    store.name_cluster(0, "taken")
    with pytest.raises(error, match=message):
        store.name_cluster(cluster, name)


# History


def test_the_history_lists_every_clustering_and_which_is_current(store: Store) -> None:
    runs = [store.cluster(k, restarts=2) for k in (3, 5)]
    expected = [{**vars(run)} for run in runs]
    for number, run in enumerate(expected):
        run.pop("_catalog")
        run.update(current=number == 1, seconds=0)
    assert [{**vars(run), "seconds": 0} for run in store.clusterings()] == expected


def test_going_back_makes_every_answer_that_of_then(store: Store) -> None:
    store.cluster(3, restarts=2)
    before = (labels_of(store), store.clusters(), store.which(*range(40)))
    store.cluster(6, restarts=2)
    run, assigned = store.use_clustering(1)
    assert (labels_of(store), store.clusters(), store.which(*range(40))) == before
    assert (run.clustering, run.current, assigned) == (1, True, 0)
    assert [run.clustering for run in store.clusterings() if run.current] == [1]


def test_images_added_since_get_their_nearest_cluster_when_going_back(store: Store, tmp_path: Path) -> None:
    store.cluster(3, restarts=2)
    centroids = store.cluster(3, restarts=2).cluster_centers_
    store.cluster(5, restarts=2)
    store.add(*[paint(tmp_path / f"later{seed}.png", 100 + seed) for seed in range(7)])
    _, assigned = store.use_clustering(2)
    vectors = np.asarray(store.session.vectors()[40:], np.float64)
    nearest = np.linalg.norm(vectors[:, None] - centroids.astype(np.float64), axis=2).argmin(axis=1)
    ids = store.session.catalog.clusterings.centroids(2)[1]
    assert (assigned, [labels_of(store)[row] for row in range(40, 47)]) == (7, [ids[i] for i in nearest])


def test_an_image_that_comes_back_after_going_back_has_a_cluster(store: Store, tmp_path: Path) -> None:
    store.cluster(3, restarts=2)
    store.add(paint(tmp_path / "late.png", 100))
    store.cluster(5, restarts=2)
    store.remove(40)
    store.use_clustering(1)
    store.add(tmp_path / "late.png")
    assert labels_of(store).keys() == set(range(41))


def test_what_is_clustered_next_is_matched_to_the_one_gone_back_to(store: Store) -> None:
    store.cluster(3, restarts=2)
    store.cluster(6, restarts=2)
    store.use_clustering(1)
    run = store.cluster(3, restarts=2)
    assert (run.clustering, run.previous, run.kept, run.moved) == (3, 1, 3, 0)


def test_an_unknown_clustering_is_refused_and_the_current_one_stays(store: Store) -> None:
    store.cluster(3, restarts=2)
    with pytest.raises(NotFound, match="^no clustering 7; there are 1$"):
        store.use_clustering(7)
    assert [run.current for run in store.clusterings()] == [True]


# Growth


def test_drift_of_a_cluster_is_that_of_its_own_images(tmp_path: Path) -> None:
    vectors = blobs([20, 20], seed=0)
    with import_vectors(tmp_path / "a", vectors) as store:
        store.cluster(2, restarts=5)
        home = labels_of(store)[0]
    far = unit_rows(
        vectors[:5] + np.random.default_rng(3).standard_normal((5, 16)).astype(np.float32) * np.float32(0.2)
    )
    with import_vectors(tmp_path / "a", far, prefix="far-") as store:
        drifts = {cluster.cluster: cluster.drift for cluster in store.clusters()}
        distances = {member.id: member.distance for member in store.members(home)}
        then, since = (np.mean([d for row, d in distances.items() if (row >= 40) == later]) for later in (False, True))
        assert drifts[home] == pytest.approx(since / then - 1)
        assert (drifts[1 - home], store.info().recluster, store.recluster_advised()) == (None, True, True)


def test_without_new_images_no_new_clustering_is_advised(store: Store) -> None:
    store.cluster(3, restarts=2)
    assert (store.info().drift, store.info().recluster) == (None, False)


def test_separation_is_the_distance_to_the_nearest_other_centroid(store: Store) -> None:
    run = store.cluster(5, restarts=5)
    centroids, ids = run.cluster_centers_.astype(np.float64), run.cluster_ids_.tolist()
    away = np.linalg.norm(centroids[:, None] - centroids, axis=2) + np.diag([np.inf] * 5)
    for cluster in store.clusters():
        row = away[ids.index(cluster.cluster)]
        assert (cluster.separation, cluster.nearest) == (pytest.approx(row.min(), rel=1e-5), ids[int(row.argmin())])


def test_an_only_cluster_is_separated_from_none(store: Store) -> None:
    store.cluster(1, restarts=1)
    assert [(cluster.separation, cluster.nearest) for cluster in store.clusters()] == [(None, None)]


# Warm starts and splits


def test_a_warm_start_goes_on_from_the_current_centroids(store: Store) -> None:
    first = store.cluster(5, restarts=1, iterations=1)
    warm = store.cluster(warm_start=True)
    rows = np.asarray(store.session.vectors(), np.float32)
    options = kmeans.KMeansOptions()
    truth = kmeans.train(rows, 5, options, Device("cpu"), start=first.cluster_centers_)
    assert (warm.k, warm.restarts, warm.objective) == (5, 1, pytest.approx(truth.objective, rel=1e-5))
    assert warm.objective < first.objective


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 4, "warm_start": True}, "k is 4, but a warm start keeps the 3 clusters that there are"),
        ({"warm_start": True, "restarts": 3}, "a warm start makes one run"),
        ({"k": 2, "warm_start": True, "within": 0}, "a cluster is split from new centroids"),
        ({}, "the number of clusters is missing"),
        ({"k": 3, "init": "best"}, "no init of k-means is called 'best'; choose one of random, kmeans\\+\\+"),
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, Any], message: str, store: Store) -> None:
    store.cluster(3, restarts=2)
    with pytest.raises(BadInput, match=message):
        store.cluster(**options)


@pytest.mark.parametrize("options", [{"warm_start": True}, {"k": 2, "within": 0}])
def test_before_the_first_clustering_there_is_nothing_to_start_from(options: dict[str, Any], store: Store) -> None:
    with pytest.raises(NotFound, match="there are no clusters yet to "):
        store.cluster(**options)


def test_a_split_replaces_one_cluster_and_leaves_the_others(store: Store) -> None:
    store.cluster(4, restarts=5)
    before = labels_of(store)
    run = store.cluster(3, within=0, restarts=5)
    after = labels_of(store)
    inside = {row for row, cluster in before.items() if cluster == 0}
    assert {row: c for row, c in after.items() if row not in inside} == {
        row: c for row, c in before.items() if row not in inside
    }
    assert {after[row] for row in inside} == {0, 4, 5}
    assert (run.k, run.rows, run.kept, run.split, run.born, run.gone) == (6, 40, 4, 1, 2, 0)
    rows, position = (
        np.asarray(store.session.vectors(), np.float64),
        {c: i for i, c in enumerate(run.cluster_ids_.tolist())},
    )
    distances = [np.linalg.norm(rows[row] - run.cluster_centers_[position[after[row]]]) for row in range(40)]
    assert run.objective == pytest.approx(float(np.square(distances).sum()), rel=1e-5)
    np.testing.assert_allclose([m.distance for m in store.which(*range(40))], distances, atol=1e-4)


def test_a_cluster_of_fewer_images_than_parts_is_not_split(store: Store) -> None:
    store.cluster(4, restarts=5)
    size = store.clusters()[0].size
    with pytest.raises(BadInput, match=f"k is {size + 1}, but cluster 0 has {size} images; choose -k from 1 to {size}"):
        store.cluster(size + 1, within=0)


# A result like scikit-learn's


def test_the_result_reads_like_a_fitted_estimator_also_after_the_store_is_closed(store: Store) -> None:
    store.remove(3)
    run = store.cluster(4, restarts=5)
    expected = labels_of(store)
    rows = np.asarray(store.session.vectors(), np.float64)
    store.close()
    assert (run.rows_.tolist(), run.cluster_centers_.shape) == (sorted(expected), (4, 12))
    assert run.cluster_ids_[run.labels_].tolist() == [expected[row] for row in sorted(expected)]
    squared = np.square(rows[run.rows_] - run.cluster_centers_[run.labels_]).sum()
    assert run.inertia_ == pytest.approx(float(squared), rel=1e-5)


# Checkpoints


def interrupted_training(
    rows: Float32, k: int, options: kmeans.KMeansOptions, stop_at: int
) -> tuple[kmeans.State, list[tuple[int, int]]]:
    """Train until state number `stop_at` is reported; return it, and where all were taken."""
    seen: list[kmeans.State] = []

    def watch(state: kmeans.State) -> None:
        seen.append(state)
        if len(seen) == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kmeans.train(rows, k, options, Device("cpu"), watch=watch)
    return seen[-1], [(state.run, state.iteration) for state in seen]


@pytest.mark.parametrize("stop_at", [1, 2, 5, 11])
@pytest.mark.parametrize("options", [{}, {"spherical": True}, {"init": "kmeans++"}])
def test_a_training_that_goes_on_ends_as_an_undisturbed_one(
    options: dict[str, Any], stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = unit_rows(np.random.default_rng(0).standard_normal((400, 16)).astype(np.float32))
    asked = kmeans.KMeansOptions(seed=3, restarts=4, iterations=9, **options)
    at_once = kmeans.train(rows, 8, asked, Device("cpu"))
    monkeypatch.setattr(kmeans, "STEP_WORK", 2 * rows.size * (8 + kmeans.READING))  # two iterations at a time
    state, _ = interrupted_training(rows, 8, asked, stop_at)
    resumed = kmeans.train(rows, 8, asked, Device("cpu"), resume=state)
    np.testing.assert_array_equal(resumed.centroids, at_once.centroids)
    assert (resumed.objective, resumed.runs) == (at_once.objective, at_once.runs)


@pytest.mark.parametrize("options", [{}, {"spherical": True}])
def test_a_training_of_many_dimensions_goes_on_from_wherever_it_was_stopped(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = unit_rows(np.random.default_rng(0).standard_normal((300, 2 * kmeans.DIRECTIONS)).astype(np.float32))
    asked = kmeans.KMeansOptions(seed=3, restarts=2, iterations=6, **options)
    at_once = kmeans.train(rows, 8, asked, Device("cpu"))
    monkeypatch.setattr(kmeans, "STEP_WORK", 1)
    states: list[kmeans.State] = []
    kmeans.train(rows, 8, asked, Device("cpu"), watch=states.append)
    assert {state.centroids.shape[1] for state in states} == {kmeans.DIRECTIONS, rows.shape[1]}
    for state in states:
        resumed = kmeans.train(rows, 8, asked, Device("cpu"), resume=state)
        np.testing.assert_array_equal(resumed.centroids, at_once.centroids)
        assert (resumed.objective, resumed.runs) == (at_once.objective, at_once.runs)


def test_a_run_is_reported_every_few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = unit_rows(np.random.default_rng(0).standard_normal((2000, 16)).astype(np.float32))
    monkeypatch.setattr(kmeans, "STEP_WORK", 2 * rows.size * (50 + kmeans.READING))
    _, where = interrupted_training(rows, 50, kmeans.KMeansOptions(restarts=2, iterations=5), 5)
    assert where == [(1, 2), (1, 4), (2, 0), (2, 2), (2, 4)]


STAMP = {"k": 3}
STATE = kmeans.State(2, 4, np.ones((3, 2), np.float32), 1.5, 1.25, np.zeros((3, 2), np.float32), 0.5)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    Checkpoint(tmp_path, STAMP).save(STATE)
    return tmp_path


def test_a_checkpoint_is_read_as_it_was_written(saved: Path) -> None:
    found = Checkpoint(saved, STAMP).load()
    assert found is not None
    assert {name: np.asarray(value).tolist() for name, value in vars(found).items()} == {
        name: np.asarray(value).tolist() for name, value in vars(STATE).items()
    }
    assert os.listdir(saved) == [CHECKPOINT]


def test_a_checkpoint_of_another_stamp_is_ignored(saved: Path) -> None:
    assert Checkpoint(saved, {"k": 4}).load() is None


def half(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def of_an_unknown_compression(whole: bytes) -> bytes:
    at = whole.index(b"PK\1\2") + len(b"PK\1\2") + 6
    return whole[:at] + b"\x63" + whole[at + 1 :]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"no archive", half, of_an_unknown_compression])
def test_a_damaged_checkpoint_is_ignored(damage: Callable[[bytes], bytes], saved: Path) -> None:
    whole = (saved / CHECKPOINT).read_bytes()
    (saved / CHECKPOINT).write_bytes(damage(whole))
    assert Checkpoint(saved, STAMP).load() is None


def test_a_checkpoint_is_not_written_at_every_moment(tmp_path: Path) -> None:
    Checkpoint(tmp_path, STAMP).save(STATE)
    assert os.listdir(tmp_path) == []


# k-means slowed down and cut into single iterations, each of them written down.
SLOW_KMEANS = """
import time
from indexes import kmeans
from vecstore.clustering import checkpoint

kmeans.STEP_WORK, checkpoint.SECONDS = 1, 0.0
save = checkpoint.Checkpoint.save

def save_slowly(self, state):
    save(self, state)
    time.sleep(0.02)

checkpoint.Checkpoint.save = save_slowly
"""


def test_a_killed_clustering_goes_on_to_the_same_result_and_until_then_the_old_one_answers(tmp_path: Path) -> None:
    vectors = unit_rows(np.random.default_rng(0).standard_normal((600, 16)).astype(np.float32))
    with import_vectors(tmp_path / "a", vectors) as store:
        store.cluster(3, restarts=1)
        before = labels_of(store)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    # In one of the stores nothing disturbs it.
    with Store.open(tmp_path / "b" / "store", device="cpu") as store:
        undisturbed = store.cluster(20, seed=4, restarts=5)
        expected = labels_of(store)
    arguments = ["cluster", "-k", "20", "--seed", "4", "--restarts", "5", "--device", "cpu", "--json"]
    folder, states = tmp_path / "a" / "store", []
    for _ in range(3):
        process = start_program(*arguments, "-s", folder, prelude=SLOW_KMEANS)
        wait_for_change(folder / CHECKPOINT)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        with Store.open(folder) as store:
            assert labels_of(store) == before
        with np.load(folder / CHECKPOINT) as found:
            states.append(found["counts"].tolist()[:2])
    assert states == sorted(states)
    assert states[0] < states[-1]  # it did go on, and did not begin again
    done = run_program("-v", *arguments, "-s", folder)
    assert (done.returncode, "going on from" in done.stderr) == (0, True)
    run = json.loads(done.stdout)
    with Store.open(folder) as store:
        assert labels_of(store) == expected
    assert run.pop("names") == []
    assert {**run, "seconds": 0, "created": ""} == {
        **{name: value for name, value in vars(undisturbed).items() if name in run},
        **{"seconds": 0, "created": ""},
    }
    assert not (folder / CHECKPOINT).exists()


def wait_for_change(file: Path) -> None:
    def modified() -> int:
        return file.stat().st_mtime_ns if file.exists() else 0

    before, deadline = modified(), time.monotonic() + 120
    changes = 0
    while changes < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
        if modified() != before:
            before, changes = modified(), changes + 1
    assert changes == 4


def test_a_checkpoint_of_other_options_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = store.cluster(5, seed=2, restarts=3).objective
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)

    def stop(progress: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.cluster(5, seed=1, restarts=3, on_progress=stop)
    assert (store.path / CHECKPOINT).exists()
    assert store.cluster(5, seed=2, restarts=3).objective == expected
    assert not (store.path / CHECKPOINT).exists()


def test_progress_says_run_iteration_objective_and_imbalance(store: Store) -> None:
    told: list[Any] = []
    run = store.cluster(4, restarts=3, on_progress=told.append)
    assert [(p.run, p.iterations) for p in told] == [(2, 25), (3, 25), (4, 25)]
    assert min(p.objective for p in told) == pytest.approx(run.objective, rel=1e-4)
    assert all(p.imbalance >= 1 for p in told)


# Folders


@pytest.fixture
def clustered(store: Store) -> Store:
    store.cluster(3, restarts=5)
    return store


def content(folder: Path) -> dict[str, list[bytes]]:
    return {sub.name: sorted(file.read_bytes() for file in sub.iterdir()) for sub in folder.iterdir()}


def pictures_of(store: Store, cluster: int) -> list[bytes]:
    return sorted(Path(member.path).read_bytes() for member in store.members(cluster))


@pytest.mark.parametrize("link", [False, True])
def test_each_cluster_gets_a_folder_of_its_pictures(link: bool, clustered: Store, tmp_path: Path) -> None:
    clustered.name_cluster(1, "sea/side")
    report = clustered.make_folders(tmp_path / "out", link=link)
    assert content(tmp_path / "out") == {
        name: pictures_of(clustered, cluster) for cluster, name in enumerate(("cluster-0", "sea_side", "cluster-2"))
    }
    assert (report.folders, report.files, report.missing) == (3, 40, ())
    assert {file.is_symlink() for file in (tmp_path / "out").rglob("*.png")} == {link}


def test_files_of_one_name_get_different_ones(open_store: Callable[..., Store], tmp_path: Path) -> None:
    for seed in range(3):
        paint(tmp_path / f"in{seed}" / ("a.png" if seed else "A.PNG"), seed)
    with open_store() as store:
        store.add(*(tmp_path / f"in{seed}" for seed in range(3)))
        store.cluster(1, restarts=1)
        store.make_folders(tmp_path / "out", 0)
        expected = pictures_of(store, 0)
    found = sorted(file.name.lower() for file in (tmp_path / "out" / "cluster-0").iterdir())
    assert (found, content(tmp_path / "out")) == (["a (2).png", "a (3).png", "a.png"], {"cluster-0": expected})


def test_only_the_members_asked_for_are_copied(clustered: Store, tmp_path: Path) -> None:
    clustered.make_folders(tmp_path / "out", 1, k=2, farthest=True)
    expected = sorted(Path(member.path).name for member in clustered.members(1, 2, farthest=True))
    assert sorted(file.name for file in tmp_path.glob("out/*/*")) == expected
    nearest = [member.id for member in clustered.members(1)]
    assert sorted(nearest[-2:]) == sorted(member.id for member in clustered.members(1, 2, farthest=True))


def test_a_folder_that_holds_something_is_refused_before_anything_is_made(clustered: Store, tmp_path: Path) -> None:
    (tmp_path / "out" / "cluster-2").mkdir(parents=True)
    (tmp_path / "out" / "cluster-2" / "mine.txt").write_text("keep")
    with pytest.raises(BadInput, match=r"cluster-2 already exists and is not empty; name another folder$"):
        clustered.make_folders(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["cluster-2", "mine.txt"]


def test_a_picture_that_is_gone_or_another_is_left_out_and_told(clustered: Store, tmp_path: Path) -> None:
    first, second = (Path(member.path) for member in clustered.members(0, 2))
    first.unlink()
    second.write_bytes(b"no longer that picture")
    report = clustered.make_folders(tmp_path / "out", 0)
    assert report.missing == (str(first), str(second))
    assert {first.name, second.name}.isdisjoint(file.name for file in (tmp_path / "out" / "cluster-0").iterdir())


def test_pictures_in_archives_are_copied_out_and_not_linked_to(
    open_store: Callable[..., Store], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for seed in range(3):
            archive.write(paint(tmp_path / "in" / f"{seed}.png", seed), f"deep/{seed}.png")
    with open_store() as store:
        store.add(tmp_path / "a.zip")
        store.cluster(1, restarts=1)
        with pytest.raises(BadInput, match=r"is inside an archive and cannot be linked to; use --copy-to$"):
            store.make_folders(tmp_path / "links", link=True)
        store.make_folders(tmp_path / "out")
    expected = {"cluster-0": sorted(file.read_bytes() for file in (tmp_path / "in").iterdir())}
    assert (content(tmp_path / "out"), (tmp_path / "links").exists()) == (expected, False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("..", "cluster-0"), ("CON", "cluster-0"), (" a. ", "a"), ("ä" * 200, "ä" * 60), ('<>:"|?*\\', "________")],
)
def test_a_name_becomes_a_safe_folder_name(name: str, expected: str, clustered: Store, tmp_path: Path) -> None:
    clustered.name_cluster(0, name)
    clustered.make_folders(tmp_path / "out", 0)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [expected]


def test_two_names_that_become_one_folder_name_get_two(clustered: Store, tmp_path: Path) -> None:
    clustered.name_cluster(0, "Sea/side")
    clustered.name_cluster(1, "sea_side")
    clustered.make_folders(tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 3
