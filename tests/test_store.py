"""The store: created late, grown in any order alike, kept equal to its folders, and asked."""

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import filelock
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import TinyEmbedder, paint
from vecstore import session as session_module
from vecstore.embedders.embedder import EmbedderSpec
from vecstore.errors import BadInput, NotFound, NothingAdded, StoreBusy, StoreDamaged, VecstoreError, WrongEmbedder
from vecstore.results import Failure, RemoveReport
from vecstore.storage import lock
from vecstore.storage.catalog import connection
from vecstore.storage.catalog.images import Images
from vecstore.store import Store

OpenStore = Callable[..., Store]


@pytest.fixture
def filled(open_store: OpenStore, pictures: Path) -> Store:
    """A store of the ten pictures; a picture's row is its number."""
    with open_store() as store:
        store.add(pictures)
    return open_store(create=False)


def rows_of(store: Store) -> NDArray[np.float64]:
    """All vectors as the file on disk has them."""
    return np.fromfile(store.path / "vectors.f16", "<f2").reshape(-1, 12).astype(np.float64)


def ids(store: Store, *refs: int | str | Path, **options: object) -> list[int]:
    return [hit.id for hit in store.similar(*refs, **{"k": 100, **options})]  # type: ignore[arg-type]


# Creation


def test_opening_a_new_store_puts_nothing_on_the_disk(open_store: OpenStore, tmp_path: Path) -> None:
    open_store().close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("embedder", ["tiny", "nonsense", "resnet50*0"])
