"""Selections: named sets of images that a person makes by hand, from queries, and from each other.

A set is of images, not of files: a picture that moves stays in it, and one that is removed comes back to it.
"""

import csv
import io
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from vecstore.curation import acts
from vecstore.errors import BadInput
from vecstore.image_ref import ImageRef, named, require_stored
from vecstore.results import Selected, SelectionExport, SelectReport, StoredImage
from vecstore.search import stored_images
from vecstore.session import Session
from vecstore.sources.paths import archive_of, shown
from vecstore.sources.text_files import is_utf8
from vecstore.storage.catalog.acts import COPY, DONE, LINK
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.durable_files import replacing, replacing_path, translate_os_errors
from vecstore.storage.export_format import PARQUET
from vecstore.views.cluster_folders import require_empty

# Enough for a title; a name is shown in tables, and written into other programs' files.
NAME_CHARACTERS = 200
# What an export writes, by the suffix; anything else is a folder.
LISTS, TABLES = (".txt",), (".csv",)
COLUMNS = ("id", "path", "width", "height", "added", "cluster")


def select(
    session: Session,
    name: str,
    refs: Sequence[ImageRef],
    *,
    remove: bool,
    union: Sequence[str],
    intersect: Sequence[str],
    minus: Sequence[str],
) -> SelectReport:
    """Change a selection, which is made if need be; see `Store.select`."""
    name = require_name(name)
    if remove and (union or intersect or minus):
        raise BadInput("images are taken out, or sets are put together; leave remove or the other sets out")
    if not (refs or union or intersect or minus):
        raise BadInput(f"name the images to put into {name!r}, or sets to make it of")
    rows = {require_stored(session, ref) for ref in refs}
    catalog = session.catalog
    with session.writing("select", _told(name, refs, union=union, intersect=intersect, minus=minus)), catalog.writing():
        number = catalog.selections.named(name)
        if number is None and (remove or not (refs or union)):
            catalog.selections.require(name)
        of_others = [{row for other in others for row in _rows_of(catalog, other)} for others in (union, minus)]
        before = {*catalog.selections.rows(number)} if number is not None else set()
        wanted = before - rows if remove else before | rows | of_others[0]
        for other in intersect:
            wanted &= {*_rows_of(catalog, other)}
        wanted -= of_others[1]
        if number is None:
            number = catalog.selections.create(name)
        gone = catalog.selections.take_out(number, before - wanted)
        new = catalog.selections.add(number, wanted - before)
        return SelectReport(name, new, gone, catalog.selections.size(number))


def delete(session: Session, name: str) -> SelectReport:
    """Delete a selection, and none of its images; see `Store.delete_selection`."""
    with session.writing("select", f"delete {name}"), session.catalog.writing():
        number = session.catalog.selections.require(name)
        n_images = session.catalog.selections.size(number)
        session.catalog.selections.delete(number)
        return SelectReport(name, 0, n_images, 0)


def images(session: Session, name: str, k: int | None, start: int) -> list[Selected]:
    """Return the images of a selection, by id; see `Store.selected`."""
    catalog = session.catalog
    with catalog.reading():
        number, n_rows = catalog.selections.require(name), catalog.images.row_count()
        most = -1 if k is None else min(k, n_rows)
        found = catalog.selections.images(number, most, min(start, n_rows))
        return [Selected(row, os.fsdecode(path)) for row, path in found]


def require_name(name: str) -> str:
    """Return the name of a selection as it is kept. Raises BadInput for one that cannot be."""
    name = unicodedata.normalize("NFC", name.strip()) if name.isprintable() else name
    if not name:
        raise BadInput("the name of the selection is empty; give it one, such as holiday")
    if not name.isprintable() or len(name) > NAME_CHARACTERS:
        raise BadInput(
            f"{name[:NAME_CHARACTERS]!r} is no name for a selection: it may have {NAME_CHARACTERS} characters, no "
            "control characters and no line breaks"
        )
    if name == "-" or name.startswith("@"):
        raise BadInput(f"{name!r} is an image and no name for a selection; name the selection first: holiday {name}")
    return name


