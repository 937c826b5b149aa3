"""Backup, export and import: what is taken out of a store is whole, and comes back as it was."""

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from tests.conftest import paint
from vecstore.errors import BadInput, NotFound, StoreBusy, StoreDamaged, VecstoreError, WrongEmbedder
from vecstore.maintenance import backup
from vecstore.store import Store

OpenStore = Callable[..., Store]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(open_store: OpenStore, pictures: Path) -> Store:
    """The ten pictures and a copy of one, row = number, 3 removed, in three clusters with a name."""
    made = open_store()
    (pictures / "copy.png").write_bytes((pictures / "0.png").read_bytes())
    made.add(pictures)
    made.remove(3)
    made.cluster(3, restarts=2)
    made.name_cluster(1, "blue")
    return made


def answers(store: Store) -> list[object]:
    """All that a store answers of its images, by path."""
    found: list[object] = [(c.cluster, c.name, c.size, c.cohesion, c.drift) for c in store.clusters()]
    for row in store.session.catalog.images.alive_rows():
        near = store.similar(row, k=20)
        found.append([(hit.path, hit.score, hit.cluster) for hit in near])
    return found


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


# Backup


def test_a_backup_is_a_store_that_answers_the_same(store: Store, tmp_path: Path) -> None:
    store.compact()
    report = store.backup(tmp_path / "copy")
    assert (report.images, report.vectors, report.folder) == (9, 9, str(tmp_path / "copy"))
    with Store.open(tmp_path / "copy") as copy:
        assert (answers(copy), copy.check(), copy.info().created) == (answers(store), [], store.info().created)


def test_a_backup_of_a_store_that_grows_is_of_one_moment(store: Store, tmp_path: Path) -> None:
    for seed in range(20, 60):
        paint(tmp_path / f"more/{seed}.png", seed)
    grown = threading.Event()

    def grow() -> None:
        with Store.open(store.path) as writer:
            for file in sorted((tmp_path / "more").iterdir()):
                writer.add(file)
        grown.set()

    writer = threading.Thread(target=grow)
    writer.start()
    copies = []
    while not grown.is_set() or not copies:
        store.backup(tmp_path / f"copy {len(copies)}")
        copies.append(tmp_path / f"copy {len(copies)}")
    writer.join()
    for folder in copies:
        with Store.open(folder) as copy:
            assert copy.check() == []


def test_a_backup_overwrites_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(BadInput, match="already exists, and a backup overwrites nothing"):
        store.backup(tmp_path / "there")
    assert (tmp_path / "there").read_text() == "precious"


@pytest.mark.parametrize("target", ["nowhere/copy", "store/copy"])
def test_a_backup_goes_where_a_folder_is_and_not_into_the_store(target: str, store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        store.backup(tmp_path / target)
    assert not (tmp_path / target).exists()


def test_damage_is_not_backed_up(store: Store, tmp_path: Path) -> None:
    flip(store.path / "vectors.f16", 30)
    with pytest.raises(StoreDamaged, match=r"the vector of @1 is damaged .*so no backup was made"):
        store.backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / ".copy.partial").exists()


def test_a_full_disk_leaves_no_backup(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "copy_with_holes", fail)
    with pytest.raises(VecstoreError, match=r"cannot be made: No space left on device; nothing was left behind"):
        store.backup(tmp_path / "copy")
    assert [name for name in os.listdir(tmp_path) if "copy" in name] == []


