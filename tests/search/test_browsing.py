"""Lists of images: every part by position, in every order, under conditions; against what the other methods say."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import paint
from vecstore.errors import BadInput
from vecstore.results import Facts
from vecstore.search.filters import _plain_folder, path_test
from vecstore.store import Store

FOLDERS = ("a", "a/deep", "b", "c d")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Twenty pictures in four folders and three clusters; four of them were removed."""
    folder = tmp_path_factory.mktemp("browsing")
    for seed in range(20):
        paint(folder / "pictures" / FOLDERS[seed % 4] / f"{seed:02}.png", seed)
    with Store.open(folder / "store", embedder="hsv", create=True) as opened:
        opened.add(folder / "pictures")
        opened.cluster(3, restarts=1)
        opened.remove(0, 7, 8, 19)
        yield opened


def ids(store: Store, **asked: object) -> list[int]:
    return [image.id for image in store.browse(0, 1000, **asked).images]  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(start=st.integers(0, 25), k=st.integers(1, 25), newest=st.booleans())
def test_any_part_of_all_images_is_found_by_its_position(store: Store, start: int, k: int, newest: bool) -> None:
    everything = [row for row in range(20) if row not in (0, 7, 8, 19)]
    expected = everything[::-1] if newest else everything
    found = store.browse(start, k, order="newest" if newest else "oldest")
    assert (found.total, [image.id for image in found.images]) == (16, expected[start : start + k])


def test_orders_and_conditions_are_those_of_the_other_methods(store: Store) -> None:
    path_of = {image.id: image.paths[0] for image in store.images(100)}
    assert ids(store, order="path") == sorted(path_of, key=path_of.__getitem__)
    for cluster in store.clusters():
        for farthest, order in ((False, "typical"), (True, "odd")):
            members = [member.id for member in store.members(cluster.cluster, farthest=farthest)]
            assert ids(store, cluster=cluster.cluster, order=order) == members
    assert ids(store, path="deep/", order="oldest") == [row for row in sorted(path_of) if "/deep/" in path_of[row]]


def test_the_last_taken_come_first_and_those_that_do_not_say_last(store: Store) -> None:
    taken = {1: "2024-05-31T18:30:05+02:00", 2: "2025-01-01", 5: "2023-01-01T00:00:00"}
    rows = [row for row in range(20) if row not in (0, 7, 8, 19)]
    with store.session.writing(), store.session.catalog.writing():
        store.session.catalog.facts.put([(row, Facts(taken.get(row))) for row in rows])
    expected = [2, 1, 5, *(row for row in reversed(rows) if row not in taken)]
    assert ids(store, order="taken") == expected
    assert ids(store, order="taken", path="b/") == [row for row in expected if "/b/" in store.image(row).paths[0]]


def test_a_list_is_made_anew_when_the_store_has_changed(store: Store) -> None:
    before = ids(store, path="b/")
    store.remove(before[0])
    assert ids(store, path="b/") == before[1:]
    store.undo()
    assert ids(store, path="b/") == before


def test_facets_count_what_each_choice_would_show(store: Store) -> None:
    for conditions in ({}, {"path": "deep/"}, {"cluster": store.clusters()[0].cluster}):
        found = store.facets(**conditions)
        assert found.total == len(ids(store, **conditions))
        assert Path(found.under).name == "pictures"
        for folder in found.folders:
            assert folder.images == len(ids(store, **{**conditions, "path": folder.path + "/"}))
        for cluster in found.clusters:
            assert cluster.images == len(ids(store, **{**conditions, "cluster": cluster.cluster}))
    inner = store.facets(under=Path(found.under) / "a")
    assert [Path(folder.path).name for folder in inner.folders] == ["deep"]


def test_words_are_counted_by_the_best_class_of_each_image(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(store.session.catalog.tags), "are_kept", lambda tags: True)
    best = np.arange(20, dtype=np.uint16) % 2
    monkeypatch.setattr("vecstore.search.browsing.best_recorded", lambda session, n_rows: best)
    counts = {word.word: word.images for word in store.facets().words}
    assert sorted(counts.values()) == [8, 8]
    assert {word: len(ids(store, word=word)) for word in counts} == counts


def test_an_order_that_is_none_is_refused(store: Store) -> None:
    with pytest.raises(BadInput, match="'loudest' is not an order; choose one of newest"):
        store.browse(order="loudest")


NAMES = st.sampled_from(["a", "b c", "deep", "*", "x.zip", "x.zip!", "[a]", "é", "..", "\\"])


@settings(max_examples=300, deadline=None)
@given(pattern=st.lists(NAMES, min_size=1, max_size=3), path=st.lists(NAMES, min_size=1, max_size=4))
def test_a_folder_that_is_named_in_full_fits_what_its_pattern_does(pattern: list[str], path: list[str]) -> None:
    text, name = f"/{'/'.join(pattern)}/", f"/{'/'.join(path)}"
    if _plain_folder(text) is not None:
        assert path_test(text)(name.encode()) == name.startswith(text)


def test_new_files_are_counted_without_reading_them(store: Store, tmp_path: Path) -> None:
    pictures = Path(store.image(1).paths[0]).parents[1]
    paint(tmp_path / "new.png", 99)
    before = store.info().images
    assert vars(store.count_new(tmp_path, pictures)) == {"seen": 21, "new": 5, "is_complete": True}
    assert store.count_new(pictures, seconds=0).is_complete
    assert store.info().images == before
