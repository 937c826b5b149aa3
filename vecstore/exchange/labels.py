"""Labels that people gave, as selections: of folders (ImageFolder), of a table (CSV), or of COCO's annotations.

A label becomes the selection of its name; an image with several labels is in several. The labels are of pictures that
the store has, by path, and all of a source come in one operation, which `undo` takes back.
"""

import csv
import io
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from vecstore.clustering.evaluation import labelled_lines
from vecstore.curation.selections import require_name
from vecstore.errors import BadInput, NotFound
from vecstore.exchange.formats import load_json
from vecstore.exchange.new_files import as_text, new_file
from vecstore.results import ExportReport, LabelsReport
from vecstore.session import Session
from vecstore.sources.paths import is_address, shown
from vecstore.sources.spelling import as_stored
from vecstore.storage.catalog.catalog import Catalog

BLOCK_PATHS = 4_096
# Paths of pictures that are not in the store, told to a person.
MISSING_SHOWN = 3


def take_table(session: Session, source: Path, pictures: Path | None) -> LabelsReport:
    """Make selections of the labels of a CSV of path,label."""
    lines = labelled_lines(source, pictures or source.parent)
    return take_labels(session, source, ((path, label) for _, path, label in lines))


def take_coco(session: Session, source: Path, pictures: Path | None) -> LabelsReport:
    """Make selections of the categories of COCO's annotations."""
    return take_labels(session, source, _coco_labels(source, os.fsencode(pictures or source.parent)))


def put_folders(session: Session, source: Path) -> LabelsReport:
    """Make selections of the folders in a folder, of the pictures in each, however deep. The lock is held."""
    found = session.catalog.paths.rows_in_folders_in(os.fsencode(source))
    return _put(session, source, _grouped(source, ((row, os.fsdecode(os.path.basename(path))) for path, row in found)))


def require_label_folders(source: Path) -> None:
    """Raise BadInput unless a folder has folders whose names can be those of selections."""
    names = [entry.name for entry in source.iterdir() if entry.is_dir()]
    if not names:
        raise BadInput(f"{source} has no folders, which would be the labels of the pictures in them; name their parent")
    for name in names:
        _selection_of(source, name)


def take_labels(session: Session, source: Path, labelled: Iterable[tuple[bytes, str]]) -> LabelsReport:
    """Make selections of labels by path, as one operation. Raises what `put_labels` does."""
    with session.writing("select", shown(os.fsencode(source))):
        return put_labels(session, source, labelled)


def put_labels(session: Session, source: Path, labelled: Iterable[tuple[bytes, str]]) -> LabelsReport:
    """Make selections of labels by path; the lock is held.

    Raises NotFound, with nothing done, if the store has none of the pictures.
    """
    missing: set[bytes] = set()
    rows_of = _grouped(source, _known(session.catalog, labelled, missing))
    if not rows_of:
        if not missing:
            raise BadInput(f"{source} has no labels; nothing was done")
        raise NotFound(
            f"the store {session.path} has none of the {len(missing)} pictures that {source} names, such as "
            f"{shown(min(missing))}; add them first, or say with --pictures in which folder they are"
        )
    return _put(session, source, rows_of, missing)


def _known(catalog: Catalog, labelled: Iterable[tuple[bytes, str]], missing: set[bytes]) -> Iterator[tuple[int, str]]:
    """Yield (row, label) of the paths that the store knows; the others go to `missing`."""
    remaining = iter(labelled)
    while block := list(islice(remaining, BLOCK_PATHS)):
        rows = catalog.paths.rows_at({path for path, _ in block})
        for path, label in block:
            row = rows.get(path)
            if row is None and not path.isascii():
                spelled = as_stored(path, catalog.paths.under)
                row = catalog.paths.rows_at([spelled]).get(spelled)
            if row is None:
                missing.add(path)
            else:
                yield row, label