def export(session: Session, name: str, target: Path, link: bool) -> SelectionExport:
    """Write a selection as a list, a table or a folder; see `Store.export_selection`."""
    suffix = target.suffix.lower()
    is_file = suffix in (*LISTS, *TABLES, *PARQUET)
    if link and is_file:
        raise BadInput(f"links are made in a folder, and {target} is the name of a file; leave the suffix or link out")
    if is_file and not target.parent.is_dir():
        raise BadInput(f"{target.parent} is no folder to write {target.name} to; make it, or name another")
    if is_file and os.path.lexists(target):
        raise BadInput(f"{target} already exists, and an export overwrites nothing; name another file")
    if not is_file and suffix[1:].isalpha() and not target.is_dir():
        raise BadInput(
            f"{target} is neither .txt, .csv nor .parquet; choose one of these, or make a folder of that name first"
        )
    if not is_file:
        require_empty(target)
        ids = [image.id for image in images(session, name, None, 0)]
        if link:
            _require_linkable(session, ids)
        made = acts.collect(session, ids, target, LINK if link else COPY, False, None)
        missing = tuple(one.path for one in made.acts if one.state != DONE)
        return SelectionExport(name, str(target), made.done, missing)
    found = _described(session, name)
    with translate_os_errors(target):
        if suffix in PARQUET:
            _write_parquet(found, target)
        else:
            with replacing(target) as file:
                file.write(
                    as_list([os.fsencode(image.paths[0]) for image in found]) if suffix in LISTS else _csv(found)
                )
    return SelectionExport(name, str(target), len(found), ())


def as_list(paths: Sequence[bytes]) -> bytes:
    """Return paths as a list that `select NAME -` reads: one a line, by NULs if a path has a line end in it."""
    end = b"\0" if any(b"\n" in path or b"\r" in path for path in paths) else b"\n"
    return b"".join(path + end for path in paths)


def _described(session: Session, name: str) -> list[StoredImage]:
    """Return what the store knows of the images of a selection, by id."""
    with session.catalog.reading():
        return [stored_images.image(session, found.id) for found in images(session, name, None, 0)]


def _csv(found: Sequence[StoredImage]) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    table.writerows(
        [image.id, image.paths[0], image.width, image.height, image.added, image.cluster] for image in found
    )
    return text.getvalue().encode("utf-8", "surrogateescape")


def _write_parquet(found: Sequence[StoredImage], target: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise BadInput(f"writing {target} needs pyarrow; install vecstore[parquet], or name a .csv") from error
    paths = [os.fsencode(image.paths[0]) for image in found]
    is_text = all(map(is_utf8, paths))
    columns = {
        "id": pa.array([image.id for image in found], pa.int64()),
        "path": pa.array(
            [path.decode() for path in paths] if is_text else paths, pa.string() if is_text else pa.binary()
        ),
        "width": pa.array([image.width for image in found], pa.int64()),
        "height": pa.array([image.height for image in found], pa.int64()),
        "added": pa.array([image.added for image in found], pa.string()),
        "cluster": pa.array([image.cluster for image in found], pa.int64()),
    }
    with replacing_path(target) as draft:
        pq.write_table(pa.table(columns), draft)


def _rows_of(catalog: Catalog, name: str) -> list[int]:
    return catalog.selections.rows(catalog.selections.require(name))


def _told(name: str, refs: Sequence[ImageRef], **others: Sequence[str]) -> str:
    """Return what an operation is about, for a person."""
    sets = "".join(f" {how} {', '.join(names)}" for how, names in others.items() if names)
    return f"{name}: {named(refs)}{sets}" if refs else f"{name}:{sets}"


def _require_linkable(session: Session, ids: Sequence[int]) -> None:
    """Raise BadInput if the file that would be linked to is in an archive."""
    with session.catalog.reading():
        for row in ids:
            path = acts.file_to_take(session.catalog, row)
            if path is not None and archive_of(path) is not None:
                raise BadInput(f"{shown(path)} is inside an archive and cannot be linked to; leave --link out")
