"""Labels in and out: folders, tables and COCO's annotations become selections, and come back as they were."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import paint
from tests.exchange.conftest import sets
from vecstore.errors import BadInput, NotFound
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")


def coco(folder: Path, **changed: Any) -> Path:
    said = {
        "images": [{"id": 10, "file_name": "0.png"}, {"id": 11, "file_name": "deep/5.png"}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 1, "segmentation": [[1.0, 2.0]], "bbox": [0, 0, 1, 1]},
            {"id": 2, "image_id": 10, "category_id": 1, "bbox": [0, 0, 1, 1]},
            {"id": 3, "image_id": 10, "category_id": 7, "segmentation": {"counts": [3], "size": [1, 3]}},
            {"id": 4, "image_id": 11, "category_id": 7},
        ],
    }
    file = folder / "instances.json"
    file.write_text(json.dumps({**said, **changed}))
    return file


def test_folders_become_selections_of_the_pictures_below_them(open_store: Callable[..., Store], tmp_path: Path) -> None:
    for seed, place in enumerate(("cats/0.png", "cats/young/1.png", "dogs/2.png")):
        paint(tmp_path / "train" / place, seed)
    store = open_store()
    report = store.import_from(tmp_path / "train", "imagefolder")
    assert (report.added and report.added.added, sets(store)) == (3, {"cats": [0, 1], "dogs": [2]})
    assert [(one.kind, one.what) for one in store.operations()] == [("import", str(tmp_path / "train"))]
    store.undo()
    assert (sets(store), len(store)) == ({}, 0)
    store.undo(redo=True)
    assert (sets(store), len(store)) == ({"cats": [0, 1], "dogs": [2]}, 3)


def test_a_table_may_give_a_picture_several_labels(store: Store, pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("path,label\n0.png,cat\n0.png,dog\ndeep/5.png,dog\nnone.png,dog\n")
    report = store.import_from(table, pictures=pictures)
    assert sets(store) == {"cat": [0], "dog": [0, 5]}
    assert report.labels is not None
    assert (report.labels.images, report.labels.added, report.labels.missing) == (2, 3, 1)
    assert report.labels.examples == (str(pictures / "none.png"),)


def test_categories_of_coco_become_selections(store: Store, pictures: Path, tmp_path: Path) -> None:
    report = store.import_from(coco(tmp_path), pictures=pictures)
    assert (report.format, sets(store)) == ("coco", {"cat": [0], "dog": [0, 5]})


@pytest.mark.parametrize("form", ["csv", "coco"])
def test_labels_come_back_from_what_was_written(form: str, store: Store, tmp_path: Path) -> None:
    store.select('naïve, "quoted"', 1, 2)
    store.select("b", 2, 9)
    expected = sets(store)
    target = tmp_path / f"labels.{'csv' if form == 'csv' else 'json'}"
    store.export_as(target, form)
    for name in expected:
        store.delete_selection(name)
    store.import_from(target)
    assert sets(store) == expected


def test_coco_has_every_image_and_its_size(store: Store, pictures: Path, tmp_path: Path) -> None:
    store.select("a", 3)
    report = store.export_as(tmp_path / "a.json", "coco")
    said = json.loads((tmp_path / "a.json").read_text())
    assert (report.images, report.rows) == (10, 1)
    assert said["images"][5] == {"id": 5, "file_name": f"{pictures}/deep/5.png", "width": 32, "height": 24}
    (annotation,) = said["annotations"]
    assert (annotation["image_id"], annotation["category_id"], annotation["bbox"]) == (3, 1, [0, 0, 32, 24])


def test_coco_is_read_by_its_own_tools(store: Store, tmp_path: Path) -> None:
    tools = pytest.importorskip("pycocotools.coco")
    store.select("a", 3, 4)
    store.export_as(tmp_path / "a.json", "coco")
    assert sorted(tools.COCO(str(tmp_path / "a.json")).getImgIds(catIds=[1])) == [3, 4]


def test_nothing_is_done_where_no_labelled_picture_is_known(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none of the 2 pictures that .*instances.json names.*--pictures"):
        store.import_from(coco(tmp_path))
    assert store.selections() == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"images": 1, "annotations": [], "categories": []}',
        '{"images": [], "annotations": [{"image_id": 1, "category_id": 2}], "categories": []}',
        '{"images": [{"id": []}], "annotations": [], "categories": []}',
        '{"images": [], "annotations": [], "categories": []}',
        '{"images": [{"id": 1, "file_name": 3}], "annotations": [], "categories": [{"id": [], "name": 1}]}',
    ],
)
def test_a_damaged_file_of_coco_is_one_clear_line(text: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(BadInput, match="bad.json"):
        store.import_from(tmp_path / "bad.json")


@pytest.mark.parametrize("value", [None, 1, "a", "\0", "\ud800", [], {}, [[]]])
def test_whatever_coco_says_is_taken_or_refused(value: Any, store: Store, pictures: Path, tmp_path: Path) -> None:
    one = {"id": value, "image_id": value, "category_id": value, "name": value, "file_name": value}
    for key in ("images", "categories", "annotations"):
        for said in (value, [value], [one], [{**one, "id": 1}], [{**one, "id": 10}], [{**one, "id": [1]}]):
            with suppress(BadInput, NotFound):
                store.import_from(coco(tmp_path, **{key: said}), pictures=pictures)


def test_a_label_that_cannot_be_a_name_is_refused_before_anything_is_done(store: Store, pictures: Path) -> None:
    table = pictures / "labels.csv"
    table.write_text("0.png,cat\n1.png,@dog\n")
    with pytest.raises(BadInput, match=r"labels.csv: '@dog'"):
        store.import_from(table)
    assert store.selections() == []


def test_an_export_overwrites_nothing(store: Store, tmp_path: Path) -> None:
    store.select("a", 1)
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(BadInput, match="already exists"):
        store.export_as(tmp_path / "a.csv", "csv")
    with pytest.raises(BadInput, match="no format to export is called 'xml'; choose one of csv"):
        store.export_as(tmp_path / "a.xml", "xml")


def test_the_commands_say_what_was_done(store: Store, pictures: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [*map(str, arguments), "--store", str(store.path)])
        return done.exit_code, done.stdout, done.stderr

    (pictures / "labels.csv").write_text("0.png,cat\nx.png,dog\n")
    missing = f"1 labelled pictures are not in the store, such as {pictures}/x.png; add them, and repeat\n"
    said = "put 1 image into 1 selection, 1 of them new there\n"
    assert run("import", pictures / "labels.csv") == (0, said, missing)
    assert run("export", tmp_path / "out.csv", "--as", "csv")[:2] == (
        0,
        f"wrote 1 row of 1 image to {tmp_path}/out.csv\n",
    )
    assert run("import", tmp_path, "--from", "xml")[0] == 2
    assert run("import", tmp_path / "gone")[0] == 1
    code, out, error = run("import", pictures)
    assert (code, out, error.startswith(f"Error: {pictures} is a folder that shows no format; say which")) == (
        2,
        "",
        True,
    )
