"""The life of a store's index: made when it pays, grown and rebuilt as the store grows, mended when damaged.

The thresholds are set so low that a few hundred vectors have an index.
"""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from indexes import compressed, recall
from indexes.index_metadata import IndexHeader, index_bytes, read_header
from indexes.stopping import Stopped
from tests.conftest import paint
from vecstore.embedders.embedder import unit_rows
from vecstore.engines import index_lifecycle
from vecstore.engines.index_lifecycle import IndexSettings
from vecstore.errors import BadInput, Interrupted
from vecstore.ingest import pipeline
from vecstore.store import Store

DIM = 32
EXACT_ROWS, TAIL_ROWS = 500, 100
MENDS = "every vector is compared instead, until the next add or `vecstore index` rebuilds it"

pytestmark = pytest.mark.usefixtures("one_thread", "_small_thresholds")


@pytest.fixture
def _small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_lifecycle, "EXACT_BYTES", EXACT_ROWS * DIM * 2)
    monkeypatch.setattr(index_lifecycle, "TAIL_BYTES", TAIL_ROWS * DIM * 2)
    monkeypatch.setattr(compressed, "EXACT_BYTES", -1)
    monkeypatch.setattr(compressed, "TRAINING_ITERATIONS", 2)
    monkeypatch.setattr(recall, "MEASURED_QUERIES", 50)
    # Else what is indexed beside an import depends on how far that has come.
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 10_000)


