"""Clusters without images: those that got none, those whose images were all removed, and stores with none at all."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from tests.clustering.test_lifecycle import blobs, import_vectors
from tests.conftest import paint
from vecstore.clustering.separation import nearest_others
from vecstore.errors import BadInput, NotFound
from vecstore.store import Store
from vecstore.views.contact_sheets import write_sheet

pytestmark = pytest.mark.usefixtures("one_thread")
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of fourteen pictures in three clusters, the smallest of which has lost its images."""
    folder = tmp_path_factory.mktemp("made")
    for seed in range(14):
        paint(folder / "pictures" / "abc"[seed % 3] / f"{seed:02}.png", seed)
    with Store.open(folder / "store", embedder="hsv", create=True, device="cpu") as store:
        store.add(folder / "pictures")
        store.cluster(3)
        store.remove(*(member.id for member in store.members(store.clusters()[-1].cluster)))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A folder with a store like that of one's own."""
    shutil.copytree(made / "store", tmp_path / "store")
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store.open(folder / "store") as opened:
        yield opened


@pytest.fixture
def emptied(store: Store) -> int:
    """The cluster without images."""
    (cluster,) = {0, 1, 2}.difference(found.cluster for found in store.clusters())
    return cluster


def test_a_cluster_without_images_can_be_named(store: Store, emptied: int) -> None:
    named = store.name_cluster(emptied, "empty by now")
    assert (named.name, named.size, named.cohesion, named.representative, named.representative_id) == (
        *("empty by now", 0),
        *(None, None, None),
    )
    assert named.nearest in {found.cluster for found in store.clusters()}


def test_a_cluster_that_is_named_is_described_as_among_all(store: Store) -> None:
    assert [store.name_cluster(found.cluster, "") for found in store.clusters()] == store.clusters()


def test_a_cluster_is_named_without_the_figures_of_any(store: Store) -> None:
    cluster, asked = store.clusters()[0].cluster, list[str]()
    store.session.catalog.db.set_trace_callback(asked.append)
    store.name_cluster(cluster, "a")
    store.session.catalog.db.set_trace_callback(None)
    update = next(n for n, text in enumerate(asked) if text.startswith("update identities"))
    begin = max(n for n in range(update) if asked[n].lower().startswith("begin immediate"))
    commit = next(n for n in range(update, len(asked)) if asked[n].lower() == "commit")
    assert [text for text in asked[begin:commit] if "avg(" in text or "distance" in text] == []


def test_a_sheet_of_a_cluster_without_images_is_refused(store: Store, emptied: int) -> None:
    with pytest.raises(NotFound, match=rf"^cluster {emptied} has no images left to draw; `vecstore clusters` lists"):
        store.sheet(emptied)


