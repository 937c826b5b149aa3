"""Selections: named sets of images that keep their images through whatever happens to the store."""

import csv
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import paint
from vecstore.errors import BadInput, NotFound
from vecstore.search.filters import Filter
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ("a", "b", "c")


@pytest.fixture
def store(open_store: Callable[..., Store], pictures: Path) -> Iterator[Store]:
    """A store of ten pictures in three clusters."""
    with open_store() as opened:
        opened.add(pictures)
        opened.cluster(3, restarts=2)
        yield opened


def contents(store: Store) -> dict[str, set[int]]:
    return {found.name: {image.id for image in store.selected(found.name)} for found in store.selections()}


def test_images_are_put_in_and_taken_out_by_any_name_of_theirs(store: Store, pictures: Path) -> None:
    made = store.select("holiday", 3, "@4", pictures / "0.png")
    again = store.select("holiday", 3, 5)
    out = store.select("holiday", 4, 9, remove=True)
    assert [(r.added, r.removed, r.images) for r in (made, again, out)] == [(3, 0, 3), (1, 0, 4), (0, 1, 3)]
    assert contents(store) == {"holiday": {0, 3, 5}}
    assert [(found.name, found.images) for found in store.selections()] == [("holiday", 3)]


def test_a_name_is_the_same_however_it_is_typed(store: Store) -> None:
    store.select(" Cafe\u0301 ", 1)
    store.select("Caf\u00e9", 2)
    assert [image.id for image in store.selected("Cafe\u0301 ")] == [1, 2]
    assert [found.name for found in store.selections()] == ["Caf\u00e9"]


def test_sets_are_put_together(store: Store) -> None:
    store.select("a", 0, 1, 2, 3)
    store.select("b", 2, 3, 4)
    store.select("c", 3)
    store.select("all", union=["a", "b"])
    store.select("some", 9, union=["a"], minus=["c"])
    store.select("both", union=["a"], intersect=["b"])
    store.select("a", minus=["b"])
    assert contents(store) == {
        **{"a": {0, 1}, "b": {2, 3, 4}, "c": {3}, "all": {0, 1, 2, 3, 4}, "some": {0, 1, 2, 9}, "both": {2, 3}}
    }


@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "take", "union", "minus", "delete"]),
            st.sampled_from(NAMES),
            st.sampled_from(NAMES),
            st.sets(st.integers(0, 9), min_size=1, max_size=4),
        ),
        max_size=12,
    )
)
def test_any_sequence_is_that_of_sets_and_is_undone_and_redone(
    steps: list[tuple[str, str, str, set[int]]], store: Store
) -> None:
    for found in store.selections():  # of the example before
        store.delete_selection(found.name)
    n_before = len(store.operations())
    model: dict[str, set[int]] = {}
    history: list[dict[str, set[int]]] = [{}]
    for step, name, other, rows in steps:
        after = dict(model)
        if step == "put":
            store.select(name, *rows)
            after[name] = model.get(name, set()) | rows
        elif step == "take" and name in model:
            store.select(name, *rows, remove=True)
            after[name] = model[name] - rows
        elif step == "union" and other in model:
            store.select(name, union=[other])
            after[name] = model.get(name, set()) | model[other]
        elif step == "minus" and name in model and other in model:
            store.select(name, minus=[other])
            after[name] = model[name] - model[other]
        elif step == "delete" and name in model:
            store.delete_selection(name)
            del after[name]
        if after != model:
            history.append(after)
        model = after
        assert contents(store) == model
    if len(history) > 1 and n_before + len(history) < 45:
        for expected in history[-2::-1]:
            store.undo()
            assert contents(store) == expected
        for expected in history[1:]:
            store.undo(redo=True)
            assert contents(store) == expected
        for _ in history[1:]:
            store.undo()


def test_a_change_that_changes_nothing_is_no_operation(store: Store) -> None:
    store.select("a", 1)
    before = store.operations()
    store.select("a", 1)
    store.select("a", 2, remove=True)
    assert store.operations() == before


def test_a_removed_image_is_not_shown_and_comes_back(store: Store, pictures: Path) -> None:
    store.select("a", 1, 2)
    store.remove(1)
    assert (contents(store), store.selections()[0].images) == ({"a": {2}}, 1)
    store.add(pictures)
    assert contents(store) == {"a": {1, 2}}


def test_compacting_takes_removed_images_out_for_good(store: Store, pictures: Path) -> None:
    store.select("a", 1, 2)
    store.remove(1)
    store.compact()
    store.add(pictures)
    assert (contents(store), store.check()) == ({"a": {2}}, [])
    assert store.session.catalog.db.execute("select row from selected").fetchall() == [(2,)]


def test_a_moved_picture_stays_in_its_set(store: Store, pictures: Path) -> None:
    store.select("a", pictures / "1.png")
    (pictures / "1.png").rename(pictures / "moved.png")
    store.sync(pictures)
    assert [image.path for image in store.selected("a")] == [str(pictures / "moved.png")]


