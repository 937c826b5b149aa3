"""Relocating: what moved takes its paths along, what did not stays, and an undo puts all of it back."""

import os
import shutil
import sqlite3
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import TinyEmbedder, paint
from vecstore.errors import BadInput, NotFound, VecstoreError
from vecstore.ingest import moved_root, relocate
from vecstore.ingest.moved_root import roots_of_move
from vecstore.results import MovedRoot
from vecstore.sources import archives
from vecstore.store import Store

OpenStore = Callable[..., Store]


@pytest.fixture
def store(open_store: OpenStore, pictures: Path) -> Store:
    made = open_store()
    made.add(pictures)
    return made


def state(store: Store) -> tuple[object, ...]:
    """Which path leads where, and which failed in which state."""
    failures = store.session.catalog.failures
    return sorted(store.session.catalog.paths.all()), failures.all(), failures.under(b"/")


def names(store: Store) -> dict[str, int]:
    """The row of each path, by its path relative to the folder of the test."""
    return {
        os.path.relpath(os.fsdecode(path), store.path.parent): row for row, path in store.session.catalog.paths.all()
    }


def pack(archive: Path, *pictures: Path, **more: bytes) -> Path:
    with zipfile.ZipFile(archive, "w") as packed:
        for picture in pictures:
            packed.write(picture, f"in/{picture.name}")
        for name, content in more.items():
            packed.writestr(f"in/{name}.png", content)
    return archive


def moved(pictures: Path, name: str = "moved") -> Path:
    return pictures.rename(pictures.with_name(name))