def test_a_sheet_is_of_one_moment(folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = store.clusters()[0].cluster
    members = Store.members

    def members_then_a_clustering(self: Store, *args: Any, **options: Any) -> Any:
        found = members(self, *args, **options)
        monkeypatch.setattr(Store, "members", members)
        with Store.open(folder / "store") as other:
            other.remove(*(member.id for member in other.members(largest)))
            other.cluster(2)
        return found

    monkeypatch.setattr(Store, "members", members_then_a_clustering)
    sheet = store.sheet(largest)
    assert len(sheet.sections[0].cells) == sheet.of


def test_a_clustering_of_fewer_vectors_than_clusters_says_how_many_are_empty(tmp_path: Path) -> None:
    three = np.repeat(blobs([1, 1, 1], seed=0), 20, axis=0)
    with import_vectors(tmp_path / "a", three) as store:
        run = store.cluster(50)
        assert (run.k, run.empty, len(store.clusters()), run.born) == (50, 47, 3, 3)
        again = store.cluster(50, seed=1)
        assert (again.empty, store.clusterings()[0].empty, store.clusterings()[1].empty) == (47, 47, 47)


def test_clusters_of_images_that_had_no_label_are_born(tmp_path: Path) -> None:
    with import_vectors(tmp_path / "a", blobs([9, 9], seed=0)) as store:
        store.cluster(2)
        with store.session.catalog.writing():
            store.session.catalog.memberships.forget(1, range(9))
        run = store.cluster(2)
        assert (run.kept, run.born, run.empty) == (1, 1, 0)


def test_separation_is_that_of_comparing_every_pair() -> None:
    centroids = np.random.default_rng(0).random((1_100, 24)).astype(np.float32)
    centroids[5] = centroids[1_050]
    centroids[7] = centroids[6] + np.float32(1e-6)
    away = np.linalg.norm(centroids[:, None].astype(np.float64) - centroids, axis=2)
    np.fill_diagonal(away, np.inf)
    found, distances = nearest_others(centroids)
    np.testing.assert_array_equal(found, away.argmin(axis=1))
    np.testing.assert_allclose(distances, away.min(axis=1), rtol=1e-4)


def test_an_evaluation_leaves_out_images_without_a_usable_vector(store: Store) -> None:
    before = store.evaluate().images
    with store.session.catalog.writing():
        store.session.catalog.checksums.quarantine([store.members(store.clusters()[0].cluster)[0].id])
    store.cluster(2)
    assert store.evaluate().images == before - 1


def test_more_clusters_than_images_that_are_left_are_refused(store: Store) -> None:
    left = store.info().images
    with pytest.raises(BadInput, match=rf"^k is 14, but the store has {left} images; choose -k from 1 to {left}$"):
        store.cluster(14)


def test_an_image_that_comes_back_fills_its_cluster_again(store: Store, emptied: int) -> None:
    store.undo()
    assert emptied in {found.cluster for found in store.clusters()}


# Every command, on such a cluster, and on a store without images

STORES = ("some", "none", "compacted")
EVERY = [
    *(["members", "C"], ["members", "C", "--farthest", "-k", "3"], ["members", "C", "--copy-to", "out"]),
    *(["members", "--link-to", "linked"], ["clusters"], ["clusterings"], ["name", "C", "new"], ["name", "C", ""]),
    *(["sheet", "C"], ["sheet"], ["sheet", "--representatives"], ["sheet", "--similar", "@0"], ["info"], ["index"]),
    *(["map", "map.png"], ["map", "map.html", "--rebuild"], ["report", "r.html", "--since", "1"]),
    *(["evaluate"], ["evaluate", "--neighbours", "3"]),
    *(["elbow", "e.png"], ["elbow", "e.svg", "--within", "C"], ["cluster", "-k", "2", "--within", "C"]),
    *(["cluster", "-k", "auto", "--within", "C"], ["cluster", "-k", "auto"], ["cluster", "-k", "50"]),
    *(["cluster", "-k", "1"], ["cluster", "--warm-start"], ["cluster", "--use", "1"], ["undo"], ["undo", "--redo"]),
    *(["duplicates"], ["duplicates", "--exact"], ["outliers"], ["similar", "@0", "--cluster", "C"]),
    *(["similar", "--all"], ["similar", "--all", "--cluster", "C"], ["similar", "--all", "--not-cluster", "C"]),
    *(["which", "@0"], ["which", "new.png"], ["similar", "new.png", "--cluster", "C"], ["compact"], ["check"]),
    *(["export", "out.parquet"], ["export", "out.npy"], ["backup", "copy"], ["migrate", "moved"], ["failures"]),
    *(["index", "--kind", "pq"], ["index", "--rebuild"], ["compact", "--keep-clusterings", "1"], ["operations"]),
]


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VECSTORE_STORE", str(folder / "store"))
    paint(folder / "new.png", 99)
    return lambda arguments: CliRunner().invoke(app, arguments)


# What reads vectors, where compacting has left none of them.
READING = (["info"], ["index", "--kind", "pq"], ["similar", "--all"], ["map"], ["duplicates"], ["report"], ["check"])
EVERY_ON_EVERY = [
    *(pytest.param(arguments, left, id=f"{left}: {' '.join(arguments)}") for left in STORES[:2] for arguments in EVERY),
    *(pytest.param(arguments, STORES[2], id=f"{STORES[2]}: {' '.join(arguments)}") for arguments in READING),
]


@pytest.mark.parametrize(("arguments", "left"), EVERY_ON_EVERY)
def test_every_command_answers_or_says_in_a_line_why_not(
    arguments: list[str], left: str, run: Run, folder: Path, emptied: int
) -> None:
    if left != "some":
        with Store.open(folder / "store") as store:
            store.remove(*store.session.catalog.images.alive_rows())
            if left == "compacted":
                store.compact()
    done = run([str(emptied) if argument == "C" else argument for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (0, 1, 2), done.output
    assert (done.exit_code == 0) == (not done.stderr.startswith(("Error", "Usage"))), done.stderr


@pytest.mark.parametrize("name", ["info", "clusters", "clusterings", "evaluate", "outliers", "operations"])
@pytest.mark.parametrize("removed", [False, True])
def test_json_has_numbers_or_null(name: str, removed: bool, run: Run, folder: Path, store: Store) -> None:
    if removed:
        store.remove(*store.session.catalog.images.alive_rows())
        store.compact()
    for line in run([name, "--json"]).stdout.splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_an_export_with_an_empty_cluster_is_taken_back(folder: Path, store: Store, emptied: int) -> None:
    store.name_cluster(emptied, "empty")
    store.export(folder / "out.parquet")
    with Store.open(folder / "again", create=True) as again:
        again.import_vectors(folder / "out.parquet")
        assert again.clusters() == [
            found.__class__(**{**vars(found), "representative_id": other.representative_id})
            for found, other in zip(store.clusters(), again.clusters(), strict=True)
        ]
        assert (again.clusterings()[0].empty, again.name_cluster(emptied, "x").size) == (0, 0)


def test_the_command_says_how_many_clusters_are_empty(tmp_path: Path) -> None:
    three = np.repeat(blobs([1, 1, 1], seed=0), 20, axis=0)
    import_vectors(tmp_path / "a", three).close()
    place = ["--store", str(tmp_path / "a" / "store")]
    done = CliRunner().invoke(app, ["cluster", "-k", "50", *place])
    assert done.stdout.startswith(
        "clustering 1: 60 images in 3 clusters, 47 more of the 50 are empty (fewer different vectors than k), objective"
    )
    listed = CliRunner().invoke(app, ["clusters", *place])
    assert (len(listed.stdout.splitlines()), listed.stderr) == (
        3,
        "not listed: 47 of the 50 clusters, which have no images\n",
    )


def test_a_page_is_drawn_of_the_clusters_that_have_images(store: Store, tmp_path: Path) -> None:
    pages = write_sheet(store.sheet(k=14), store.thumbnail, tmp_path / "sheet.png")
    assert [(page.images, page.of) for page in pages] == [(store.info().images,) * 2]
