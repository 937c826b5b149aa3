"""Lists in groups, and places as conditions; against what each image says of itself."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import paint
from vecstore.errors import BadInput
from vecstore.results import Facts, Group
from vecstore.search.filters import Filter
from vecstore.storage import places
from vecstore.store import Store

GROUPS = ("day", "month", "folder", "camera", "cluster")
ORDERS = ("newest", "oldest", "taken", "size", "path", "typical", "odd")
TAKEN = ("2024-05-31T18:30:05+02:00", "2024-05-31", "2024-05-01T08:00:00", "2023-12-24T18:00:00", None)
CAMERAS = ("X-T5", "K-1", None)
MUNICH, RENNES = (48.14, 11.58), (48.11, -1.68)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Twenty pictures in three folders and three clusters, with dates, cameras and places; three were removed."""
    folder = tmp_path_factory.mktemp("grouping")
    for seed in range(20):
        paint(folder / "pictures" / ("a", "b", "a/deep")[seed % 3] / f"{seed:02}.png", seed)
    with Store.open(folder / "store", embedder="hsv", create=True) as opened:
        opened.add(folder / "pictures")
        opened.cluster(3, restarts=1)
        facts = opened.session.catalog.facts
        with opened.session.writing(), opened.session.catalog.writing():
            for row in range(20):
                latitude, longitude = (MUNICH, RENNES, (None, None))[row % 3]
                taken, camera = TAKEN[row % len(TAKEN)], CAMERAS[row % len(CAMERAS)]
                n_bytes = 1000 + row * 7 % 13
                facts.put([(row, Facts(taken, "", camera, latitude=latitude, longitude=longitude, bytes=n_bytes))])
        opened.remove(4, 11, 19)
        yield opened


def group_of(store: Store, row: int, by: str) -> str | None:
    (said,) = store.facts(row)
    if by == "cluster":
        return None if said.cluster is None else str(said.cluster)
    if by == "folder":
        return str(Path(said.path).parent)
    if by == "camera":
        return said.camera
    return said.taken and said.taken[: 10 if by == "day" else 7]