def test_every_query_keeps_to_a_selection_or_out_of_it(store: Store, pictures: Path) -> None:
    store.select("a", 1, 2, 3, 7)
    within, without = Filter(in_selection="a"), Filter(not_in_selection="a")
    inside: dict[str, Any] = {"in_selection": "a"}
    assert {hit.id for hit in store.similar(0, **inside)} == {1, 2, 3, 7}
    assert {hit.id for hit in store.similar(0, not_in_selection="a")} == {0, 4, 5, 6, 8, 9}
    assert {(edge.query, edge.id) for edge in store.neighbours(k=1, **inside)} <= {
        (a, b) for a in (1, 2, 3, 7) for b in (1, 2, 3, 7)
    }
    assert {member.id for member in store.outliers(conditions=within)} == {1, 2, 3, 7}
    assert {member.id for member in store.outliers(2, conditions=without)} <= {0, 4, 5, 6, 8, 9}
    assert len(store.outliers(2, conditions=without)) == 2
    for cluster in store.clusters():
        members = {member.id for member in store.members(cluster.cluster)}
        assert {member.id for member in store.members(cluster.cluster, conditions=within)} == members & {1, 2, 3, 7}
        assert {member.id for member in store.members(cluster.cluster, conditions=without)} == members - {1, 2, 3, 7}
    assert {path.id for path in store.duplicates(min_score=-1, series=True, conditions=within)} == {1, 2, 3, 7}
    assert store.sheet(**inside).of == 4
    cells = store.sheet(similar=0, **inside).sections[0].cells
    assert {cell.id for cell in cells} == {1, 2, 3, 7}


@pytest.mark.parametrize(
    ("operate", "error", "message"),
    [
        (lambda store: store.select(" ", 1), BadInput, "the name of the selection is empty"),
        (lambda store: store.select("a\nb", 1), BadInput, r"'a\\nb' is no name for a selection"),
        (lambda store: store.select("x" * 201, 1), BadInput, "it may have 200 characters"),
        (lambda store: store.select("@1", 1), BadInput, "'@1' is an image and no name for a selection"),
        (lambda store: store.select("a"), BadInput, "name the images to put into 'a'"),
        (lambda store: store.select("a", 99), NotFound, "no image @99"),
        (lambda store: store.select("new", 1, remove=True), NotFound, "no selection 'new'; did you mean|there are"),
        (lambda store: store.select("a", union=["holidy"]), NotFound, "no selection 'holidy'; did you mean 'holiday'"),
        (lambda store: store.selected("Holidays"), NotFound, "did you mean 'holiday'"),
        (lambda store: store.delete_selection("b"), NotFound, "no selection 'b'; there are 'holiday'"),
        (lambda store: store.similar(0, in_selection="b"), NotFound, "no selection 'b'"),
        (lambda store: store.sheet(not_in_selection="holiday"), BadInput, "a sheet shows one selection with --in"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(
    operate: Callable[[Store], object], error: type[Exception], message: str, store: Store
) -> None:
    store.select("holiday", 1)
    before = (contents(store), store.operations())
    with pytest.raises(error, match=message):
        operate(store)
    assert (contents(store), store.operations()) == before


# Written


def test_a_selection_is_written_as_a_list_a_table_and_a_folder(store: Store, pictures: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    (pictures / "two\nlines.png").write_bytes(paint(tmp_path / "new.png", 77).read_bytes())
    store.add(pictures)
    store.select("a", 1, 7)
    expected = [str(pictures / "1.png"), str(pictures / "deep" / "7.png")]
    store.export_selection("a", tmp_path / "a.txt")
    store.export_selection("a", tmp_path / "a.csv")
    store.export_selection("a", tmp_path / "a.parquet")
    copied = store.export_selection("a", tmp_path / "copies")
    linked = store.export_selection("a", tmp_path / "links", link=True)
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (tmp_path / "a.txt").read_text().splitlines() == expected
    assert [(row["id"], row["path"]) for row in rows] == [("1", expected[0]), ("7", expected[1])]
    assert pyarrow.parquet.read_table(tmp_path / "a.parquet").column("path").to_pylist() == expected
    assert [(tmp_path / "copies" / name).read_bytes() for name in ("1.png", "7.png")] == [
        Path(path).read_bytes() for path in expected
    ]
    assert [os.readlink(tmp_path / "links" / name) for name in ("1.png", "7.png")] == expected
    assert (copied.files, linked.files) == (2, 2)
    store.select("odd", pictures / "two\nlines.png")
    store.export_selection("odd", tmp_path / "odd.txt")
    assert (tmp_path / "odd.txt").read_bytes() == os.fsencode(pictures / "two\nlines.png") + b"\0"


def test_an_export_overwrites_nothing_and_guesses_nothing(store: Store, pictures: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as packed:
        packed.write(paint(tmp_path / "in.png", 99), "in.png")
    store.add(tmp_path / "more.zip")
    store.select("a", 1)
    store.select("packed", 10)
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    for name, link, message in (
        ("there.csv", False, "there.csv already exists"),
        ("full", False, "full already exists and is not empty"),
        ("a.tsv", False, "is neither .txt, .csv nor .parquet"),
        ("a.txt", True, "links are made in a folder"),
    ):
        with pytest.raises(BadInput, match=message):
            store.export_selection("a", tmp_path / name, link=link)
    with pytest.raises(BadInput, match="is inside an archive and cannot be linked to; leave --link out"):
        store.export_selection("packed", tmp_path / "links", link=True)
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert not (tmp_path / "links").exists()
    (tmp_path / "zzz").mkdir()  # its file is taken, though the path in the archive comes first
    (tmp_path / "in.png").rename(tmp_path / "zzz/in.png")
    store.add(tmp_path / "zzz")
    assert store.export_selection("packed", tmp_path / "links", link=True).files == 1
