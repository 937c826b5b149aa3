"""Recorded tags that are kept between questions, and candidates from the index: answers stay those of a new store."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import TinyEmbedder, paint
from tests.words.conftest import random_head
from vecstore.embedders.embedder import unit_rows
from vecstore.embedders.heads import Head
from vecstore.search import words as search_words
from vecstore.storage.catalog.tags import BLOCK_ROWS, Tags
from vecstore.store import Store
from vecstore.words.kept_tags import KeptTags

OpenStore = Callable[..., Store]
pytestmark = pytest.mark.usefixtures("one_thread", "tiny_knows_words")


def found(store: Store, word: str = "animal") -> list[tuple[int, float]]:
    return [(hit.id, hit.score) for hit in store.find(word, k=100)]


def found_anew(store: Store, word: str = "animal") -> list[tuple[int, float]]:
    with Store.open(store.path) as other:
        return found(other, word)


def same(one: list[tuple[int, float]], other: list[tuple[int, float]]) -> bool:
    scores = [[score for _, score in answer] for answer in (one, other)]
    return [row for row, _ in one] == [row for row, _ in other] and np.allclose(*scores, atol=1e-6)


STEPS = st.lists(st.sampled_from(["add", "remove", "undo", "compact", "forget tags", "tag", "find"]), max_size=6)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, by_another=st.booleans())
def test_what_is_kept_follows_every_change(
    steps: list[str], by_another: bool, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    new = iter(range(100, 200))
    with Store.open(folder / "store", embedder="tiny", create=True) as store:
        store.add(pictures, tags=True)
        found(store)
        with Store.open(store.path) as another:
            writer = another if by_another else store
            for step in steps:
                living = [image.id for image in writer.images()]
                if step == "add":
                    writer.add(paint(folder / f"{next(new)}.png", len(living) + 50))
                elif step == "remove" and len(living) > 2:
                    writer.remove(living[len(living) // 2])
                elif step == "undo" and any(not one.undone for one in writer.operations()):
                    writer.undo()
                elif step == "compact":
                    writer.compact()
                elif step == "forget tags":
                    with writer.session.catalog.writing():
                        writer.session.catalog.tags.drop_blocks([0])
                elif step == "tag":
                    writer.tag_all()
                assert same(found(store), found_anew(store))


def test_tags_are_read_again_only_after_a_commit(
    open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    before = found(store)
    monkeypatch.setattr(Tags, "blocks_with_checksums", lambda self: pytest.fail("read again"))
    assert found(store) == before
    with Store.open(store.path) as other:
        other.remove(3)
    with pytest.raises(pytest.fail.Exception):
        found(store)


def test_tags_that_are_dropped_are_not_kept(open_store: OpenStore, pictures: Path) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    kept, tags = KeptTags(), store.session.catalog.tags
    own = tags.of(1)
    assert own is not None

    def tagged() -> list[int]:
        kept.bring_up_to_date(store.session, 10)
        return [int(row) for row in np.flatnonzero(kept.is_tagged(10))]

    assert tagged() == [*range(10)]
    with store.session.catalog.writing():
        tags.drop_blocks([0])
    assert tagged() == []
    with store.session.catalog.writing():
        tags.put([(1, own)])
    assert tagged() == [1]
    with store.session.catalog.writing():
        tags.put([(row, own) for row in range(10)])
    assert tagged() == [*range(10)]
    with store.session.catalog.writing():
        tags.drop_blocks([0])
        tags.put([(0, own)])
    assert tagged() == [0]


def import_many(store: Store, folder: Path, n: int) -> Store:
    np.save(folder / "many.npy", np.random.default_rng(1).normal(size=(n, 12)).astype(np.float32))
    (folder / "many.txt").write_text("".join(f"/none/{number}.png\n" for number in range(n)))
    store.import_vectors(folder / "many.npy", folder / "many.txt")
    return store


def test_a_store_that_grows_by_a_block_keeps_what_it_has(open_store: OpenStore, tmp_path: Path) -> None:
    store = import_many(open_store(), tmp_path, BLOCK_ROWS - 3)
    store.tag_all()
    found(store, "dog")
    for number in range(6):
        paint(tmp_path / f"more/{number}.png", number)
    store.add(tmp_path / "more")
    assert same(found(store, "dog"), found_anew(store, "dog"))
    assert {hit.id for hit in store.find("entity", k=5000)} >= {BLOCK_ROWS - 4, BLOCK_ROWS + 2}


@pytest.mark.parametrize("word", ["daisy", "cat"])
def test_candidates_from_the_index_are_nearly_all_that_are_there(
    word: str, open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Classes of equal length and no bias, each the most probable one in its own direction.
    head = Head(unit_rows(random_head().weights), np.zeros(1000, np.float32), 30.0)
    monkeypatch.setattr(TinyEmbedder, "head", lambda self: head)
    store = import_many(open_store(), tmp_path, 6000)
    truth = [hit.id for hit in store.find(word, k=20)]
    monkeypatch.setattr(search_words, "SLOW_ROWS", 1000)
    some = [hit.id for hit in store.find(word, k=20)]
    assert len({*truth} & {*some}) >= 18
    assert "6000 images have no words recorded" in caplog.text
    assert {hit.id for hit in store.find(word, k=20, path="/none/5*.png")} <= {
        row for row in range(6000) if str(row).startswith("5")
    }


def test_the_index_is_asked_for_images_without_tags_alone(
    open_store: OpenStore, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    with store.session.catalog.writing():
        store.session.catalog.tags.clear([2, 3, 7])
    truth = found(store)
    monkeypatch.setattr(search_words, "SLOW_ROWS", 1)
    asked = []
    engine = type(store.session.engine)
    searcher = engine.searcher

    class Spy:
        def __init__(self, index: object) -> None:
            self.index = index

        def search(self, queries: object, k: int, allowed: np.ndarray) -> object:
            asked.append(np.flatnonzero(allowed).tolist())
            return self.index.search(queries, k, allowed)  # type: ignore[attr-defined]

    monkeypatch.setattr(engine, "searcher", lambda self, vectors, **options: Spy(searcher(self, vectors, **options)))
    assert same(found(store), truth)
    assert asked == [[2, 3, 7]]


SUMS = st.lists(st.one_of(st.integers(0, 3), st.integers(65_530, 65_535), st.integers(0, 65_535)), max_size=40)


@given(sums=SUMS, count=st.integers(1, 50))
def test_the_best_rows_have_the_highest_sums_and_of_equal_ones_the_lowest_ids(sums: list[int], count: int) -> None:
    best = sorted((row for row, value in enumerate(sums) if value), key=lambda row: (-sums[row], row))[:count]
    assert search_words._best(np.array(sums, np.uint16), count).tolist() == sorted(best)