@pytest.mark.parametrize("by", GROUPS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_list_comes_group_by_group_each_in_the_order_that_is_asked_for(store: Store, by: str, order: str) -> None:
    plain = [image.id for image in store.browse(0, 1000, order=order).images]
    found = [image.id for image in store.browse(0, 1000, order=order, group=by).images]
    runs = [(name, [*rows]) for name, rows in groupby(found, key=lambda row: group_of(store, row, by))]
    assert [Group(name, len(rows)) for name, rows in runs] == [*store.sections(by, order=order)]
    assert sorted(found) == sorted(plain)
    assert all(rows == [row for row in plain if row in rows] for _, rows in runs)
    names = [name for name, _ in runs if name is not None]
    assert len({*names}) == len(names)
    assert None not in [name for name, _ in runs][:-1]
    if by in ("day", "month"):
        assert names == sorted(names, reverse=order != "oldest")
    elif by != "cluster":
        assert names == sorted(names)


@settings(max_examples=40, deadline=None)
@given(
    by=st.sampled_from((None, *GROUPS)),
    camera=st.sampled_from([None, "x-t5", "nothing"]),
    path=st.sampled_from([None, "deep/", "a/"]),
    start=st.integers(0, 18),
)
def test_groups_begin_where_those_before_them_end(
    store: Store, by: str | None, camera: str | None, path: str | None, start: int
) -> None:
    conditions = {"camera": camera, "path": path or ()}
    sections = store.sections(by, order="taken", **conditions)  # type: ignore[arg-type]
    part = store.browse(start, 3, order="taken", group=by, **conditions)  # type: ignore[arg-type]
    assert sum(group.images for group in sections) == part.total
    named = [group.group for group in sections for _ in range(group.images)][start : start + 3]
    expected = [group_of(store, image.id, by) if by else None for image in part.images]
    assert named == expected


def test_the_largest_files_come_first(store: Store) -> None:
    sizes = [store.facts(image.id)[0].bytes or 0 for image in store.browse(0, 1000, order="size").images]
    assert sizes == sorted(sizes, reverse=True)


def test_groups_are_counted_as_facets_too(store: Store) -> None:
    found = store.facets(camera="x-t5")
    assert found.months == tuple(
        group for group in store.sections("month", order="taken", camera="x-t5") if group.group
    )
    assert {group.group for group in found.cameras} == {"X-T5", "K-1"}
    assert [*store.count_by("day", Filter(camera="k-1"))] == [*store.sections("day", order="oldest", camera="k-1")]


def test_a_group_that_is_none_is_refused(store: Store) -> None:
    for ask in (lambda: store.browse(group="mood"), lambda: store.sections("mood"), lambda: store.count_by("mood")):
        with pytest.raises(BadInput, match="not grouped by 'mood', but by folder, day, month, camera, place, cluster"):
            ask()


# Places


@pytest.mark.parametrize(
    ("conditions", "kinds"),
    [
        ({"where": 'country = "FR"'}, {1}),
        ({"where": "country = france"}, {1}),
        ({"where": "country in (FR, DE)"}, {0, 1}),
        ({"where": "country != FR"}, {0}),
        ({"where": "place = munich"}, {0}),
        ({"where": 'place = "Munich, Germany"'}, {0}),
        ({"where": "place contains ren and not place contains germany"}, {1}),
        ({"where": "place is missing"}, {2}),
        ({"place": "germany"}, {0}),
        ({"place": "DE"}, {0}),
        ({"place": "rennes", "near": "48.1,-1.7,20"}, {1}),
        ({"place": "rennes", "near": "48.1,11.5,20"}, set()),
    ],
)
def test_places_are_conditions(store: Store, conditions: dict[str, str], kinds: set[int]) -> None:
    pytest.importorskip("reverse_geocode")
    expected = [row for row in range(20) if row not in (4, 11, 19) and row % 3 in kinds]
    assert [image.id for image in store.browse(0, 100, order="oldest", **conditions).images] == expected  # type: ignore[arg-type]
    assert sorted(hit.id for hit in store.similar(0, k=20, **conditions)) == expected  # type: ignore[arg-type]


def test_each_place_counts_without_the_condition_on_places(store: Store) -> None:
    pytest.importorskip("reverse_geocode")
    found = {group.group: group.images for group in store.facets(place="DE").places}
    for name, images in found.items():
        assert images == store.facets(place=name).total
    assert len(found) == 2


def test_a_clustering_of_a_country_is_trained_on_its_pictures(store: Store) -> None:
    pytest.importorskip("reverse_geocode")
    with pytest.raises(BadInput, match="has no images to cluster"):
        store.cluster(2, where="country = JP")
    assert store.cluster(2, where="country = FR", restarts=1).trained_on == len(
        [row for row in range(20) if row % 3 == 1 and row not in (4, 11, 19)]
    )
    store.undo()


def test_places_without_their_table_are_refused_in_a_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda name: None)
    for conditions in ({"place": "FR"}, {"where": "not country = FR"}, {"where": "rating > 3 or place is missing"}):
        with pytest.raises(BadInput, match="names of places need a table of towns; `pip install"):
            store.browse(**conditions)  # type: ignore[arg-type]
    assert store.facets().places == ()


# Duplicates


def test_duplicates_come_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    taken = {"b": "2024", "c": "2023", "a": None}
    for seed, (name, _) in enumerate(taken.items()):
        first = paint(tmp_path / "pictures" / name / "1.png", seed, (100 * (3 - seed), 80))
        (tmp_path / "pictures" / name / "2.png").write_bytes(first.read_bytes())
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(tmp_path / "pictures")
        by_name = {Path(image.paths[0]).parent.name: image.id for image in store.images()}
        with store.session.writing(), store.session.catalog.writing():
            for name, when in taken.items():
                n_bytes = {"a": 30, "b": 20, "c": 10}[name]
                store.session.catalog.facts.put([(by_name[name], Facts(when, bytes=n_bytes))])

        def order(sort: str | None) -> list[str]:
            found = [*store.duplicates(exact=True, sort=sort)]
            assert [file.path for file in found] != []
            return [Path(file.path).parent.name for file in found if file.keep]

        assert order("taken") == ["c", "b", "a"]
        assert order("size") == ["a", "b", "c"]
        assert order("path") == ["a", "b", "c"]
        assert sorted(order("score")) == sorted(order(None)) == ["a", "b", "c"]
        groups = [file.group for file in store.duplicates(exact=True, sort="taken")]
        assert groups == [groups[0]] * 2 + [groups[2]] * 2 + [groups[4]] * 2
        with pytest.raises(BadInput, match="'mood' is no order"):
            store.duplicates(sort="mood")
