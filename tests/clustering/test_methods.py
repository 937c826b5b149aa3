"""One contract for every way to cluster: ids, names, history, growth, undo, check and export, and what each refuses."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans, MeanShift
from sklearn.metrics import adjusted_rand_score
from typer.testing import CliRunner

from cli.app import app
from indexes.devices import Device
from indexes.kmeans import KMeansOptions
from tests.clustering.contract import SIZES, WAYS, live
from tests.clustering.test_lifecycle import blobs, import_vectors, labels_of
from vecstore.clustering import costs, methods
from vecstore.clustering.matching import match
from vecstore.clustering.methods import Method
from vecstore.embedders.embedder import unit_rows
from vecstore.errors import BadInput
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")

STRAYS = 10


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What `Store.cluster` is asked for."""
    if request.param == methods.LEIDEN:
        pytest.importorskip("igraph")
    return WAYS[request.param]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Four tight clusters of 30, 25, 20 and 15 images, by row."""
    with import_vectors(tmp_path / "a", blobs(SIZES, seed=0)) as opened:
        yield opened


@pytest.fixture
def noisy(tmp_path: Path) -> Iterator[Store]:
    """The same, and ten images that are like nothing; by HDBSCAN."""
    strays = unit_rows(np.random.default_rng(5).standard_normal((STRAYS, 16)).astype(np.float32))
    with import_vectors(tmp_path / "a", np.concatenate([blobs(SIZES, seed=0), strays])) as opened:
        opened.cluster(method="hdbscan", min_size=8)
        yield opened


def of(store: Store, row: int) -> int:
    return store.which(row)[0].cluster


# The contract


def test_a_clustering_by_any_method_lives_as_one_of_kmeans_does(way: dict[str, Any], tmp_path: Path) -> None:
    live(tmp_path / "store", way, tmp_path)


def test_labels_are_those_of_the_library_on_the_same_input() -> None:
    vectors = np.concatenate([blobs([30, 25, 20], 0), blobs([9, 9, 9], 4)]).astype(np.float16)
    rows = np.arange(len(vectors))
    x = methods.prepare(vectors, rows, Method("hdbscan"), None, 0, lambda step: None)
    libraries = {
        "hdbscan": HDBSCAN(min_cluster_size=5, copy=True),
        "agglomerative": AgglomerativeClustering(3),
        "meanshift": MeanShift(bandwidth=0.4, cluster_all=False),
    }
    for name, library in libraries.items():
        asked = Method(name, min_size=1 if name == "meanshift" else None, bandwidth=0.4)
        k = 3 if name == "agglomerative" else None
        found, seen = methods.find(vectors, rows, asked, k, KMeansOptions(), Device("cpu"), lambda step: None)
        assert (found.tolist(), seen) == (library.fit_predict(x).tolist(), len(rows))


def test_many_images_are_clustered_by_representatives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods.REPRESENTATIVES, "agglomerative", 40)
    vectors = blobs([300, 200, 100], 0).astype(np.float16)
    asked = Method("agglomerative")
    labels, seen = methods.find(vectors, np.arange(600), asked, 3, KMeansOptions(), Device("cpu"), lambda step: None)
    assert adjusted_rand_score(np.repeat(np.arange(3), [300, 200, 100]), labels) == 1
    assert seen <= 40


def test_the_eigenvectors_of_a_graph_part_what_is_not_round() -> None:
    """Two rings, one in the other: k-means cuts both in two, and their graph falls apart between them."""
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    rings = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    plane = np.concatenate([rings, 3 * rings]).astype(np.float32)
    squared = np.square(plane[:, None] - plane[None]).sum(axis=2)
    near = np.argsort(squared, axis=1)[:, 1:5]
    ones = np.repeat(np.arange(120), 4)
    x = methods.spectral(ones, near.ravel(), np.ones(480, np.float32), 120, 2, seed=0)
    planted = np.repeat([0, 1], 60)
    assert adjusted_rand_score(planted, KMeans(2, n_init=5, random_state=0).fit_predict(x)) == 1
    assert adjusted_rand_score(planted, KMeans(2, n_init=5, random_state=0).fit_predict(plane)) < 0.5


# Noise


def test_noise_is_listed_last_by_name_and_counted_as_no_cluster(noisy: Store) -> None:
    *clusters, noise = noisy.clusters()
    (run,) = noisy.clusterings()
    assert (noise.noise, noise.name, noise.size, noise.nearest) == (True, "noise", STRAYS, None)
    assert [cluster.noise for cluster in clusters] == [False] * 4
    assert {cluster.nearest for cluster in clusters} <= {cluster.cluster for cluster in clusters}
    assert (run.k, run.empty, run.noise, noisy.info().clusters) == (4, 0, noise.cluster, 4)
    assert {member.id for member in noisy.members("noise")} == set(range(90, 100))


def test_noise_keeps_its_id_and_a_kmeans_between_has_none(noisy: Store) -> None:
    noise = noisy.clusters()[-1].cluster
    plain = noisy.cluster(4, restarts=5)
    assert (plain.noise, noise in labels_of(noisy).values()) == (None, False)
    again = noisy.cluster(method="hdbscan", min_size=8)
    assert (again.noise, noisy.clusters()[-1].size) == (noise, STRAYS)
    assert noisy.use_clustering(1)[0].noise == noise
    assert noisy.check() == []


def test_what_is_far_from_every_cluster_becomes_noise_and_finds_a_home_later(noisy: Store, tmp_path: Path) -> None:
    noise = noisy.clusters()[-1].cluster
    noisy.close()
    centre = unit_rows(np.random.default_rng(77).standard_normal((1, 16)).astype(np.float32))
    jitter = np.random.default_rng(78).standard_normal((12, 16)).astype(np.float32) * np.float32(0.03)
    with import_vectors(tmp_path / "a", unit_rows(centre + jitter), prefix="far-") as grown:
        assert {of(grown, row) for row in range(100, 112)} == {noise}
        run = grown.cluster(method="hdbscan", min_size=8)
        assert len({of(grown, row) for row in range(100, 112)} - {noise}) == 1
        assert (run.k, run.kept, run.born, run.moved, grown.clusters()[-1].size) == (5, 4, 1, 12, STRAYS)


def test_images_are_moved_out_of_noise_and_into_it_and_stay(noisy: Store) -> None:
    noise, first = noisy.clusters()[-1].cluster, of(noisy, 0)
    noisy.move(95, to=first)
    noisy.move(1, to="noise")
    noisy.cluster(method="hdbscan", min_size=8, seed=1)
    assert (of(noisy, 95), of(noisy, 1), of(noisy, 0)) == (first, noise, first)
    merged = noisy.merge_clusters(of(noisy, 30), of(noisy, 60))
    assert (merged.k, merged.noise, of(noisy, 90), noisy.check()) == (3, noise, noise, [])
    with pytest.raises(BadInput, match="^noise is no cluster and is not merged with one"):
        noisy.merge_clusters(first, noise)
    split = noisy.split_cluster(first, 2)
    assert (split.k, split.noise, noisy.clusters()[-1].cluster, noisy.check()) == (4, noise, noise, [])


def test_labels_as_scikit_learn_has_them_are_minus_one_for_noise(noisy: Store) -> None:
    run = noisy.cluster(method="hdbscan", min_size=8)
    assert run.cluster_centers_.shape == (4, 16)
    assert set(run.labels_[90:]) == {-1}
    assert set(run.labels_[:90]) == {0, 1, 2, 3}


def test_no_cluster_carries_the_id_of_noise() -> None:
    found = match(np.repeat([7, 0], 10), np.repeat([0, 1], 10), 2, 9, noise=(7, None))
    assert (found.ids, found.kept, found.born, found.gone, found.moved) == ([9, 0], 1, 1, 0, 10)
    found = match(np.repeat([7, 0], 10), np.repeat([1, 0], 10), 2, 9, noise=(7, 1))
    assert (found.ids, found.kept, found.born, found.gone, found.moved) == ([0, 7], 1, 0, 0, 0)


# What is refused


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"method": "dbscan"}, "no method is called 'dbscan'; choose one of kmeans, hdbscan,"),
        ({"method": "hdbscan", "k": 4}, "k is for kmeans and agglomerative; hdbscan takes min_size: leave it out"),
        ({"method": "agglomerative"}, "the number of clusters is missing; give -k N"),
        ({"method": "agglomerative", "k": 91}, "k is 91, but the store has 90 images; choose -k from 1 to 90"),
        ({"method": "meanshift", "bandwidth": -1}, "bandwidth is -1; a number above 0 is wanted"),
        ({"method": "hdbscan", "resolution": 2}, "resolution is for leiden; hdbscan takes min_size: leave it out"),
        ({"method": "hdbscan", "restarts": 2}, "iterations, restarts, spherical and init: for k-means alone"),
        ({"method": "hdbscan", "min_size": 1}, "min_size is 1; hdbscan knows clusters of 2 images or more"),
        (
            {"method": "hdbscan", "min_size": 91},
            "hdbscan needs at least 91 images, and the store has 90 images; choose a --min-size",
        ),
        ({"k": 4, "graph": True, "warm_start": True}, "the warm start: for k-means on vectors as they are alone"),
        ({"k": 4, "min_size": 3}, "min_size is for hdbscan, meanshift and leiden; kmeans takes k and graph: leave"),
    ],
)
def test_what_a_method_does_not_take_is_refused_in_one_line(store: Store, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        store.cluster(**asked)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)
    assert store.clusterings() == []


def test_a_method_whose_memory_would_not_fit_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "free_memory", lambda: 1_000)
    with pytest.raises(BadInput, match=r"^hdbscan of 90 images takes about .* GiB of memory, and 0.0 GiB are free; "):
        store.cluster(method="hdbscan")


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        (Method("hdbscan"), "free some, ask for fewer numbers a vector (--pca 16), or use --method kmeans"),
        (Method("agglomerative", graph=True), "free some, choose a lower -k, or use --method kmeans"),
        (Method(graph=True), "free some, choose a lower -k, or leave --graph, --pca and --whiten out"),
    ],
)
def test_what_to_do_without_the_memory_is_what_helps(
    method: Method, steps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "free_memory", lambda: 1_000)
    with pytest.raises(BadInput) as refused:
        costs.require_memory(costs.of_method(method, 90, 16, 4, KMeansOptions()), method)
    assert str(refused.value).endswith(f"are free; {steps}")


@pytest.mark.parametrize("name", [methods.KMEANS, methods.AGGLOMERATIVE])
def test_a_graph_costs_what_its_eigenvectors_take(name: str) -> None:
    few, many = (costs.of_method(Method(name, graph=True), 200_000, 1280, k, KMeansOptions()) for k in (10, 1_000))
    assert many.bytes - few.bytes == 200_000 * 990 * costs.EIGENVECTOR_BYTES
    twice = costs.of_method(Method(name, graph=True), 400_000, 1280, 1_000, KMeansOptions())
    assert twice.seconds > 3 * many.seconds


def test_more_directions_cost_more_where_distances_are_compared() -> None:
    for name in (methods.HDBSCAN, methods.MEANSHIFT):
        some, all_ = (costs.of_method(Method(name, pca=n), 2_000, 1280, 1, KMeansOptions()) for n in (64, 512))
        assert all_.seconds > 4 * (some.seconds - costs.LIBRARY_SECONDS[name])


def test_a_tree_is_said_to_take_the_memory_of_its_leaves() -> None:
    said = costs.of_tree((20, 400, 8_000), 1_000_000, 2_048, KMeansOptions())
    assert said.bytes > 4 * 1_000_000 * 128 + 24 * 8_000 * 2_048


def test_a_missing_extra_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(BadInput, match=r"^the method leiden needs igraph; `pip install 'vecstore\[leiden\]'` brings"):
        store.cluster(method="leiden")


def test_one_image_and_images_all_alike(tmp_path: Path, way: dict[str, Any]) -> None:
    row = unit_rows(np.ones((1, 16), np.float32))
    asked = {**way, "k": 1} if "k" in way else {name: way[name] for name in way if name != "bandwidth"}
    with import_vectors(tmp_path / "alike", np.repeat(row, 20, axis=0)) as alike:
        if asked.get("method") in (methods.MEANSHIFT, methods.HDBSCAN):
            with pytest.raises(BadInput, match="finds no (bandwidth|cluster), as the images are all alike"):
                alike.cluster(**asked)
        else:
            alike.cluster(**asked)
            assert len(labels_of(alike)) == 20
        assert alike.check() == []
    if asked != {**WAYS["kmeans"], "k": 1}:  # which makes a cluster of one
        with (
            import_vectors(tmp_path / "one", row) as one,
            pytest.raises(BadInput, match="needs at least [28]( images|; add more)"),
        ):
            one.cluster(**asked)


def test_the_command_says_what_a_method_takes_and_what_it_leaves_over(noisy: Store) -> None:
    folder = str(noisy.path)
    noisy.close()
    asked = ["cluster", "--method", "hdbscan", "--min-size", "8", "--store", folder]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0
    assert result.stderr.startswith("hdbscan of 100 images: about ")
    assert result.stdout.startswith("clustering 2: 90 of 100 images in 4 clusters, objective")
    assert "in no cluster: 10 images; `vecstore members 0` lists" in result.stdout
    refused = CliRunner().invoke(app, [*asked, "-k", "3"])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)


def test_noise_without_images_is_not_pointed_at_and_has_no_cohesion(store: Store) -> None:
    pytest.importorskip("igraph")
    folder = str(store.path)
    result = CliRunner().invoke(app, ["cluster", "--method", "leiden", "--store", folder, "--quiet"])
    assert "in no cluster: 0 images\n" in result.stdout
    (noise,) = (run.noise for run in store.clusterings())
    assert noise is not None
    store.move(0, to=noise)
    (found,) = (cluster for cluster in store.clusters() if cluster.noise)
    assert (found.size, found.cohesion) == (1, None)


def test_noise_under_another_name_is_still_said_to_be_noise(noisy: Store) -> None:
    (noise,) = (cluster.cluster for cluster in noisy.clusters() if cluster.noise)
    noisy.name_cluster(noise, "left over")
    result = CliRunner().invoke(app, ["clusters", "--store", str(noisy.path)])
    assert f"cluster {noise} is the noise" in result.stderr


def test_noise_is_neither_explained_nor_a_neighbour(noisy: Store) -> None:
    (noise,) = (cluster.cluster for cluster in noisy.clusters() if cluster.noise)
    with pytest.raises(BadInput, match=f"^cluster {noise} is the noise"):
        noisy.explain(noise)
    others = [cluster.cluster for cluster in noisy.clusters() if not cluster.noise]
    for cluster in others:
        assert {rival.cluster for rival in noisy.explain(cluster).neighbours} == {*others} - {cluster}
    noisy.report(noisy.path.with_suffix(".html"))


def test_mean_shift_estimates_its_bandwidth_of_a_few_images_too(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", blobs([6, 5], seed=0)) as few:
        assert few.cluster(method="meanshift", min_size=2).k == 2


def test_no_node_of_a_tree_goes_on_from_noise(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    apart = random.standard_normal((STRAYS, 16)) + 2.5 * unit_rows(random.standard_normal((1, 16)))
    vectors = np.concatenate([blobs(SIZES, seed=0), unit_rows(apart.astype(np.float32))])
    with import_vectors(tmp_path / "a", vectors) as store:
        store.cluster(method="hdbscan", min_size=8)
        (noise,) = (cluster.cluster for cluster in store.clusters() if cluster.noise)
        left_over = {member.id for member in store.members(noise)}
        store.cluster(tree=(5, 15))
        tops = store.tree(1)
        assert left_over
        assert len(tops) == 5
        assert noise not in {node.cluster for node in store.tree(depth=2)}
        assert store.check() == []