class Growing:
    """A store of ready-made vectors, and the vectors as they are stored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store.open(folder / "store", create=True)

    @property
    def index(self) -> Path:
        return self.folder / "store/index.faiss"

    @property
    def header(self) -> IndexHeader | None:
        return read_header(self.index)

    @property
    def rows(self) -> NDArray[np.float16]:
        return np.fromfile(self.folder / "store/vectors.f16", "<f2").reshape(-1, DIM)

    def grow(self, n: int, store: Store | None = None) -> None:
        vectors = self.folder / "store/vectors.f16"
        first = vectors.stat().st_size // (2 * DIM) if vectors.exists() else 0
        centres = np.random.default_rng(99).standard_normal((20, DIM))
        rng = np.random.default_rng(first)
        np.save(self.folder / "new.npy", centres[rng.integers(0, 20, n)] + 0.7 * rng.standard_normal((n, DIM)))
        (self.folder / "paths.txt").write_text("".join(f"/nowhere/{row}.jpg\n" for row in range(first, first + n)))
        report = (store or self.store).import_vectors(self.folder / "new.npy", self.folder / "paths.txt")
        assert report.added == n

    def nearest(self, row: int, k: int = 10) -> list[int]:
        """By brute force, of the living."""
        rows = unit_rows(self.rows.astype(np.float32))
        scores = rows @ rows[row]
        alive = self.store.session.catalog.images.alive_rows()
        return [int(r) for r in sorted(alive, key=lambda r: (-scores[r], r))][:k]

    def recall(self, store: Store | None = None) -> float:
        asked = list(range(0, len(self.rows), max(len(self.rows) // 20, 1)))
        found = [{hit.id for hit in (store or self.store).similar(row)} for row in asked]
        return float(
            np.mean([len(f.intersection(self.nearest(row))) / 10 for f, row in zip(found, asked, strict=True)])
        )


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Growing]:
    made = Growing(tmp_path)
    with made.store:
        yield made


@pytest.fixture
def indexed(growing: Growing) -> Growing:
    """600 images with an index of all of them."""
    growing.grow(600)
    assert growing.header is not None
    return growing


# Made and grown


def test_a_small_store_has_no_index_and_a_larger_one_does(growing: Growing) -> None:
    growing.grow(EXACT_ROWS)
    assert (growing.index.exists(), growing.store.info().index) == (False, "exact")
    growing.grow(1)
    header = growing.header
    assert header is not None
    info = growing.store.info()
    assert (header.rows, info.index, info.recall, info.index_bytes) == (
        *(EXACT_ROWS + 1, "rabitq", header.recall),
        growing.index.stat().st_size,
    )
    assert info.query_ms is not None


def test_adding_pictures_makes_an_index_too(
    open_store: Callable[..., Store], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_lifecycle, "EXACT_BYTES", 0)
    with open_store() as store:
        store.add(pictures)
        header = read_header(store.path / "index.faiss")
        assert header is not None
        assert (header.rows, store.info().index) == (10, "rabitq")
        assert [store.similar(row, k=1)[0].id for row in range(10)] == list(range(10))


def test_a_new_image_finds_itself_first_whatever_the_index_knows(growing: Growing) -> None:
    rows_indexed = []
    for step in (400, 150, 30, 40, 50, 700, 1):
        growing.grow(step)
        newest = len(growing.rows) - 1
        assert growing.store.similar(newest, k=1)[0].id == newest
        assert growing.recall() >= 0.95
        rows_indexed.append(growing.header.rows if growing.header else 0)
    # The tail was left alone until it was more than a hundred rows.
    assert rows_indexed == [0, 550, 550, 550, 670, 1370, 1370]


def test_an_index_that_is_outgrown_is_made_anew(indexed: Growing) -> None:
    trained = []
    for step in (1799, 1):
        indexed.grow(step)
        header = indexed.store.index()
        assert header.rows == len(indexed.rows)
        trained.append(indexed.header.trained if indexed.header else 0)
    assert trained == [600, 2400]


def test_the_work_of_growing_is_bounded(growing: Growing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 100)
    work = {"trained on": 0, "indexed": 0}
    train, grow = compressed._train, compressed._grow

    def counted_train(vectors: NDArray[np.float16], *more: object) -> object:
        work["trained on"] += len(vectors)
        return train(vectors, *more)  # type: ignore[arg-type]

    def counted_grow(
        path: Path, index: object, header: IndexHeader, vectors: NDArray[np.float16], *more: object
    ) -> object:
        work["indexed"] += len(vectors) - header.rows
        return grow(path, index, header, vectors, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(compressed, "_train", counted_train)
    monkeypatch.setattr(compressed, "_grow", counted_grow)
    for _ in range(20):
        growing.grow(200)
    # One at the end would train on 4,000 and index 4,000.
    assert (0 < work["trained on"] <= 2 * 4_000, 4_000 <= work["indexed"] <= 3 * 4_000) == (True, True)


def test_an_open_store_sees_what_another_adds_and_indexes(indexed: Growing) -> None:
    with Store.open(indexed.folder / "store") as reader:
        reader.similar(0)
        indexed.grow(300)
        newest = len(indexed.rows) - 1
        assert reader.similar(newest, k=1)[0].id == newest
        assert reader.info().recall == (indexed.header.recall if indexed.header else None)
        indexed.store.index(kind="exact")
        assert (reader.info().index, indexed.recall(reader)) == ("exact", 1)


def test_a_reader_asks_on_while_the_store_grows(indexed: Growing, caplog: pytest.LogCaptureFixture) -> None:
    wrong: list[object] = []
    done = threading.Event()

    def ask() -> None:
        with Store.open(indexed.folder / "store") as reader:
            while not done.is_set():
                wrong.extend(row for row in (0, 599) if reader.similar(row, k=1)[0].id != row)

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(5):
        indexed.grow(150)
    done.set()
    asking.join()
    assert wrong == []


def test_removed_images_are_never_found(indexed: Growing) -> None:
    gone = indexed.nearest(7)[1:6]
    indexed.store.remove(*gone)
    found = [hit.id for hit in indexed.store.similar(7, k=20)]
    assert (len(found), set(found) & set(gone)) == (20, set())
    assert indexed.recall() >= 0.95


# What is said of it


def test_what_is_said_is_recorded_and_honoured_by_later_adds(growing: Growing) -> None:
    growing.grow(50)
    made = growing.store.index(kind="pq", target_recall=0.8)
    assert (made.index, made.rows, made.target_recall) == ("pq", 50, 0.8)
    growing.grow(200)
    header = growing.header
    assert header is not None
    assert (header.kind, header.rows, header.target) == ("pq", 250, 0.8)
    with Store.open(growing.folder / "store") as store:
        assert store.index().target_recall == 0.8
        assert store.index(kind="auto").index == "exact"
        assert not growing.index.exists()


def test_rebuild_makes_it_anew(indexed: Growing) -> None:
    indexed.grow(200)
    indexed.store.index()
    assert indexed.header is not None
    before = indexed.header.trained
    indexed.store.index(rebuild=True)
    assert (before, indexed.header.trained) == (600, 800)


def test_exact_takes_the_index_away_for_good(indexed: Growing) -> None:
    report = indexed.store.index(kind="exact")
    assert (report.index, report.recall, report.index_bytes, indexed.index.exists()) == ("exact", 1.0, 0, False)
    indexed.grow(200)
    assert (indexed.index.exists(), indexed.recall()) == (False, 1.0)


def test_a_budget_leads_to_shorter_codes_and_then_to_none(indexed: Growing) -> None:
    kinds = []
    for kind in ("rabitq", "pq"):
        # Codebooks make few rows take more as pq: so of many.
        enough = index_bytes(kind, 1_000_000, DIM)
        kinds.append([IndexSettings(memory_budget=b).kind_for(1_000_000, DIM) for b in (enough, enough - 1)])
    assert kinds == [["rabitq", "pq"], ["pq", "exact"]]
    assert indexed.store.index(memory_budget=1000).index == "exact"
    indexed.grow(10)
    assert (indexed.index.exists(), indexed.store.index(memory_budget=0).index) == (False, "rabitq")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"kind": "hnsw"}, "no kind of index is called 'hnsw'; choose auto, exact, rabitq or pq"),
        ({"kind": ""}, "no kind of index is called ''; choose auto, exact, rabitq or pq"),
        ({"target_recall": 0}, "the target recall is 0; it must be above 0 and at most 1"),
        ({"target_recall": 1.5}, "the target recall is 1.5; it must be above 0 and at most 1"),
        ({"target_recall": float("nan")}, "the target recall is nan; it must be above 0 and at most 1"),
        ({"memory_budget": -1}, "the memory budget is -1 bytes; it must be at least 0"),
    ],
)
def test_impossible_wish_is_refused_and_not_recorded(said: dict, message: str, growing: Growing) -> None:
    growing.grow(5)
    with pytest.raises(BadInput) as refused:
        growing.store.index(**said)
    assert (str(refused.value), growing.store.session.catalog.index_settings()) == (message, "{}")


@pytest.mark.parametrize("kind", ["rabitq", "pq"])
def test_a_store_of_one_image_is_searched_as_it_is(growing: Growing, kind: str) -> None:
    growing.grow(1)
    assert growing.store.index(kind=kind).index == "exact"
    growing.grow(1)
    assert (growing.store.info().index, growing.store.similar(1, k=1)[0].id) == (kind, 1)


def test_an_image_finds_itself_first_also_where_the_index_has_lost_it(
    indexed: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = compressed.CompressedIndex._candidates

    def without_the_first(*arguments: Any, **options: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        scores, rows = search(*arguments, **options)
        return scores[:, 1:], rows[:, 1:]

    monkeypatch.setattr(compressed.CompressedIndex, "_candidates", without_the_first)
    hits = indexed.store.similar(5, k=3)
    assert (hits[0].id, hits[0].score, hits[1].score < 1) == (5, 1.0, True)


# Damage


def damage_head(path: Path) -> None:
    header = read_header(path)
    assert header is not None
    data = bytearray(path.read_bytes())
    data[header.head // 2] ^= 1
    path.with_name("damaged").write_bytes(data)
    path.with_name("damaged").replace(path)


def damage_lists(path: Path) -> None:
    header = read_header(path)
    assert header is not None
    data = bytearray(path.read_bytes())
    data[header.head : -2_000] = bytes(len(data) - 2_000 - header.head)
    path.with_name("damaged").write_bytes(data)
    path.with_name("damaged").replace(path)


def cut(path: Path) -> None:
    path.with_name("damaged").write_bytes(path.read_bytes()[:-1])
    path.with_name("damaged").replace(path)


CHECKSUM = "its checksum is not the recorded one"


@pytest.mark.parametrize(("harm", "reason"), [(damage_head, CHECKSUM), (cut, "its end is missing")])
@pytest.mark.parametrize("mend", ["add", "index"])
def test_a_damaged_index_is_told_once_and_made_anew(
    harm: Callable[[Path], None], reason: str, mend: str, indexed: Growing, caplog: pytest.LogCaptureFixture
) -> None:
    harm(indexed.index)
    with Store.open(indexed.folder / "store") as reader:
        assert (indexed.recall(reader), reader.info().index) == (1, "exact")
    assert caplog.messages == [f"the index {indexed.index} is not used: {reason}; {MENDS}"]
    caplog.clear()
    indexed.grow(1) if mend == "add" else indexed.store.index()
    assert caplog.messages == [f"the index {indexed.index} is rebuilt: {reason}"]
    compressed.verify(indexed.index, indexed.rows)
    assert (indexed.store.info().index, indexed.recall() >= 0.95) == ("rabitq", True)


def test_damaged_lists_are_told_once_and_mended(indexed: Growing, caplog: pytest.LogCaptureFixture) -> None:
    damage_lists(indexed.index)
    with Store.open(indexed.folder / "store") as reader:
        assert indexed.recall(reader) == 1
    assert [message.split(";")[0] for message in caplog.messages] == [
        "the index is not used: its lists do not name every row once"
    ]
    indexed.store.index()
    compressed.verify(indexed.index, indexed.rows)


def test_an_index_of_other_rows_is_not_blessed(indexed: Growing, caplog: pytest.LogCaptureFixture) -> None:
    other = Growing(indexed.folder / "other")
    (indexed.folder / "other").mkdir()
    with other.store:
        other.grow(300)
        other.grow(400)
    os.replace(other.index, indexed.index)
    indexed.grow(200)
    reason = "it is of other vectors than the store has"
    assert caplog.messages == [f"the index {indexed.index} is rebuilt: {reason}"]
    assert indexed.recall() >= 0.95


def test_a_full_disk_costs_the_index_and_no_image(
    growing: Growing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 100)
    tried = []

    def full(path: Path, *_: object) -> None:
        tried.append(path)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(compressed, "_write", full)
        growing.grow(2_000)
    # It is not tried again at each commit.
    assert (len(tried), len(growing.rows), growing.recall()) == (1, 2_000, 1)
    assert caplog.messages == [
        f"the index {growing.index} could not be brought up to date ([Errno 28] No space left on device); "
        "answers stay right, and take longer"
    ]
    growing.grow(1)
    assert growing.header is not None


def test_ctrl_c_while_indexing_loses_no_image(indexed: Growing, monkeypatch: pytest.MonkeyPatch) -> None:
    before = indexed.index.read_bytes()

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(index_lifecycle, "bring_up_to_date", press)
        patched.setattr(index_lifecycle.BackgroundIndexing, "committed", lambda self, n: setattr(self, "_n_rows", n))
        with pytest.raises(Interrupted) as interrupted:
            indexed.grow(300)
    assert str(interrupted.value) == (
        "interrupted while the index was brought up to date; every image is safe in the store, and the next add or "
        "`vecstore index` goes on"
    )
    assert (indexed.index.read_bytes() == before, len(indexed.rows)) == (True, 900)
    assert (indexed.recall() >= 0.95, indexed.store.index().rows) == (True, 900)


def test_an_import_is_indexed_once_at_its_end(growing: Growing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 100)
    indexed, bring_up_to_date = [], index_lifecycle.bring_up_to_date

    def counted(path: Path, vectors: NDArray[np.float16], *more: object) -> object:
        indexed.append(len(vectors))
        return bring_up_to_date(path, vectors, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(index_lifecycle, "bring_up_to_date", counted)
    growing.grow(900)
    assert indexed == [900]


def test_an_interrupted_ingest_calls_the_indexing_off(indexed: Growing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 150)
    indexing = index_lifecycle.BackgroundIndexing
    monkeypatch.setattr(indexing, "committed_fast", indexing.committed)  # as an add of pictures has it
    started = threading.Event()

    def work_until_called_off(path: Path, vectors: object, *more: object) -> None:
        stop = more[-1]
        assert isinstance(stop, threading.Event)
        started.set()
        assert stop.wait(60)
        raise Stopped

    def press(progress: object) -> None:
        assert started.wait(60)
        raise KeyboardInterrupt

    before = indexed.index.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(index_lifecycle, "bring_up_to_date", work_until_called_off)
        np.save(indexed.folder / "new.npy", np.random.default_rng(1).standard_normal((450, DIM)))
        (indexed.folder / "paths.txt").write_text("".join(f"/new/{n}.jpg\n" for n in range(450)))
        with pytest.raises(Interrupted):
            indexed.store.import_vectors(indexed.folder / "new.npy", indexed.folder / "paths.txt", on_progress=press)
    assert ([thread.name for thread in threading.enumerate() if thread.name == "indexing"]) == []
    assert (indexed.index.read_bytes() == before, len(indexed.rows)) == (True, 750)


def test_adding_what_is_known_leaves_the_index_alone(
    open_store: Callable[..., Store], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_lifecycle, "EXACT_BYTES", 0)
    with open_store() as store:
        store.add(pictures)
        damage_head(store.path / "index.faiss")
        before = (store.path / "index.faiss").stat()
        store.add(pictures)
        assert (store.path / "index.faiss").stat() == before
        paint(pictures / "new.png", 77)
        store.add(pictures)
        compressed.verify(store.path / "index.faiss", store.session.vectors())