def _grouped(source: Path, labelled: Iterable[tuple[int, str]]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = defaultdict(set)
    for row, label in labelled:
        found[label].add(row)
    named: dict[str, set[int]] = defaultdict(set)
    for label, rows in found.items():
        named[_selection_of(source, label)] |= rows
    return named


def _selection_of(source: Path, label: str) -> str:
    try:
        return require_name(label)
    except BadInput as error:
        raise BadInput(f"{source}: {error}; no selection was made") from error


def _put(session: Session, source: Path, rows_of: dict[str, set[int]], missing: Iterable[bytes] = ()) -> LabelsReport:
    catalog = session.catalog
    with catalog.writing():
        added = sum(catalog.selections.add(catalog.selections.create(name), rows) for name, rows in rows_of.items())
    paths = sorted(missing)
    few = tuple(os.fsdecode(path) for path in paths[:MISSING_SHOWN])
    images = len(set().union(*rows_of.values()))
    return LabelsReport(str(source), tuple(sorted(rows_of)), images, added, len(paths), few)


def _coco_labels(source: Path, folder: bytes) -> Iterator[tuple[bytes, str]]:
    try:
        # Outlines are most of such a file: of each annotation only what is needed stays, while the rest is read.
        said = load_json(source, "annotations of COCO", object_hook=_without_outlines)
        if not isinstance(said, dict) or not {"images", "annotations", "categories"} <= said.keys():
            raise BadInput(f"{source} is not a file of COCO annotations: it needs images, annotations and categories")
        names = {one["id"]: str(one["name"]) for one in said["categories"]}
        paths = {one["id"]: _path_in(folder, one["file_name"]) for one in said["images"]}
        pairs = {(one["image_id"], one["category_id"]) for one in said["annotations"]}
        found = sorted((paths[image], names[category]) for image, category in pairs)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{source} is a damaged file of COCO annotations ({error!r}); nothing was done") from error
    yield from found


def _without_outlines(said: dict[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in ("image_id", "category_id")} if "category_id" in said else said


def _path_in(folder: bytes, name: str) -> bytes:
    path = os.fsencode(name)
    return path if is_address(path) else os.path.normpath(os.path.join(folder, path))


def write_table(session: Session, target: Path) -> ExportReport:
    """Write a line path,label for each path of each image in each selection."""
    with session.catalog.reading(), new_file(target) as file:
        text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        table = csv.writer(text)
        table.writerow(("path", "label"))
        rows, images = 0, set()
        for _, row, name in _selected(session.catalog):
            for path in session.catalog.paths.of(row):
                table.writerow((os.fsdecode(path), name))
                rows += 1
            images.add(row)
        text.flush()
        text.detach()
    return ExportReport(str(target), None, len(images), rows, os.path.getsize(target))


def write_coco(session: Session, target: Path) -> ExportReport:
    """Write all images, and the selections as categories: an annotation is of the whole image."""
    catalog = session.catalog
    with catalog.reading(), new_file(target) as file:
        sizes, n_paths = {}, 0

        def images() -> Iterator[dict[str, Any]]:
            for row in catalog.images.alive_rows():
                width, height, _ = catalog.images.size_and_time(row)
                sizes[row] = width, height
                path = as_text(catalog.paths.of(row)[0], target)
                yield {"id": row, "file_name": path, "width": width, "height": height}

        def annotations() -> Iterator[dict[str, Any]]:
            for number, (selection, row, _) in enumerate(_selected(catalog), start=1):
                width, height = sizes[row]
                shape = {"bbox": [0, 0, width, height], "area": width * height, "segmentation": [], "iscrowd": 0}
                yield {"id": number, "image_id": row, "category_id": selection, **shape}

        names = enumerate(catalog.selections.names(), start=1)
        categories = ({"id": number, "name": name, "supercategory": ""} for number, name in names)
        file.write(b'{"info": {"description": "written by vecstore"}')
        for key, values in (("categories", categories), ("images", images()), ("annotations", annotations())):
            n_paths = _write_list(file, key, values)
        file.write(b"}\n")
    return ExportReport(str(target), None, len(sizes), n_paths, os.path.getsize(target))


def _write_list(file: BinaryIO, key: str, values: Iterable[dict[str, Any]]) -> int:
    file.write(f', "{key}": ['.encode())
    count = 0
    for value in values:
        file.write((b",\n" if count else b"\n") + json.dumps(value).encode())
        count += 1
    file.write(b"]")
    return count


def _selected(catalog: Catalog) -> Iterator[tuple[int, int, str]]:
    """Yield (number from 1, row, name) for each image of each selection. Raises NotFound if there is no selection."""
    names = catalog.selections.names()
    if not names:
        raise NotFound("the store has no selections, which are the labels; `vecstore select NAME IMAGE...` makes one")
    for number, name in enumerate(names, start=1):
        for row, _ in catalog.selections.images(catalog.selections.require(name)):
            yield number, row, name
