"""The map as arrays: every image that has a place, and values that say what a plain look into the store says."""

from pathlib import Path

import numpy as np
import pytest

from tests.serving import paint_one
from vecstore.errors import BadInput, NotFound
from vecstore.results import Facts
from vecstore.store import Store
from vecstore.views import map_arrays, map_layout, map_placing

DATES = ("2023-05-01T10:00:00", "2023-05-09T11:00:00", "2024-01-02T00:00:00", None)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of 24 pictures of three folders, with a map, whose facts are made up."""
    monkeypatch.setattr(map_placing, "STEPS", 10)
    for i in range(24):
        paint_one(("reef", "city", "sunset")[i % 3], i, tmp_path / "pictures" / "abc"[i % 3] / f"{i:02}.png")
    opened = Store.open(tmp_path / "store", embedder="hsv", create=True)
    opened.add(tmp_path / "pictures")
    facts = [
        (row, Facts(taken=DATES[row % 4], camera="X-T5" if row % 5 else None, brightness=row / 24, bytes=10**row))
        for row in range(18)
    ]
    with opened.session.writing("facts", ""), opened.session.catalog.writing():
        opened.session.catalog.facts.put(facts)
    opened.map()
    return opened


def values_of(store: Store, by: str, **groups: int) -> dict[int, str | None]:
    """What each image is coloured by, in words."""
    found = store.map_values(by, **groups)
    names = {0: None, map_arrays.OTHER: "other"}
    names |= {i: one.name or str(one.cluster) for i, one in enumerate(found.categories or (), 1)}
    return dict(zip(store.map_positions().ids.tolist(), (names[value] for value in found.values.tolist()), strict=True))


def test_all_images_that_have_a_place_are_there_and_any_first_ones_are_a_sample(store: Store, tmp_path: Path) -> None:
    found = store.map_positions()
    assert (sorted(found.ids.tolist()), found.images) == (list(range(24)), 24)
    assert found.ids[:8].tolist() == map_layout.in_map_order(np.arange(24))[:8].tolist()
    drawn = {point.id: (point.x, point.y) for point in store.map().points}
    assert {int(row): tuple(at) for row, at in zip(found.ids, found.positions.tolist(), strict=True)} == drawn
    paint_one("reef", 40, tmp_path / "more/40.png")
    store.add(tmp_path / "more")
    grown = {point.id: (point.x, point.y) for point in store.map().points}
    found = store.map_positions()  # the new one in its place of the shuffle
    assert {int(row): tuple(at) for row, at in zip(found.ids, found.positions.tolist(), strict=True)} == grown
    assert (found.ids.tolist(), grown.items() >= drawn.items()) == (
        map_layout.in_map_order(np.arange(25)).tolist(),
        True,
    )
    store.remove(3)
    assert 3 not in store.map_positions().ids


def test_the_clusters_of_a_tree_are_those_of_a_level_or_of_a_cut(store: Store) -> None:
    store.cluster(tree=(3, 6), restarts=3)
    cluster_of = {
        image: one.cluster for one in store.clusters() for image in (m.id for m in store.members(one.cluster))
    }
    top_of = {cluster: store.tree_path(cluster)[0].cluster for cluster in cluster_of.values()}
    assert values_of(store, "cluster", level=1) == {row: str(top_of[one]) for row, one in cluster_of.items()}
    assert values_of(store, "cluster", level=2) == {row: str(one) for row, one in cluster_of.items()}
    cuts = {node: cut for cut in store.cut_tree(4) for node in cut.nodes}
    parts = {one: cuts.get(one) or cuts[top_of[one]] for one in top_of}
    assert values_of(store, "cluster", cut=4) == {row: str(parts[one].nodes[0]) for row, one in cluster_of.items()}
    for by, groups, problem in (("cluster", {"level": 3}, "no level 3"), ("camera", {"cut": 4}, "nothing of 'camera'")):
        with pytest.raises(BadInput, match=problem):
            store.map_values(by, **groups)


def test_categories_are_those_that_the_store_tells_one_by_one(store: Store) -> None:
    known = {facts.id: facts for facts in store.all_facts()}
    assert values_of(store, "camera") == {row: facts.camera for row, facts in known.items()}
    assert values_of(store, "month") == {row: f.taken and f.taken[:7] for row, f in known.items()}
    assert values_of(store, "year") == {row: f.taken and f.taken[:4] for row, f in known.items()}
    assert values_of(store, "folder") == {row: str(Path(f.path).parent) for row, f in known.items()}
    store.cluster(3, restarts=1)
    assert values_of(store, "cluster") == {point.id: str(point.cluster) for point in store.map().points}
    sizes = [category.images for category in store.map_values("folder").categories or ()]
    assert sizes == [8, 8, 8]


def test_of_several_selections_the_smallest_colours_an_image(store: Store) -> None:
    store.select("many", *range(10))
    store.select("few", 4, 5, 20)
    assert values_of(store, "selection") == {
        row: "few" if row in (4, 5, 20) else "many" if row < 10 else None for row in range(24)
    }


def test_a_scale_is_linear_or_logarithmic_and_ends_are_clipped(store: Store) -> None:
    at = store.map_positions().ids
    bright, large = store.map_values("brightness"), store.map_values("bytes")
    known = {facts.id: facts.brightness or 0.0 for facts in store.all_facts()}
    least, most = np.percentile([*known.values()], (1, 99))
    expected = {row: 1 + 65534 * min(max((one - least) / (most - least), 0), 1) for row, one in known.items()}
    found = dict(zip(at.tolist(), bright.values.tolist(), strict=True))
    assert found == pytest.approx(expected, abs=0.51)
    assert (bright.is_logarithmic, large.is_logarithmic) == (False, True)
    steps = np.diff(large.values[np.argsort(at)][2:16].astype(int))  # each ten times the one before
    assert (steps.min() > 0, int(np.ptp(steps)) <= 1) == (True, True)


def test_categories_beyond_the_largest_are_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_arrays, "MOST_CATEGORIES", 1)
    years = {row: None if DATES[row % 4] is None or row >= 18 else (DATES[row % 4] or "")[:4] for row in range(24)}
    assert values_of(store, "year") == {row: "other" if year == "2024" else year for row, year in years.items()}


def test_folders_are_cut_to_a_depth_at_which_they_can_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {i: b"/photos/%d/%d/%d.jpg" % (i % 2, i % 10, i) for i in range(20)}
    monkeypatch.setattr(map_arrays, "MOST_CATEGORIES", 5)
    assert dict(map_arrays._folders(found)) == {i: b"/photos/%d" % (i % 2) for i in range(20)}
    monkeypatch.setattr(map_arrays, "MOST_CATEGORIES", 10)
    assert dict(map_arrays._folders(found)) == {i: b"/photos/%d/%d" % (i % 2, i % 10) for i in range(20)}


def test_only_what_some_image_has_is_offered(store: Store) -> None:
    offered = store.map_colours()
    assert {"folder", "month", "year", "camera", "taken", "added", "brightness", "bytes"} <= {*offered}
    assert not {"cluster", "selection", "word", "lens", "rating", "place"} & {*offered}
    for by in map_arrays.COLOURS:  # all can be asked for
        if by != "place":
            assert len(store.map_values(by).values) == 24


def test_what_cannot_be_is_told(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'mood' is nothing to colour a map by; choose one of cluster, selection"):
        store.map_values("mood")
    (store.path / "map.npz").unlink()
    with pytest.raises(NotFound, match="there is no map yet"):
        store.map_positions()


def test_a_map_that_was_drawn_anew_is_seen(store: Store) -> None:
    before = store.map_positions().positions.copy()
    store.map(rebuild=True, seed=5)
    assert not np.array_equal(store.map_positions().positions, before)