def test_a_copy_of_the_catalog_that_the_disk_spoils_is_no_backup(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def spoiled(path: Path) -> sqlite3.Connection:
        Path(path).write_bytes(b"not what SQLite wrote" * 1000)
        return connect(path)

    monkeypatch.setattr(sqlite3, "connect", spoiled)
    with pytest.raises(
        VecstoreError, match=r"cannot be made: its catalog cannot be written \(.*\); nothing was left behind"
    ):
        store.backup(tmp_path / "copy")
    assert [name for name in os.listdir(tmp_path) if "copy" in name] == []


def test_what_a_killed_backup_left_is_used_up_by_the_next(store: Store, tmp_path: Path) -> None:
    (tmp_path / ".copy.partial").mkdir()
    (tmp_path / ".copy.partial/vectors.f16").write_bytes(b"half")
    store.backup(tmp_path / "copy")
    assert (sorted(os.listdir(tmp_path / "copy")), (tmp_path / ".copy.partial").exists()) == (
        ["catalog.sqlite", "lock", "vectors.f16"],
        False,
    )


def test_an_index_is_copied_with_the_store_or_left_out(store: Store, tmp_path: Path) -> None:
    store.index(kind="rabitq")
    store.backup(tmp_path / "with")
    store.backup(tmp_path / "without", index=False)
    assert [(tmp_path / name / "index.faiss").exists() for name in ("with", "without")] == [True, False]


def test_two_backups_to_one_place_do_not_mix(store: Store, tmp_path: Path) -> None:
    import filelock

    (tmp_path / ".copy.partial").mkdir()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with filelock.FileLock(tmp_path / ".copy.partial/lock"):
            held.set()
            done.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    with pytest.raises(StoreBusy, match="another process is making the backup"):
        store.backup(tmp_path / "copy")
    done.set()
    other.join()


# Export and import


def test_parquet_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    report = store.export(tmp_path / "all.parquet")
    assert (report.images, report.rows) == (9, 10)
    with Store.open(tmp_path / "other", create=True) as other:
        assert other.import_vectors(tmp_path / "all.parquet").embedded == 9
        np.testing.assert_array_equal(other.session.vectors(), np.delete(store.session.vectors(), 3, axis=0))
        assert (answers(other), other.check(), other.info().embedder) == (answers(store), [], "tiny")
        assert other.add(tmp_path / "pictures").embedded == 1  # the one that had been removed


def test_npy_comes_back_bit_for_bit(store: Store, tmp_path: Path) -> None:
    report = store.export(tmp_path / "all.npy")
    assert report.paths == str(tmp_path / "all.txt")
    with Store.open(tmp_path / "other", embedder="tiny", create=True) as other:
        other.import_vectors(tmp_path / "all.npy", tmp_path / "all.txt")
        np.testing.assert_array_equal(other.session.vectors(), np.delete(store.session.vectors(), 3, axis=0))
        assert sorted(p for _, p in other.session.catalog.paths.all()) == sorted(
            p for _, p in store.session.catalog.paths.all()
        )


def test_other_programs_can_read_the_columns(store: Store, tmp_path: Path) -> None:
    store.export(tmp_path / "all.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "all.parquet")
    assert table.column("path").to_pylist()[:2] == [str(tmp_path / "pictures" / name) for name in ("0.png", "copy.png")]
    assert np.asarray(table.column("vector").to_pylist()[0], np.float16).tolist() == store.session.vectors()[0].tolist()
    assert [*{*table.column("cluster_name").to_pylist()}] != [None]


def test_names_that_are_no_text_survive_an_export(open_store: OpenStore, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path / "pictures") + b"/\xff\n.png"
    os.rename(paint(tmp_path / "pictures/a.png", 0), name)
    store = open_store()
    store.add(tmp_path / "pictures")
    for file in ("all.parquet", "all.npy"):
        store.export(tmp_path / file)
        with Store.open(tmp_path / f"of {file}", embedder="tiny", create=True) as other:
            listed = tmp_path / "all.txt" if file == "all.npy" else None
            other.import_vectors(tmp_path / file, listed)
            assert [path for _, path in other.session.catalog.paths.all()] == [name]


def test_an_export_of_another_embedder_is_refused(store: Store, tmp_path: Path) -> None:
    store.export(tmp_path / "all.parquet")
    with Store.open(tmp_path / "other", embedder="hsv", create=True) as other:
        with pytest.raises(WrongEmbedder):
            other.import_vectors(tmp_path / "all.parquet")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", ["all.parquet", "all.npy"])
def test_an_export_overwrites_nothing_and_leaves_nothing_half_done(
    name: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = set(os.listdir(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(VecstoreError, match="No space left on device"):
            store.export(tmp_path / name)
    assert set(os.listdir(tmp_path)) == before
    store.export(tmp_path / name)
    with pytest.raises(BadInput, match="already exists"):
        store.export(tmp_path / name)


def test_damage_is_not_exported(store: Store, tmp_path: Path) -> None:
    flip(store.path / "vectors.f16", 30)
    with pytest.raises(StoreDamaged, match="@1"):
        store.export(tmp_path / "all.parquet")
    assert not (tmp_path / "all.parquet").exists()


def test_an_export_that_was_tampered_with_is_refused_and_nothing_imported(store: Store, tmp_path: Path) -> None:
    store.export(tmp_path / "all.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "all.parquet")
    column = table.schema.get_field_index("path")
    pyarrow.parquet.write_table(
        table.set_column(column, "path", [["relative.png"] * len(table)]), tmp_path / "bad.parquet"
    )
    with Store.open(tmp_path / "other", create=True) as other, pytest.raises(BadInput, match="is a damaged export"):
        other.import_vectors(tmp_path / "bad.parquet")
    assert not (tmp_path / "other").exists()


def test_an_empty_store_has_nothing_to_export(store: Store, tmp_path: Path) -> None:
    store.remove(*store.session.catalog.images.alive_rows())
    with pytest.raises(NotFound, match="no images to export"):
        store.export(tmp_path / "all.parquet")


# Selections and pinned images


def by_hand(store: Store) -> tuple[object, ...]:
    """What people decided, by path."""
    selections = {found.name: [image.path for image in store.selected(found.name)] for found in store.selections()}
    return selections, [(pin.path, pin.cluster) for pin in store.pins()]


@pytest.fixture
def decided(store: Store) -> Store:
    """The same store with two selections, one of them empty, and a moved image."""
    store.select("holiday", 0, 5)
    store.select("empty", 1)
    store.select("empty", 1, remove=True)
    store.move(7, to=(store.which(7)[0].cluster + 1) % 3)
    return store


def test_a_backup_and_a_migrated_store_have_what_people_decided(decided: Store, tmp_path: Path) -> None:
    decided.backup(tmp_path / "backup")
    decided.migrate(tmp_path / "moved")
    for folder in ("backup", "moved"):
        with Store.open(tmp_path / folder) as copy:
            assert (by_hand(copy), copy.check()) == (by_hand(decided), [])


def test_an_import_brings_what_people_decided_and_is_undone_as_one(decided: Store, tmp_path: Path) -> None:
    decided.export(tmp_path / "all.parquet")
    with Store.open(tmp_path / "other", embedder="tiny", create=True) as other:
        other.import_vectors(tmp_path / "all.parquet")
        assert (by_hand(other), other.check()) == (by_hand(decided), [])
        other.undo()
        assert (other.selections(), other.info().images) == ([], 0)
        other.undo(redo=True)
        assert by_hand(other) == by_hand(decided)


def test_an_import_adds_to_the_selections_that_are_there(decided: Store, tmp_path: Path) -> None:
    decided.export(tmp_path / "all.parquet")
    decided.select("holiday", 5, remove=True)
    decided.select("holiday", 8)
    decided.import_vectors(tmp_path / "all.parquet")
    assert [image.id for image in decided.selected("holiday")] == [0, 5, 8]


def test_a_store_without_selections_exports_what_it_always_did(store: Store, tmp_path: Path) -> None:
    store.export(tmp_path / "all.parquet")
    names = pyarrow.parquet.read_schema(tmp_path / "all.parquet").names
    assert [name for name in names if name in ("selections", "pinned")] == []
