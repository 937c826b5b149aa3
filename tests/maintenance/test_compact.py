"""Compacting: removed images give their room back, and every other one keeps its id, whatever interrupts it."""

import os
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

from indexes import compressed
from indexes.ann import ExactIndex
from indexes.index_metadata import number_of_lists
from indexes.recall import MEASURED_QUERIES
from indexes.rows import sample_of
from tests.conftest import TinyEmbedder
from vecstore.errors import StoreBusy, VecstoreError
from vecstore.storage import vector_file
from vecstore.store import Store

OpenStore = Callable[..., Store]
ROW_BYTES = TinyEmbedder.spec.dim * 2
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(open_store: OpenStore, pictures: Path) -> Store:
    """The ten pictures, row = number, with 3, 4 and 8 removed."""
    made = open_store()
    made.add(pictures)
    made.remove(3, 4, 8)
    return made


@pytest.fixture(params=["in place", "by a copy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the room is given back: as this file system does it, or as where there are no holes in place."""
    if request.param == "by a copy":
        monkeypatch.setattr(vector_file, "punch_hole", lambda *_: False)
    return str(request.param)


def answers(store: Store) -> list[object]:
    return [store.similar(row, k=10) for row in store.session.catalog.images.alive_rows()]


def test_the_others_keep_their_ids_vectors_and_answers(way: str, store: Store) -> None:
    expected, before = answers(store), np.array(store.session.vectors())
    assert store.compact().images == 3
    before[[3, 4, 8]] = 0
    np.testing.assert_array_equal(store.session.vectors(), before)
    assert (answers(store), store.check()) == (expected, [])


def test_a_content_that_comes_back_is_a_new_image(way: str, store: Store, pictures: Path) -> None:
    store.compact()
    assert (store.add(pictures).embedded, store.similar(pictures / "3.png", k=1)[0].id) == (3, 10)
    assert (store.check(), store.session.catalog.images.removed_rows()) == ([], [3, 4, 8])


def test_room_is_given_back(way: str, open_store: OpenStore, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((3_000, 1024)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", rows)
    (tmp_path / "paths.txt").write_text("".join(f"/p/{i}.png\n" for i in range(3_000)))
    with Store.open(tmp_path / "large", create=True) as store:
        store.import_vectors(tmp_path / "vectors.npy", tmp_path / "paths.txt")
        expected = store.similar(0, k=3)
        store.remove(*range(500, 2_500))
        report = store.compact()
        freed = report.bytes_before - report.bytes_after
        # In whole blocks of the file system, and the catalog is smaller too.
        assert 2_000 * 2048 - 8192 <= freed
        assert (report.bytes_after, store.info().bytes) == (store.info().bytes, report.bytes_after)
        assert store.similar(0, k=1) == expected[:1]


@pytest.mark.parametrize("step", ["checkpoint_wal", "punch_holes", "vacuum"])
def test_a_compaction_that_is_killed_is_completed_by_the_next(
    step: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    expected = answers(store)
    with monkeypatch.context() as patch:
        patch.setattr(vector_file.VectorFile if step == "punch_holes" else type(store.session.catalog), step, kill)
        with pytest.raises(KeyboardInterrupt):
            store.compact()
    assert (answers(store), store.check()) == (expected, [])
    store.compact()
    assert (answers(store), store.check(), float(np.abs(store.session.vectors()[[3, 4, 8]]).sum())) == (expected, [], 0)


def test_a_reader_in_the_middle_of_an_answer_keeps_its_rows(store: Store, open_store: OpenStore) -> None:
    store.session.catalog.db.execute("pragma busy_timeout = 50")
    with open_store() as reader, reader.session.catalog.reading():
        reader.session.catalog.images.row_count()
        before = np.array(reader.session.vectors())
        store.remove(5)
        with pytest.raises(StoreBusy, match="another process still reads an earlier state of the store"):
            store.compact()
        np.testing.assert_array_equal(reader.session.vectors(), before)
    store.compact()
    assert (float(np.abs(store.session.vectors()[5]).sum()), store.check()) == (0, [])


def test_the_index_is_made_anew_without_the_compacted(open_store: OpenStore, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((1_000, 32)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", rows)
    (tmp_path / "paths.txt").write_text("".join(f"/p/{i}.png\n" for i in range(1_000)))
    with Store.open(tmp_path / "large", create=True) as store:
        store.import_vectors(tmp_path / "vectors.npy", tmp_path / "paths.txt")
        store.index(kind="rabitq")
        store.remove(*range(0, 1_000, 3))
        store.compact()
        assert (store.check(), store.info().index) == ([], "rabitq")
        assert faiss.read_index(str(store.path / "index.faiss")).ntotal == 666
        for row in (1, 500, 998):
            assert store.similar(row, k=5) == store.similar(row, k=5, exact=True)


def test_a_store_that_was_emptied_is_compacted_and_used_again(store: Store, pictures: Path) -> None:
    store.remove(*store.session.catalog.images.alive_rows())
    store.compact()
    assert (store.info().images, store.check(), store.add(pictures).embedded) == (0, [], 10)


def test_a_copy_that_finds_no_room_leaves_the_file_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vector_file, "punch_hole", lambda *_: False)
    monkeypatch.setattr(os, "replace", fail)
    before = (store.path / "vectors.f16").read_bytes()
    with pytest.raises(VecstoreError, match=r"cannot be written: No space left on device"):
        store.compact()
    assert ((store.path / "vectors.f16").read_bytes(), sorted(os.listdir(store.path))[-2:]) == (
        before,
        ["lock", "vectors.f16"],
    )


def large_store(folder: Path, n_rows: int, kind: str, dim: int = 16) -> Store:
    """A store of imported vectors with an index of this kind."""
    np.save(folder / "vectors.npy", np.random.default_rng(0).standard_normal((n_rows, dim)).astype(np.float32))
    (folder / "paths.txt").write_text("".join(f"/p/{i}.png\n" for i in range(n_rows)))
    made = Store.open(folder / "large", create=True, device="cpu")
    made.import_vectors(folder / "vectors.npy", folder / "paths.txt")
    made.index(kind=kind)
    return made


@pytest.mark.parametrize("kind", ["rabitq", "pq"])
def test_the_index_is_made_for_the_few_images_that_are_left_of_many(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "ROWS_A_LIST_TO_TRAIN", 1)  # the sample is a part of 2,000 rows too
    with large_store(tmp_path, 2_000, kind) as store:
        drawn = sample_of(np.arange(2_000), number_of_lists(2_000))
        kept = np.setdiff1d(np.arange(2_000), drawn)[::400].tolist()
        store.remove(*{*range(2_000)}.difference(kept))
        store.compact()
        found = store.info()
        assert (found.index, found.recall, len(kept)) == (kind, 1.0, 5)
        assert [store.similar(row, k=9) for row in kept] == [store.similar(row, k=9, exact=True) for row in kept]


@pytest.mark.parametrize("kind", ["rabitq", "pq"])
def test_the_recall_is_measured_on_the_images_that_are_left(kind: str, tmp_path: Path) -> None:
    with large_store(tmp_path, 2_000, kind) as store:
        # Not one that is kept is among the rows that are drawn from all.
        drawn = sample_of(np.arange(2_000), MEASURED_QUERIES)
        kept = np.setdiff1d(np.arange(2_000), drawn)[:300]
        store.remove(*np.setdiff1d(np.arange(2_000), kept).tolist())
        store.compact()
        found = store.info()
        assert (found.index, 0.9 < found.recall <= 1) == (kind, True)


@pytest.mark.parametrize("left", [0, 1])
def test_of_no_image_and_of_one_no_index_is_made(left: int, tmp_path: Path) -> None:
    with large_store(tmp_path, 50, "pq") as store:
        store.remove(*range(left, 50))
        store.compact()
        found = store.index(rebuild=True)
        assert (found.index, found.recall, store.info().query_ms is None) == ("exact", 1.0, not left)


def test_the_time_of_a_search_is_measured_by_images_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with large_store(tmp_path, 60, "exact") as store:
        store.remove(*range(0, 50))
        store.compact()
        asked = []
        search = ExactIndex.search
        monkeypatch.setattr(
            ExactIndex, "search", lambda index, queries, *rest: asked.append(queries) or search(index, queries, *rest)
        )
        store.info()
        assert len(asked) > 1
        assert all(queries.any() for queries in asked)