def test_a_moved_folder_takes_its_paths_along_and_nothing_is_read(
    store: Store, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(store)
    new = moved(pictures)
    monkeypatch.setattr(archives, "read", lambda file: pytest.fail(f"{file} is read"))
    report = store.relocate(pictures, new)
    assert (report.relocated, report.missing, report.left, report.failures, report.merged) == (10, 0, 0, 0, 0)
    assert names(store) == {path.replace("pictures/", "moved/"): row for path, row in before.items()}


def test_after_it_a_sync_of_the_new_place_has_nothing_to_do(store: Store, pictures: Path) -> None:
    new = moved(pictures)
    store.relocate(pictures, new)
    report = store.sync(new)
    assert (report.known, report.added, report.updated, report.forgotten, TinyEmbedder.embedded_count) == (
        10,
        0,
        0,
        0,
        10,
    )
    assert (store.check(), report.moved) == ([], None)


def test_files_of_other_times_are_compared_by_content(store: Store, pictures: Path) -> None:
    new = moved(pictures)
    for file in new.rglob("*.png"):
        os.utime(file, (1, 1))
    other = (new / "1.png").read_bytes()
    (new / "0.png").write_bytes(other[:-1] + bytes([other[-1] ^ 1]))
    report = store.relocate(pictures, new)
    assert (report.relocated, report.missing, report.missing_paths) == (9, 1, (str(pictures / "0.png"),))
    assert (names(store)["pictures/0.png"], "moved/0.png" in names(store)) == (0, False)
    assert store.add(new).known == 9


def test_other_content_of_the_same_size_stays_where_it_was(store: Store, pictures: Path) -> None:
    new = moved(pictures)
    content = bytearray((new / "0.png").read_bytes())
    content[-1] ^= 1
    (new / "0.png").write_bytes(content)
    os.utime(new / "0.png", (1, 1))
    assert store.relocate(pictures, new).missing_paths == (str(pictures / "0.png"),)


def test_what_is_still_at_the_old_place_is_left(store: Store, pictures: Path) -> None:
    new = Path(shutil.copytree(pictures, pictures.with_name("moved")))
    shutil.rmtree(pictures / "deep")
    os.utime(pictures / "1.png", (1, 1))  # the same content, touched
    report = store.relocate(pictures, new)
    assert (report.relocated, report.left, report.missing) == (5, 5, 0)
    assert sorted(names(store)) == [f"moved/deep/{n}.png" for n in range(5, 10)] + [
        f"pictures/{n}.png" for n in range(5)
    ]


def test_what_became_another_picture_at_the_old_place_is_not_left(store: Store, pictures: Path) -> None:
    new = Path(shutil.copytree(pictures, pictures.with_name("moved")))
    paint(pictures / "0.png", 77)
    os.utime(pictures / "0.png", (1, 1))
    assert (store.relocate(pictures, new).relocated, names(store).get("moved/0.png")) == (1, 0)


def test_a_path_that_is_known_at_the_new_place_only_loses_the_old_one(store: Store, pictures: Path) -> None:
    new = moved(pictures)
    store.add(new)
    report = store.relocate(pictures, new)
    assert (report.relocated, report.merged, sorted(names(store))[0], len(names(store))) == (10, 10, "moved/0.png", 10)


def test_the_new_place_is_believed_where_it_was_looked_at_since(store: Store, pictures: Path) -> None:
    stat = (pictures / "0.png").stat()
    new = moved(pictures)
    paint(new / "0.png", 50, size=(64, 48))
    store.add(new)
    with closing(sqlite3.connect(store.path / "catalog.sqlite")) as db:  # as if it had the very size and time of before
        (new / "0.png").write_bytes(b"x" * stat.st_size)
        os.utime(new / "0.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        db.execute(
            "update paths set size = ?, mtime_ns = ? where path = ?",
            (stat.st_size, stat.st_mtime_ns, os.fsencode(new / "0.png")),
        )
        db.commit()
    assert store.relocate(pictures, new).missing_paths == (str(pictures / "0.png"),)


def test_failures_go_along_with_their_state(store: Store, pictures: Path) -> None:
    (pictures / "broken.png").write_bytes(b"broken")
    store.add(pictures)
    new = moved(pictures)
    assert store.relocate(pictures, new).failures == 1
    (failure,) = store.failures()
    assert (failure.path, store.session.catalog.failures.under(os.fsencode(pictures))) == (str(new / "broken.png"), [])
    assert store.session.catalog.failures.under(os.fsencode(new))[0].size == 6


def test_archives_go_along_and_are_not_opened_again(
    store: Store, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(pictures / "a.zip", paint(pictures.parent / "x.png", 20), paint(pictures.parent / "y.png", 21), bad=b"bad")
    store.add(pictures)
    new = moved(pictures)
    monkeypatch.setattr(archives, "members", lambda archive: pytest.fail(f"{archive} is opened"))
    report = store.relocate(pictures, new)
    assert (report.relocated, report.failures, store.sync(new).known) == (12, 1, 12)
    store.undo()
    assert "pictures/a.zip!/in/x.png" in names(store)


def test_members_of_a_touched_archive_are_compared_by_content(
    store: Store, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(pictures / "a.zip", *sorted(pictures.glob("*.png"))[:3], paint(pictures.parent / "x.png", 20))
    store.add(archive)
    new = archive.rename(pictures.parent / "b.zip")
    pack(new, *sorted(pictures.glob("*.png"))[1:3], pictures.parent / "x.png")
    os.utime(new, (1, 1))
    opened, members = [], archives.members
    monkeypatch.setattr(archives, "members", lambda archive: opened.append(archive) or members(archive))
    report = store.relocate(archive, new)
    assert (report.relocated, report.missing_paths) == (3, (f"{archive}!/in/0.png",))
    assert (len(opened), names(store)["b.zip!/in/x.png"]) == (1, 10)


@pytest.mark.parametrize("to", ["photos", "b.zip", "folder", "folder/a.zip"])
def test_an_archive_may_be_renamed_unpacked_or_put_into_a_folder(
    to: str, open_store: OpenStore, tmp_path: Path
) -> None:
    archive = pack(tmp_path / "a.zip", paint(tmp_path / "x.png", 1), paint(tmp_path / "y.png", 2))
    store = open_store()
    store.add(archive)
    if to == "photos":
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(tmp_path / to)
        archive.unlink()
    else:
        (tmp_path / "folder").mkdir()
        archive.rename(tmp_path / {"folder": "folder/a.zip"}.get(to, to))
    assert store.relocate(archive, tmp_path / to).relocated == 2
    inside = {"photos": "photos/in", "b.zip": "b.zip!/in"}.get(to, "folder/a.zip!/in")
    assert names(store) == {f"{inside}/x.png": 0, f"{inside}/y.png": 1}


def test_a_folder_may_have_been_packed(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
    store.add(paint(tmp_path / "photos/in/x.png", 1).parents[1])
    archive = pack(tmp_path / "a.zip", tmp_path / "photos/in/x.png")
    shutil.rmtree(tmp_path / "photos")
    assert (store.relocate(tmp_path / "photos", archive).relocated, names(store)) == (1, {"a.zip!/in/x.png": 0})


@pytest.mark.parametrize("to", ["new.png", "folder", "folder/new.png"])
def test_a_single_file_moves(to: str, open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
    store.add(paint(tmp_path / "old.png", 1))
    (tmp_path / "folder").mkdir()
    shutil.move(tmp_path / "old.png", tmp_path / to)
    store.relocate(tmp_path / "old.png", tmp_path / to)
    assert list(names(store)) == ["folder/old.png" if to == "folder" else to]


def test_a_folder_may_have_moved_into_itself(store: Store, pictures: Path) -> None:
    before = state(store)
    aside = moved(pictures)
    shutil.copytree(aside, pictures / "deep")
    store.relocate(pictures, pictures / "deep")
    after = state(store)
    assert sorted(names(store))[-1] == "pictures/deep/deep/9.png"
    store.undo()
    undone = state(store)
    store.undo(redo=True)
    assert (undone == before, state(store) == after, len(names(store)), store.check()) == (True, True, 10, [])


def test_a_folder_may_have_moved_up(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
    store.add(paint(tmp_path / "a/b/x.png", 1), paint(tmp_path / "a/b/b/x.png", 2))
    before = names(store)
    shutil.move(tmp_path / "a/b", tmp_path / "aside")
    shutil.rmtree(tmp_path / "a")
    shutil.move(tmp_path / "aside", tmp_path / "a")
    store.relocate(tmp_path / "a/b", tmp_path / "a")
    assert names(store) == {"a/x.png": before["a/b/x.png"], "a/b/x.png": before["a/b/b/x.png"]}
    assert (store.sync(tmp_path / "a").known, store.check(), TinyEmbedder.embedded_count) == (2, [], 2)


def test_names_that_are_no_utf8_move(open_store: OpenStore, tmp_path: Path) -> None:
    old, new = os.fsencode(tmp_path) + b"/\xe9t\xe9", os.fsencode(tmp_path) + b"/\xff new"
    os.mkdir(old)
    os.rename(paint(tmp_path / "x.png", 1), old + b"/\xe4.png")
    store = open_store()
    store.add(old)
    os.rename(old, new)
    store.relocate(old + b"/", new)
    assert [path for _, path in store.session.catalog.paths.all()] == [new + b"/\xe4.png"]


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_names_in_another_normalisation_are_found(typed: str, open_store: OpenStore, tmp_path: Path) -> None:
    stored, written = unicodedata.normalize("NFD", "été"), unicodedata.normalize("NFC", "été")
    store = open_store()
    store.add(paint(tmp_path / stored / "vue é.png".replace("é", stored[:2]), 1).parent)
    os.rename(tmp_path / stored / f"vue {stored[:2]}.png", tmp_path / stored / f"vue {written[:1]}.png")
    os.rename(tmp_path / stored, tmp_path / f"{written} 2")
    store.relocate(tmp_path / unicodedata.normalize(typed, "été"), tmp_path / unicodedata.normalize(typed, "été 2"))
    assert list(names(store)) == [f"{written} 2/vue {written[:1]}.png"]


def test_a_folder_whose_name_only_changed_its_normalisation_moves(open_store: OpenStore, tmp_path: Path) -> None:
    nfd, nfc = (unicodedata.normalize(form, "été") for form in ("NFD", "NFC"))
    store = open_store()
    store.add(paint(tmp_path / nfd / "x.png", 1).parent)
    os.rename(tmp_path / nfd, tmp_path / nfc)
    store.relocate(tmp_path / nfd, tmp_path / nfc)
    assert list(names(store)) == [f"{nfc}/x.png"]


def test_relative_paths_and_trailing_slashes_are_taken(
    store: Store, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(pictures)
    monkeypatch.chdir(pictures.parent)
    assert store.relocate("pictures/", "./moved//").relocated == 10


def test_a_link_to_the_new_place_leaves_all_as_it_is(store: Store, pictures: Path) -> None:
    pictures.symlink_to(moved(pictures))
    with pytest.raises(NotFound, match="10 are still at the old place"):
        store.relocate(pictures, pictures.with_name("moved"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_what_cannot_be_looked_at_is_left(store: Store, pictures: Path) -> None:
    new = Path(shutil.copytree(pictures, pictures.with_name("moved")))
    (pictures / "0.png").unlink()
    (pictures / "deep").chmod(0)
    report = store.relocate(pictures, new)
    (pictures / "deep").chmod(0o700)
    assert (report.relocated, report.left) == (1, 9)


def test_a_disk_that_fails_leaves_its_paths(store: Store, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = Path(shutil.copytree(pictures, pictures.with_name("moved")))
    (pictures / "0.png").unlink()
    look = os.stat

    def fail(path: bytes, **options: bool) -> os.stat_result:
        if os.fsencode(path).startswith(os.fsencode(pictures / "deep")):
            raise OSError(5, "Input/output error")
        return look(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", fail)
        report = store.relocate(pictures, new)
    assert (report.relocated, report.left) == (1, 9)


# What is refused


def test_a_place_that_is_not_there_is_not_found(store: Store, pictures: Path) -> None:
    with pytest.raises(NotFound, match=f"nothing is at {pictures}2; name the place that {pictures} was moved to"):
        store.relocate(pictures, f"{pictures}2")


def test_a_place_that_the_store_does_not_know_is_not_found(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=f"nothing at or under {tmp_path}/other is in the store"):
        store.relocate(tmp_path / "other", tmp_path)


def test_the_same_place_is_wrong_use(store: Store, pictures: Path) -> None:
    with pytest.raises(BadInput, match="is the old and the new place"):
        store.relocate(pictures, f"{pictures}/")


@pytest.mark.parametrize("places", [("https://example.org/a", "pictures"), ("pictures", "s3://bucket/a")])
def test_addresses_are_wrong_use(places: tuple[str, str], store: Store) -> None:
    with pytest.raises(BadInput, match="is an address"):
        store.relocate(*places)


def test_where_nothing_is_the_same_nothing_changes_and_nothing_is_recorded(store: Store, pictures: Path) -> None:
    before = state(store)
    moved(pictures)
    paint(pictures.with_name("other") / "0.png", 60)
    with pytest.raises(NotFound, match="of 10 paths 0 are still at the old place, 10 are not at the new"):
        store.relocate(pictures, pictures.with_name("other"))
    assert (state(store) == before, [found.kind for found in store.operations()]) == (True, ["add"])


# One transaction, to be undone


@pytest.mark.parametrize("known", [False, True])
def test_it_is_undone_and_redone_with_its_failures(known: bool, store: Store, pictures: Path) -> None:
    pack(pictures / "a.zip", paint(pictures.parent / "x.png", 20), bad=b"bad")
    (pictures / "broken.png").write_bytes(b"broken")
    store.add(pictures)
    new = moved(pictures)
    if known:
        store.add(new)
        paint(new / "0.png", 30)
        store.add(new)
        (new / "broken.png").write_bytes(b"broken otherwise")
        store.add(new)
    before = state(store)
    store.relocate(pictures, new)
    after = state(store)
    assert (store.undo().kind, state(store)) == ("relocate", before)
    store.undo(redo=True)
    assert state(store) == after
    store.undo()
    store.undo(redo=True)
    store.undo()
    assert (state(store), store.check()) == (before, [])
    assert store.add(new).failed == 2


def test_a_dry_run_says_the_same_and_does_nothing(store: Store, pictures: Path) -> None:
    before = state(store)
    new = moved(pictures)
    (new / "0.png").unlink()
    expected = store.relocate(pictures, new, dry_run=True)
    assert (state(store) == before, len(store.operations())) == (True, 1)
    assert (store.relocate(pictures, new), len(expected.examples)) == (expected, relocate.EXAMPLES)


def test_an_error_in_the_middle_leaves_all_as_it_was(
    store: Store, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "broken.png").write_bytes(b"broken")
    store.add(pictures)
    before = state(store)
    new = moved(pictures)
    with monkeypatch.context() as patch:
        patch.setattr("vecstore.storage.catalog.relocation.MOVE_FAILURES", ("select nothing",))
        with pytest.raises(VecstoreError, match="nothing was changed"):
            store.relocate(pictures, new)
    assert (state(store) == before, [found.kind for found in store.operations()]) == (True, ["add"])
    assert (store.relocate(pictures, new).relocated, store.undo().restored, state(store) == before) == (10, 10, True)


# Saying so


def test_an_add_of_the_new_place_says_where_it_was(store: Store, pictures: Path) -> None:
    new = moved(pictures)
    assert store.add(new).moved == MovedRoot(str(pictures), str(new), 10)
    assert store.add(new).moved is None


def test_a_sync_of_the_new_place_says_so_too_and_forgets_nothing(store: Store, pictures: Path) -> None:
    report = store.sync(moved(pictures))
    assert (report.moved and report.moved.old, report.forgotten) == (str(pictures), 0)


def test_a_sync_that_forgets_the_old_place_says_nothing(store: Store, pictures: Path) -> None:
    moved(pictures)
    report = store.sync(pictures.parent)
    assert (report.forgotten, report.moved) == (10, None)


def test_copies_are_not_taken_for_a_move(store: Store, pictures: Path) -> None:
    assert store.add(shutil.copytree(pictures, pictures.with_name("copy"))).moved is None


def test_an_archive_that_was_renamed_is_named_itself(open_store: OpenStore, tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", paint(tmp_path / "x.png", 1))
    store = open_store()
    store.add(archive)
    new = archive.rename(tmp_path / "b.zip")
    assert store.add(new).moved == MovedRoot(str(archive), str(new), 1)


def test_the_place_of_most_is_named_and_only_so_many_are_looked_for(
    store: Store, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = moved(pictures)
    (new / "0.png").rename(new / "renamed.png")
    (new / "deep").rename(new / "other")
    assert store.add(new).moved == MovedRoot(f"{pictures}/deep", f"{new}/other", 5)
    store.undo()
    monkeypatch.setattr(moved_root, "LOOKED_FOR", 3)
    found = store.add(new).moved
    assert found is not None
    assert found.paths <= 3


@pytest.mark.parametrize(
    ("old", "new", "roots"),
    [
        (b"/m1/a/x.jpg", b"/m2/a/x.jpg", (b"/m1", b"/m2")),
        (b"/m1/a/x.jpg", b"/m1/b/x.jpg", (b"/m1/a", b"/m1/b")),
        (b"/a/x.jpg", b"/b/a/x.jpg", (b"/a", b"/b/a")),
        (b"/b/a/x.jpg", b"/a/x.jpg", (b"/b/a", b"/a")),
        (b"/a/x.jpg", b"/a/y.jpg", None),
        (b"/x.jpg", b"/a/x.jpg", None),
        (b"/a.zip!/x.jpg", b"/b.zip!/x.jpg", (b"/a.zip", b"/b.zip")),
    ],
)
def test_the_roots_of_a_move_are_above_what_is_the_same(
    old: bytes, new: bytes, roots: tuple[bytes, bytes] | None
) -> None:
    assert roots_of_move(old, new) == roots


def test_info_says_how_many_of_a_sample_are_gone(store: Store, pictures: Path) -> None:
    shutil.rmtree(pictures / "deep")
    found = store.info()
    assert (found.paths_sampled, found.paths_missing) == (10, 5)


def test_a_store_without_images_misses_none(store: Store) -> None:
    store.remove(*range(10))
    assert (store.info().paths_sampled, store.info().paths_missing) == (0, 0)


def test_a_sample_is_spread_over_the_store_and_bounded(store: Store) -> None:
    found = {Path(os.fsdecode(path)).name for path in store.session.catalog.paths.sample(4)}
    assert found == {"0.png", "2.png", "5.png", "7.png"}


def test_vectors_that_came_without_a_file_and_members_that_are_there_are_not_missing(
    open_store: OpenStore, tmp_path: Path
) -> None:
    vectors = np.random.default_rng(0).random((2, 12), np.float32)
    np.save(tmp_path / "v.npy", vectors)
    (tmp_path / "p.txt").write_text("/nowhere/a.png\nhttps://example.org/b.png\n")
    store = open_store()
    store.add(pack(tmp_path / "a.zip", paint(tmp_path / "x.png", 1)))
    store.import_vectors(tmp_path / "v.npy", tmp_path / "p.txt")
    found = store.info()
    assert (found.paths_sampled, found.paths_missing, store.count_without_file([0, 1, 2])) == (1, 0, 0)
    (tmp_path / "a.zip").unlink()
    assert (store.info().paths_missing, store.count_without_file([0, 1, 2])) == (1, 1)


def test_an_image_that_has_a_file_left_is_not_without_one(store: Store, pictures: Path) -> None:
    new = Path(shutil.copytree(pictures, pictures.with_name("copy")))
    store.add(new)
    shutil.rmtree(pictures)
    assert store.count_without_file(range(10)) == 0


# Whatever moves

NAMES = ("a", "b", "deep/a", "deep/b", "deep/deeper/a", "other/a")
CONTENTS = st.integers(0, 5)
TREES = st.dictionaries(st.sampled_from(NAMES), CONTENTS, min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(
    old=TREES,
    changes=st.dictionaries(
        st.sampled_from(NAMES), CONTENTS | st.sampled_from(["gone", "stays", "touched"]), max_size=4
    ),
    known=st.booleans(),
)
def test_after_it_and_a_sync_the_new_place_is_as_if_freshly_added(
    old: dict[str, int], changes: dict[str, int | str], known: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clock = iter(range(1_000, 2_000))

        def write(path: Path, content: int) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"broken") if content == 5 else paint(path, content)
            os.utime(path, (at := next(clock), at))

        for place, content in old.items():
            write(folder / f"old/{place}.png", content)
        with Store.open(folder / "store", embedder="hsv", create=True) as store:
            store.add(paint(folder / "first.png", 99), folder / "old")
            shutil.copytree(folder / "old", folder / "new")
            for place, change in changes.items():
                file = folder / f"new/{place}.png"
                if isinstance(change, int):
                    write(file, change)
                elif change == "touched" and file.exists():
                    os.utime(file, (at := next(clock), at))
                elif change == "gone":
                    file.unlink(missing_ok=True)
            for file in (folder / "old").rglob("*.png"):
                if changes.get(str(file.relative_to(folder / "old").with_suffix(""))) != "stays":
                    file.unlink()
            paint(folder / "new/last.png", 98)
            if known:
                store.add(folder / "new")
            before = state(store)
            with_moves = True
            try:
                store.relocate(folder / "old", folder / "new")
            except NotFound:
                with_moves = False
            if with_moves:
                after = state(store)
                store.undo()
                assert state(store) == before
                store.undo(redo=True)
                assert state(store) == after
            store.sync(folder / "new")
            with Store.open(folder / "fresh", embedder="hsv", create=True) as fresh:
                fresh.add(folder / "new")
                assert below(store, folder / "new") == below(fresh, folder / "new")
            assert store.check() == []


def below(store: Store, folder: Path) -> tuple[dict[bytes, bytes], list[object]]:
    """The content and state of each path below a folder, and each failure."""
    catalog, root = store.session.catalog, os.fsencode(folder)
    recorded = {known.stamp: known.sha256 for known in catalog.paths.recorded_under(root)}
    return recorded, catalog.failures.under(root)  # type: ignore[return-value]