def test_a_first_add_that_fails_leaves_no_folder(embedder: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    if embedder != "tiny":
        paint(tmp_path / "empty/a.png", 0)
    with (
        pytest.raises((NotFound, BadInput)),
        Store.open(tmp_path / "new/store", embedder=embedder, create=True) as store,
    ):
        store.add(tmp_path / "empty")
    assert not (tmp_path / "new").exists()


def test_a_store_that_is_not_there_is_asked_in_vain(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as missing:
        Store.open(tmp_path / "store")
    assert str(missing.value) == (
        f"no store at {tmp_path}/store; create one with `vecstore add FOLDER --store {tmp_path}/store`"
    )


def test_a_store_before_its_first_add_says_so(open_store: OpenStore, tmp_path: Path) -> None:
    with open_store() as store, pytest.raises(NotFound, match="no store at .*/store yet; `vecstore add` creates it"):
        store.similar(0)


def test_a_folder_with_other_things_is_no_place_for_a_store(open_store: OpenStore, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/letter.txt").write_text("dear")
    with pytest.raises(BadInput, match="holds other files and no store; name an empty or new folder for the store"):
        open_store()
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["letter.txt"]


def test_a_file_is_no_place_for_a_store(open_store: OpenStore, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(BadInput, match="is a file, and a store is a folder"):
        open_store()


def test_a_place_below_a_file_is_refused_as_wrong_use(tmp_path: Path, pictures: Path) -> None:
    place = pictures / "0.png" / "store"
    with pytest.raises(BadInput), Store.open(place, embedder="tiny", create=True) as store:
        store.add(pictures)


@pytest.mark.parametrize(
    ("trouble", "exit_code"),
    [(errno.EIO, 1), (errno.ENOSPC, 1), (errno.EROFS, 1), (errno.EMFILE, 1), (errno.EACCES, 2)],
)
def test_a_disk_that_fails_is_not_called_wrong_use(
    trouble: int, exit_code: int, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise OSError(trouble, os.strerror(trouble))

    monkeypatch.setattr(session_module, "make_directory", fail)
    with pytest.raises(VecstoreError, match=f"no store can be created at .*: {os.strerror(trouble)}") as caught:
        with Store.open(tmp_path / "store", embedder="tiny", create=True) as store:
            store.add(pictures)
    assert caught.value.exit_code == exit_code


def test_an_empty_folder_is_a_place_for_a_store(open_store: OpenStore, tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "store").mkdir()
    with open_store() as store:
        assert store.add(pictures).added == 10


def test_what_a_killed_creation_left_is_a_place_for_a_store(
    open_store: OpenStore, tmp_path: Path, pictures: Path
) -> None:
    (tmp_path / "store").mkdir()
    for name in ("lock", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"):
        (tmp_path / "store" / name).write_bytes(b"")
    with open_store() as store:
        assert store.add(pictures).added == 10


# The embedder


def test_another_embedder_is_refused_by_name(filled: Store) -> None:
    with pytest.raises(WrongEmbedder) as refused:
        Store.open(filled.path, embedder="hsv")
    assert (refused.value.exit_code, str(refused.value)) == (
        2,
        f"the store {filled.path} was made with tiny, not hsv; leave --embedder out, "
        "or use another store for the other embedder",
    )


def test_another_version_of_the_embedder_is_refused(
    filled: Store, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TinyEmbedder, "spec", EmbedderSpec("tiny", 2, None, 12, "mean colour per quadrant"))
    paint(pictures / "new.png", 99)
    with pytest.raises(WrongEmbedder, match="made with version 1 of tiny, this vecstore has version 2"):
        filled.add(pictures)


def test_the_embedder_is_recorded_and_need_not_be_named_again(filled: Store, pictures: Path) -> None:
    paint(pictures / "new.png", 99)
    assert filled.add(pictures).added == 1


def test_of_two_that_make_a_store_at_once_the_second_embedder_is_refused_for_good(
    pictures: Path, tmp_path: Path
) -> None:
    with (
        Store.open(tmp_path / "store", embedder="tiny", create=True) as first,
        Store.open(tmp_path / "store", embedder="hsv", create=True) as second,
    ):
        first.add(pictures / "0.png")
        for _ in range(2):
            with pytest.raises(WrongEmbedder):
                second.add(pictures)
        assert first.info().images == 1


# Growing


def test_adding_in_steps_gives_the_same_bytes_as_adding_at_once(pictures: Path, tmp_path: Path) -> None:
    with Store.open(tmp_path / "whole", embedder="tiny", create=True) as whole:
        whole.add(pictures)
    for step in ("0.png", "4.png", "deep"):
        with Store.open(tmp_path / "steps", embedder="tiny", create=True) as steps:
            given = [pictures / f"{n}.png" for n in range(1, 5)] if step == "4.png" else [pictures / step]
            steps.add(*given)
    assert (tmp_path / "steps/vectors.f16").read_bytes() == (tmp_path / "whole/vectors.f16").read_bytes()


def test_an_add_in_which_every_file_fails_is_an_error(open_store: OpenStore, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    with (
        open_store() as store,
        pytest.raises(NothingAdded, match="^no file could be added, 1 failed; `vecstore fail"),
    ):
        store.add(tmp_path / "a.png")


def test_the_home_folder_is_understood_as_in_the_example(
    open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(pictures.parent))
    with open_store() as store:  # `store.add("~/Photos")` is how the module opens
        assert store.add("~/pictures").added == 10


# Sync


def test_a_sync_adds_updates_renames_and_forgets(filled: Store, pictures: Path) -> None:
    paint(pictures / "new.png", 99)
    paint(pictures / "0.png", 50)
    (pictures / "1.png").rename(pictures / "renamed.png")
    (pictures / "2.png").unlink()
    report = filled.sync(pictures)
    assert (report.added, report.known, report.updated, report.failed, report.forgotten, report.embedded) == (
        *(1, 8, 1, 0, 2),
        2,
    )


def test_after_a_sync_the_store_has_the_paths_of_the_folder(filled: Store, pictures: Path) -> None:
    paint(pictures / "new.png", 99)
    (pictures / "1.png").rename(pictures / "renamed.png")
    shutil.rmtree(pictures / "deep")
    filled.sync(pictures)
    assert sorted(hit.path for hit in filled.similar(0, k=100)) == sorted(map(str, pictures.rglob("*.png")))


def test_a_renamed_picture_keeps_its_row(filled: Store, pictures: Path) -> None:
    (pictures / "1.png").rename(pictures / "renamed.png")
    filled.sync(pictures)
    assert ids(filled, pictures / "renamed.png", k=1) == [1]


def test_an_add_forgets_nothing(filled: Store, pictures: Path) -> None:
    (pictures / "2.png").unlink()
    filled.add(pictures)
    assert filled.info().paths == 10


def test_a_sync_forgets_nothing_outside_its_folders(filled: Store, pictures: Path) -> None:
    (pictures / "2.png").unlink()
    report = filled.sync(pictures / "deep")
    assert (report.forgotten, filled.info().paths) == (0, 10)


def test_a_sync_of_a_missing_folder_is_refused(filled: Store, pictures: Path) -> None:
    shutil.rmtree(pictures / "deep")
    with pytest.raises(NotFound, match="no file or folder at .*/deep; nothing was done"):
        filled.sync(pictures / "deep")
    assert filled.info().paths == 10


def test_a_sync_of_an_emptied_folder_is_refused(filled: Store, pictures: Path) -> None:
    shutil.rmtree(pictures / "deep")
    (pictures / "deep").mkdir()
    with pytest.raises(NotFound, match="no pictures under .*/deep"):
        filled.sync(pictures / "deep")
    assert filled.info().paths == 10


def test_a_sync_of_several_folders_is_refused_when_one_was_emptied(filled: Store, pictures: Path) -> None:
    paint(pictures.parent / "others/a.png", 99)
    shutil.rmtree(pictures)
    pictures.mkdir()
    with pytest.raises(NotFound, match="no pictures under .*/pictures"):
        filled.sync(pictures, pictures.parent / "others")
    assert filled.info().images >= 10


def test_a_sync_drops_the_failures_of_files_that_are_gone(filled: Store, pictures: Path) -> None:
    for name in ("a.png", "b.png"):
        (pictures / name).write_bytes(b"broken")
    filled.add(pictures)
    (pictures / "a.png").unlink()
    filled.sync(pictures)
    assert [failure.path for failure in filled.failures()] == [str(pictures / "b.png")]


# Removing


def test_removing_an_id_takes_all_its_paths(filled: Store, pictures: Path) -> None:
    shutil.copy(pictures / "3.png", pictures / "copy.png")
    filled.add(pictures)
    assert (filled.remove(3), ids(filled, 0).count(3)) == (RemoveReport(removed=1, forgotten=2), 0)


def test_an_image_goes_with_its_last_path(filled: Store, pictures: Path) -> None:
    shutil.copy(pictures / "3.png", pictures / "copy.png")
    filled.add(pictures)
    reports = [filled.remove(pictures / "3.png"), filled.remove(pictures / "copy.png")]
    assert reports == [RemoveReport(removed=0, forgotten=1), RemoveReport(removed=1, forgotten=1)]


def test_removing_a_folder_takes_what_is_below_it_and_nothing_beside_it(filled: Store, pictures: Path) -> None:
    paint(pictures / "deep2/a.png", 99)
    filled.add(pictures)
    assert (filled.remove(pictures / "deep"), sorted(ids(filled, 0))) == (RemoveReport(5, 5), [0, 1, 2, 3, 4, 10])


def test_removing_touches_no_file(filled: Store, pictures: Path) -> None:
    filled.remove(pictures)
    assert len(list(pictures.rglob("*.png"))) == 10


def test_removing_a_path_needs_no_file_there(filled: Store, pictures: Path) -> None:
    (pictures / "3.png").unlink()
    assert filled.remove(pictures / "3.png") == RemoveReport(1, 1)


@pytest.mark.parametrize("unknown", [99, "@99", "gone.png", -1])
def test_removing_is_all_or_nothing(unknown: int | str, filled: Store) -> None:
    with pytest.raises(NotFound):
        filled.remove(3, unknown)
    assert filled.info().images == 10


def test_the_rows_of_removed_images_are_not_given_to_others(filled: Store, pictures: Path) -> None:
    filled.remove(9)
    assert ids(filled, paint_and_add(filled, pictures), k=1) == [10]


def paint_and_add(store: Store, pictures: Path) -> Path:
    new = paint(pictures / "new.png", 99)
    store.add(new)
    return new


# Similar


@pytest.mark.parametrize("row", range(10))
def test_a_stored_image_finds_itself_first_with_score_one(row: int, filled: Store) -> None:
    first = filled.similar(row, k=3)[0]
    assert (first.rank, first.id, first.score) == (1, row, 1.0)


def test_a_stored_image_finds_itself_before_others_that_are_nearly_equal(open_store: OpenStore, tmp_path: Path) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    base = random.integers(40, 216, (2, 2, 3))
    (tmp_path / "near").mkdir()
    for number in range(30):
        near = (base + random.integers(-1, 2, base.shape)).astype(np.uint8)
        Image.fromarray(near).resize((32, 24), Image.Resampling.NEAREST).save(tmp_path / f"near/{number:02}.png")
    with open_store() as store:
        store.add(tmp_path / "near")
        rows = store.session.catalog.images.alive_rows()
        assert [ids(store, row, k=1) for row in rows] == [[row] for row in rows]


def test_the_nearest_come_first_with_their_scores_and_paths(filled: Store, pictures: Path) -> None:
    rows = rows_of(filled)
    scores = rows @ rows[4] / (np.linalg.norm(rows, axis=1) * np.linalg.norm(rows[4]))
    order = np.argsort(-scores, kind="stable")
    found = filled.similar(4)
    assert [(hit.rank, hit.id, hit.path, hit.cluster) for hit in found] == [
        (rank, row, str(pictures / ("deep" if row >= 5 else "") / f"{row}.png"), None)
        for rank, row in enumerate(order.tolist(), start=1)
    ]
    np.testing.assert_allclose([hit.score for hit in found], scores[order].clip(-1, 1), atol=1e-6)


def test_several_images_are_averaged_and_others_subtracted(filled: Store) -> None:
    rows = rows_of(filled)
    for weight, chosen in ((0.25, {}), (1, {"minus_weight": 1})):
        query = (rows[1] + rows[2]) / 2 - weight * (rows[3] + rows[4]) / 2
        expected = np.argsort(-(rows @ query), kind="stable").tolist()
        assert ids(filled, 1, 2, minus=[3, 4], **chosen) == expected


def test_an_image_less_itself_leaves_nothing_to_look_for(filled: Store) -> None:
    with pytest.raises(BadInput, match="cancel out"):
        filled.similar(1, minus=[1], minus_weight=1)


def test_other_equal_scores_come_in_the_order_of_ids(open_store: OpenStore, tmp_path: Path) -> None:
    for number in range(30):  # the same colours in pictures of different sizes: different contents, equal vectors
        paint(tmp_path / f"pictures/{number:02}.png", seed=1, size=(32 + 2 * number, 24))
    with open_store() as store:
        store.add(tmp_path / "pictures")
        assert ids(store, 17, k=12) == [17, *range(11)]


def test_more_than_there_are_gives_all_there_are(filled: Store) -> None:
    assert sorted(ids(filled, 0, k=1000)) == list(range(10))


def test_only_scores_of_at_least_the_bound_are_given(filled: Store) -> None:
    scores = [hit.score for hit in filled.similar(0)]
    found = [hit.score for hit in filled.similar(0, min_score=scores[4])]
    assert found == scores[:5]


def test_removed_images_are_not_found(filled: Store) -> None:
    expected = [row for row in ids(filled, 0) if row not in (3, 7)]
    filled.remove(3, 7)
    assert ids(filled, 0) == expected


@pytest.mark.parametrize("exact", [False, True])
def test_a_cluster_bounds_what_is_found(exact: bool, filled: Store) -> None:
    filled.cluster(3, restarts=2)
    everything = filled.similar(0, k=100)
    inside = [hit.id for hit in everything if hit.cluster == 1]
    outside = [hit.id for hit in everything if hit.cluster != 1]
    found = (ids(filled, 0, cluster=1, exact=exact), ids(filled, 0, not_cluster=1, exact=exact))
    assert (found, bool(inside)) == ((inside, outside), True)


def test_a_cluster_that_is_asked_for_and_excluded_holds_nothing(filled: Store) -> None:
    filled.cluster(3, restarts=2)
    assert filled.similar(0, cluster=1, not_cluster=1) == []


@pytest.mark.parametrize("name", ["cluster", "not_cluster"])
def test_a_cluster_that_is_not_there_is_refused(name: str, filled: Store) -> None:
    filled.cluster(3, restarts=2)
    with pytest.raises(NotFound, match="^no cluster 9 in the current clustering; there are 0, 1, 2$"):
        ids(filled, 0, **{name: 9})


def test_a_file_that_is_gone_but_stored_is_still_asked_by_its_path(filled: Store, pictures: Path) -> None:
    (pictures / "3.png").unlink()
    assert ids(filled, pictures / "3.png", k=1) == [3]


def test_a_copy_outside_the_store_is_the_stored_image(filled: Store, pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "3.png", tmp_path / "elsewhere.png")
    TinyEmbedder.embedded_count = 0
    assert (ids(filled, tmp_path / "elsewhere.png", k=1), TinyEmbedder.embedded_count) == ([3], 0)


def test_a_stored_image_is_never_embedded_again(filled: Store, pictures: Path) -> None:
    TinyEmbedder.embedded_count = TinyEmbedder.prepared_count = 0
    filled.similar(3, "@4", pictures / "0.png")
    assert (TinyEmbedder.prepared_count, TinyEmbedder.embedded_count) == (0, 0)


def test_a_picture_that_is_not_stored_gives_the_same_answer_once_it_is(filled: Store, tmp_path: Path) -> None:
    new = paint(tmp_path / "new.png", 99)
    before = [(hit.id, hit.score) for hit in filled.similar(new, k=100)]
    filled.add(new)
    after = [(hit.id, hit.score) for hit in filled.similar(new, k=100) if hit.id != 10]
    assert after == before


def test_a_changed_file_is_asked_by_what_it_holds_now(filled: Store, pictures: Path) -> None:
    shutil.copy(pictures / "deep/8.png", pictures / "3.png")
    os.utime(pictures / "3.png", (1, 1))
    assert ids(filled, pictures / "3.png", k=1) == [8]


@pytest.mark.parametrize("unknown", [10, -1, "@10", "@99999999999999999999", 2**63])
def test_an_id_that_is_not_there_is_not_found(unknown: int | str, filled: Store) -> None:
    with pytest.raises(NotFound, match="^no image @"):
        filled.similar(unknown)


@pytest.mark.parametrize("wrong", ["@", "@x", "@1.5", "@-1", "@²"])
def test_what_is_no_id_is_refused_with_the_way_to_name_such_a_file(wrong: str, filled: Store) -> None:
    with pytest.raises(
        BadInput, match=r"is not an image id; an id is @ and a number, such as @12 \(for a file of that name"
    ):
        filled.similar(wrong)


def test_a_file_that_is_neither_there_nor_stored_is_not_found(filled: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as missing:
        filled.similar(tmp_path / "gone.png")
    assert str(missing.value) == (
        f"no file at {tmp_path}/gone.png, and the store has no image with that path; name another, or an id such as @12"
    )


def test_a_file_that_is_no_picture_is_refused(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(BadInput, match=r"notes\.txt: not a picture in a known format"):
        filled.similar(tmp_path / "notes.txt")


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_result_cannot_be_asked_for(k: int, filled: Store) -> None:
    with pytest.raises(BadInput, match=f"k is {k}; it must be at least 1"):
        filled.similar(0, k=k)


# Clusters


@pytest.fixture
def clustered(filled: Store) -> Store:
    filled.cluster(3, seed=1, restarts=5)
    return filled


def centroids_of(store: Store) -> NDArray[np.float64]:
    blob, cluster_ids = store.session.catalog.clusterings.centroids(1)
    assert cluster_ids == [0, 1, 2]
    return np.frombuffer(blob, "<f4").reshape(3, 12).astype(np.float64)


def distances_to_centroids(store: Store) -> NDArray[np.float64]:
    return np.linalg.norm(rows_of(store)[:, None] - centroids_of(store), axis=2)


def test_every_image_is_in_the_cluster_of_its_nearest_centroid(clustered: Store) -> None:
    found = clustered.which(*range(10))
    distances = distances_to_centroids(clustered)
    assert [(member.id, member.cluster) for member in found] == list(enumerate(distances.argmin(axis=1).tolist()))
    np.testing.assert_allclose([member.distance for member in found], distances.min(axis=1), atol=1e-4)


def test_the_objective_is_the_sum_of_squared_distances(filled: Store) -> None:
    run = filled.cluster(3, restarts=5)
    assert run.objective == pytest.approx((distances_to_centroids(filled).min(axis=1) ** 2).sum(), rel=1e-4)


def test_the_members_of_a_cluster_come_most_typical_first(clustered: Store) -> None:
    nearest, distances = distances_to_centroids(clustered).argmin(axis=1), distances_to_centroids(clustered)
    expected = sorted(np.flatnonzero(nearest == 0).tolist(), key=lambda row: distances[row, 0])
    assert ([m.id for m in clustered.members(0)], [m.id for m in clustered.members(0, 2)]) == (expected, expected[:2])


def test_the_clusters_are_listed_largest_first_with_what_is_typical(clustered: Store, pictures: Path) -> None:
    rows, centroids = rows_of(clustered), centroids_of(clustered)
    nearest = distances_to_centroids(clustered).argmin(axis=1)
    found = clustered.clusters()
    for cluster in found:
        members = np.flatnonzero(nearest == cluster.cluster)
        direction = centroids[cluster.cluster] / np.linalg.norm(centroids[cluster.cluster])
        typical = clustered.members(cluster.cluster, 1)[0]
        assert (cluster.size, cluster.name, cluster.representative, cluster.representative_id, cluster.cohesion) == (
            *(len(members), None, typical.path, typical.id),
            pytest.approx(float((rows[members] @ direction).mean()), abs=1e-4),
        )
    assert [cluster.size for cluster in found] == sorted((cluster.size for cluster in found), reverse=True)


def test_clusters_are_numbered_from_the_largest(clustered: Store) -> None:
    assert [cluster.cluster for cluster in clustered.clusters()] == [0, 1, 2]


def test_a_picture_that_is_not_stored_is_assigned_and_not_added(clustered: Store, tmp_path: Path) -> None:
    new = paint(tmp_path / "new.png", 99)
    found = clustered.which(new)[0]
    clustered.add(new)
    stored = clustered.which(new)[0]
    assert (found.path, found.id, found.cluster, stored.id) == (str(new), None, stored.cluster, 10)


def test_the_same_seed_gives_the_same_clusters(filled: Store) -> None:
    runs = []
    for _ in range(2):
        filled.cluster(3, seed=7, restarts=3)
        runs.append([member.cluster for member in filled.which(*range(10))])
    assert runs[0] == runs[1]


@pytest.mark.parametrize("k", [0, 11])
def test_a_number_of_clusters_that_cannot_be_is_refused(k: int, filled: Store) -> None:
    with pytest.raises(BadInput, match=f"^k is {k}, but the store has 10 images; choose -k from 1 to 10$"):
        filled.cluster(k)


def test_a_clustering_that_fails_leaves_the_one_before(clustered: Store) -> None:
    before = clustered.which(*range(10))
    with pytest.raises(BadInput):
        clustered.cluster(11)
    assert clustered.which(*range(10)) == before


@pytest.mark.parametrize(
    "ask", [Store.clusters, lambda s: s.members(0), lambda s: s.which(0), lambda s: ids(s, 0, cluster=0)]
)
def test_before_the_first_clustering_the_way_to_one_is_said(ask: Callable[[Store], object], filled: Store) -> None:
    with pytest.raises(NotFound, match="has no clusters yet; make some with `vecstore cluster -k N`$"):
        ask(filled)


def test_removed_images_are_in_no_cluster(clustered: Store) -> None:
    gone = clustered.members(0)[0].id
    clustered.remove(gone)
    assert (sum(c.size for c in clustered.clusters()), gone in [m.id for m in clustered.members(0)]) == (9, False)


# Info


def test_info_says_what_the_store_is(clustered: Store, pictures: Path) -> None:
    shutil.copy(pictures / "3.png", pictures / "copy.png")
    (pictures / "broken.png").write_bytes(b"broken")
    clustered.add(pictures)
    info = clustered.info()
    n_bytes = sum(file.stat().st_size for file in clustered.path.iterdir())
    assert info.query_ms is not None
    assert info.query_ms > 0
    assert {**vars(info), "created": None, "query_ms": None} == {
        "store": str(clustered.path),
        "engine": "embedded",
        "images": 10,
        "paths": 11,
        "failures": 1,
        "dim": 12,
        "embedder": "tiny",
        "weights": None,
        "precision": None,
        "runtime": None,
        "index": "exact",
        "recall": 1.0,
        "index_bytes": 0,
        "query_ms": None,
        "clusters": 3,
        "drift": None,
        "recluster": False,
        "bytes": n_bytes,
        "created": None,
        "paths_sampled": 10,
        "paths_missing": 0,
    }


def test_drift_is_how_much_farther_new_images_lie(clustered: Store, tmp_path: Path) -> None:
    for seed in range(50, 55):
        paint(tmp_path / f"new/{seed}.png", seed)
    clustered.add(tmp_path / "new")
    nearest = distances_to_centroids(clustered).min(axis=1)
    assert clustered.info().drift == pytest.approx(nearest[10:].mean() / nearest[:10].mean() - 1, rel=1e-4)


def test_a_new_clustering_ends_the_drift(clustered: Store, tmp_path: Path) -> None:
    clustered.add(paint(tmp_path / "new.png", 99))
    clustered.cluster(3, restarts=2)
    assert clustered.info().drift is None


# Several at once, and damage


@pytest.mark.parametrize(
    "write",
    [
        lambda store, folder: store.add(folder),
        lambda store, folder: store.sync(folder),
        lambda store, folder: store.remove(0),
        lambda store, folder: store.cluster(2),
        lambda store, folder: store.retry_failures(),
    ],
    ids=["add", "sync", "remove", "cluster", "retry_failures"],
)
def test_a_second_writer_is_refused(
    write: Callable[[Store, Path], object], filled: Store, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LOCK_TIMEOUT_SECONDS", 0.05)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with filelock.FileLock(filled.path / "lock"):
            held.set()
            done.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    try:
        with pytest.raises(StoreBusy) as busy:
            write(filled, pictures)
    finally:
        done.set()
        other.join()
    assert str(busy.value) == (
        f"another process is writing to the store {filled.path}; nothing was done: try again when it has ended"
    )


def test_a_writer_waits_for_another_that_ends_soon(filled: Store, pictures: Path) -> None:
    lock = filelock.FileLock(filled.path / "lock", thread_local=False)
    lock.acquire()
    timer = threading.Timer(0.2, lock.release)
    timer.start()
    report = filled.add(pictures)
    timer.join()
    assert report.known == 10


def test_a_reader_is_not_kept_waiting_by_a_writer(filled: Store) -> None:
    with filelock.FileLock(filled.path / "lock"):
        assert len(filled.similar(0)) == 10


def test_a_reader_during_a_write_sees_the_state_before(filled: Store, pictures: Path) -> None:
    before = filled.similar(0, k=100)
    new = paint(pictures / "new.png", 99)
    writer = Store.open(filled.path)
    seen = []
    insert = Images.insert

    def look(images: Images, *values: object) -> None:
        insert(images, *values)  # type: ignore[arg-type]
        seen.append((filled.similar(0, k=100), filled.info().images))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Images, "insert", look)
        writer.add(new)
    writer.close()
    assert (seen, filled.info().images) == ([(before, 10)], 11)


def test_two_open_stores_each_see_what_the_other_added(filled: Store, pictures: Path) -> None:
    with Store.open(filled.path) as other:
        other.add(paint(pictures / "a.png", 50))
        filled.add(paint(pictures / "b.png", 51))
        assert (filled.info().images, other.info().images) == (12, 12)


def test_rows_that_an_interrupted_add_left_are_not_found_and_then_overwritten(filled: Store, pictures: Path) -> None:
    with open(filled.path / "vectors.f16", "ab") as file:
        file.write(np.ones(30, "<f2").tobytes())  # two and a half rows
    found = sorted(ids(filled, 0))
    new = paint_and_add(filled, pictures)
    assert (found, ids(filled, new, k=1), (filled.path / "vectors.f16").stat().st_size) == (
        *(list(range(10)), [10]),
        11 * 24,
    )


@pytest.mark.parametrize("ask", [lambda s: s.similar(0), Store.info, lambda s: s.cluster(2), lambda s: s.remove(0)])
def test_a_catalog_that_counts_more_rows_than_the_file_is_damage(ask: Callable[[Store], object], filled: Store) -> None:
    os.truncate(filled.path / "vectors.f16", 9 * 24)
    with pytest.raises(StoreDamaged, match="holds 9 of the 10 vectors that the catalog counts") as damaged:
        ask(filled)
    assert damaged.value.exit_code == 3


def test_damage_is_not_made_worse_by_an_add(filled: Store, pictures: Path) -> None:
    os.truncate(filled.path / "vectors.f16", 9 * 24)
    paint(pictures / "new.png", 99)
    with pytest.raises(StoreDamaged):
        filled.add(pictures)
    assert (filled.session.catalog.images.row_count(), (filled.path / "vectors.f16").stat().st_size) == (10, 9 * 24)


def test_a_failure_is_told_by_its_path_and_reason(open_store: OpenStore, pictures: Path) -> None:
    (pictures / "a.png").write_bytes(b"")
    with open_store() as store:
        store.add(pictures)
        assert store.failures() == [Failure(str(pictures / "a.png"), "the file is empty")]


# What a stranger found


def test_a_sync_keeps_what_it_may_not_look_at(filled: Store, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = os.stat

    def refuse(path: object, *arguments: object, **options: object) -> os.stat_result:
        if isinstance(path, bytes) and path.endswith(b"deep/7.png"):
            raise PermissionError(13, "Permission denied")
        return stat(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", refuse)
    assert filled.sync(pictures).forgotten == 0
    assert filled.info().images == 10


@pytest.mark.parametrize("becomes", ["text", "a folder"])
def test_a_sync_forgets_a_picture_that_has_become_something_else(
    open_store: OpenStore, pictures: Path, becomes: str
) -> None:
    os.rename(pictures / "0.png", pictures / "no_suffix")
    with open_store() as store:
        store.add(pictures)
        (pictures / "no_suffix").unlink()
        if becomes == "text":
            (pictures / "no_suffix").write_text("just a note by now")
        else:
            (pictures / "no_suffix").mkdir()
        assert (store.sync(pictures).forgotten, store.info().images) == (1, 9)


def test_a_store_that_may_only_be_read_answers(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = filled.similar(3, k=4)
    filled.close()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    connect, opened = sqlite3.connect, []
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **o: opened.append(str(a[0])) or connect(*a, **o))
    with Store.open(filled.path) as store:
        assert store.similar(3, k=4) == expected
    assert {"immutable=1" in name or "mode=ro" in name for name in opened} == {True}


def test_a_disk_without_room_for_shared_memory_answers_and_is_backed_up(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = filled.similar(3, k=4)
    filled.close()
    execute, alone = connection.Connection.execute, set()

    def without_room(db: sqlite3.Connection, query: str, *values: object) -> sqlite3.Cursor:
        if query == "pragma user_version" and db not in alone:
            raise VecstoreError("disk I/O error")
        if "exclusive" in query:
            alone.add(db)
        return execute(db, query, *values)

    monkeypatch.setattr(connection.Connection, "execute", without_room)
    with Store.open(filled.path) as store:
        assert (store.similar(3, k=4), store.check(), store.backup(tmp_path / "copy").images) == (expected, [], 10)
        monkeypatch.setattr("vecstore.storage.catalog.connection.BUSY_SECONDS", 0.05)
        with pytest.raises(VecstoreError, match="database is locked"):
            Store.open(filled.path)


def test_a_store_that_cannot_be_written_to_says_so(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.raises(VecstoreError, match=r"cannot be written to: Permission denied$") as raised:
        filled.remove(1)
    assert raised.value.exit_code == 1


@pytest.mark.parametrize(
    ("written", "recorded"), [(" tiny ", "tiny"), ("tiny*1", "tiny"), ("tiny * 2+hsv*1", "tiny*2+hsv")]
)
def test_one_embedder_has_one_name(open_store: OpenStore, pictures: Path, written: str, recorded: str) -> None:
    with open_store(embedder=written) as store:
        store.add(pictures)
        assert store.info().embedder == recorded
    open_store(embedder=written).close()  # is not refused


def test_an_embedder_without_a_name_is_wrong_use(open_store: OpenStore) -> None:
    with pytest.raises(BadInput):
        open_store(embedder="")


def test_a_store_without_images_says_so(filled: Store, pictures: Path) -> None:
    filled.remove(pictures)
    with pytest.raises(NotFound, match="has no images"):
        filled.similar(0)
    with pytest.raises(BadInput, match="the store has no images to cluster"):
        filled.cluster(2)


def test_an_id_may_be_numpy_s(filled: Store) -> None:
    assert filled.similar(np.int64(3), k=1)[0].id == 3


@pytest.mark.parametrize("ref", [True, 2.5, None])
def test_what_can_be_no_image_is_wrong_use(filled: Store, ref: object) -> None:
    with pytest.raises(BadInput, match="is not an image"):
        filled.similar(ref)  # type: ignore[arg-type]
