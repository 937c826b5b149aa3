"""Contact sheets: the thumbnails of a cluster, of all clusters, or of what is similar to an image, with captions.

A sheet first says what it shows and how many of how many; a long one goes on over several pages, drawn one at a time,
so that memory is that of a page however large the store is.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vecstore.arguments import checked, require_callable, require_path
from vecstore.clustering import clusters, lifecycle
from vecstore.errors import BadInput, NotFound, VecstoreError
from vecstore.image_ref import ImageRef, NewPicture, as_path, identify
from vecstore.results import Cluster, Drawing, Member, Neighbour
from vecstore.search.filters import Filter
from vecstore.search.members import members
from vecstore.search.query import nearest
from vecstore.session import Session
from vecstore.sources.paths import absolute, shown
from vecstore.storage.catalog.clusterings import ClusterSize
from vecstore.storage.durable_files import naming
from vecstore.views import palette
from vecstore.views.canvas import Picture, Rectangle, Text
from vecstore.views.lettering import elided, width_of
from vecstore.views.pixels import Pixels
from vecstore.views.thumbnails import Thumbnails, fit_to_box

COLUMNS, CELL_WIDTH, CELL_HEIGHT = 6, 204, 153
MARGIN, GAP, CAPTIONS = 40, 16, 46
HEADER, HEADING = 96, 44
PAGE_ROWS = 16
CAPTION_SIZE, NOTE_SIZE = 13, 12

# Gives the thumbnail of an image by its id; raises VecstoreError if there is none.
ThumbnailOf = Callable[[int], bytes]


NONE = Filter()


@dataclass(frozen=True)
class Cell:
    """One picture and its caption. id: of the image; None for a file that is not stored, whose JPEG is `picture`."""

    id: int | None
    caption: str
    note: str
    picture: bytes | None = None


@dataclass(frozen=True)
class Section:
    """Pictures under a heading, which may be empty."""

    heading: str
    note: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Sheet:
    """The content of a contact sheet. of: the number of images that it is a selection of."""

    title: str
    note: str
    sections: tuple[Section, ...]
    of: int


def sheet(
    session: Session,
    cluster: int | str | None,
    similar: ImageRef | None,
    representatives: bool,
    k: int | None,
    farthest: bool,
    chosen: Filter = NONE,
) -> Sheet:
    """Return what a contact sheet shows; see `Store.sheet`."""
    if (cluster is not None) + (similar is not None) + representatives > 1:
        raise BadInput("a sheet shows one cluster, what is similar to one image, or the representatives; choose one")
    if similar is not None:
        return _of_similar(session, similar, k or 30, chosen)
    if cluster is None and chosen != NONE:
        return _of_selection(session, representatives, k or 60, chosen)
    with session.catalog.reading():  # or a clustering in between could take the cluster away
        if cluster is not None:
            shown_members = members(session, cluster, k or 60, farthest, 0, chosen, None)
            described = lifecycle.describe_one(session.catalog, clusters.current_clusters(session), cluster)
            return of_cluster(described, shown_members, farthest)
        found = clusters.clusters(session)
        if representatives:
            return of_representatives(found[:k])
        return of_clusters([(c, clusters.members(session, c.cluster, k or 6, farthest)) for c in found])


def _of_selection(session: Session, representatives: bool, k: int, chosen: Filter) -> Sheet:
    """Return the sheet of a selection, by id. Raises NotFound without such a selection, and if it is empty."""
    if representatives or chosen.in_selection is None or chosen.not_in_selection is not None:
        raise BadInput("a sheet shows one selection with --in; name a CLUSTER or --similar beside other conditions")
    with session.catalog.reading():
        number = session.catalog.selections.require(chosen.in_selection)
        found = list(session.catalog.selections.images(number))
    if not found:
        raise NotFound(f"the selection {chosen.in_selection!r} has no images to draw")
    cells = tuple(Cell(row, name(os.fsdecode(path)), f"@{row}") for row, path in found[:k])
    part = f"{len(cells):,} of {len(found):,} images" if len(cells) < len(found) else _count(len(found))
    return Sheet(chosen.in_selection, f"{part}, by id", (Section("", "", cells),), len(found))


def _of_similar(session: Session, ref: ImageRef, k: int, chosen: Filter) -> Sheet:
    image = identify(session, ref)
    with session.catalog.reading():
        hits = nearest(session, [image], [], chosen, k)
        n_images = session.catalog.images.count()
        has_clusters = any(hit.cluster is not None for hit in hits)
        names = {found.cluster: called(found) for found in clusters.clusters(session)} if has_clusters else {}
        if not isinstance(image, NewPicture):
            path = os.fsdecode(session.catalog.paths.first_of(image) or b"")
            return of_similar(name(path), None, hits, n_images, names)
    picture = Thumbnails().of(absolute(as_path(ref)), image.sha256)
    return of_similar(name(os.fsdecode(absolute(as_path(ref)))), picture, hits, n_images, names)


def require_sheet(name: str, value: object) -> Sheet:
    if not isinstance(value, Sheet):
        raise BadInput(f"{name} is of the type {type(value).__name__}; what `Store.sheet` returns is wanted")
    return value


def of_cluster(cluster: Cluster, members: Sequence[Member], farthest: bool) -> Sheet:
    """Return the sheet of a cluster. members: those to show, in order. Raises NotFound without any."""
    if not members:
        raise NotFound(
            f"cluster {cluster.cluster} has no images left to draw; `vecstore clusters` lists those that have"
        )
    order = "the odd ones first" if farthest else "most typical first"
    shown_part = f"{len(members):,} of {cluster.size:,} images" if len(members) < cluster.size else _count(cluster.size)
    cells = tuple(Cell(member.id, name(member.path), f"distance {member.distance:.3f}") for member in members)
    return Sheet(
        called(cluster), f"{shown_part}, {order} · {_figures(cluster)}", (Section("", "", cells),), cluster.size
    )


def of_clusters(found: Sequence[tuple[Cluster, Sequence[Member]]]) -> Sheet:
    """Return the sheet of all clusters: a row of the most typical images of each. Raises NotFound without any."""
    _require_images(found)
    sections = tuple(
        Section(
            called(cluster),
            f"{_count(cluster.size)} · {_figures(cluster)}",
            tuple(Cell(member.id, name(member.path), f"distance {member.distance:.3f}") for member in members),
        )
        for cluster, members in found
    )
    total = sum(cluster.size for cluster, _ in found)
    return Sheet(f"{len(found)} clusters", f"{_count(total)}; of each cluster the most typical", sections, total)


def of_representatives(found: Sequence[Cluster]) -> Sheet:
    """Return the sheet of the most typical image of every cluster, largest first. Raises NotFound without any."""
    _require_images(found)
    cells = tuple(Cell(c.representative_id, called(c), f"{_count(c.size)}, {_cohesion(c)}") for c in found)
    total = sum(cluster.size for cluster in found)
    note = f"The most typical image of each, largest cluster first · {_count(total)}"
    return Sheet(f"{len(found)} clusters", note, (Section("", "", cells),), total)


def of_similar(
    query: str, picture: bytes | None, hits: Sequence[Neighbour], images: int, names: Mapping[int, str]
) -> Sheet:
    """Return the sheet of what is similar to an image.

    picture: a thumbnail of it, if it is not stored. names: what to call each cluster.
    """
    asked = (Cell(None, query, "asked for", picture),) if picture is not None else ()
    cells = tuple(
        Cell(
            hit.id,
            name(hit.path),
            f"{hit.score:.4f}" + (f" · {names.get(hit.cluster, hit.cluster)}" if hit.cluster is not None else ""),
        )
        for hit in hits
    )
    note = f"The nearest {len(hits):,} of {_count(images)}, with their scores; 1 is the same picture"
    return Sheet(f"Most similar to {query}", note, (Section("", "", asked + cells),), images)


def called(cluster: Cluster | ClusterSize) -> str:
    """Return the name of a cluster in pictures; a suggested name is marked by a question mark."""
    if cluster.name:
        return f"{cluster.name} ({cluster.cluster})"
    return f"Cluster {cluster.cluster}" + (f", {cluster.suggested}?" if cluster.suggested else "")


def name(path: str) -> str:
    return shown(os.path.basename(os.fsencode(path)))


@checked(sheet=require_sheet, thumbnail_of=require_callable, file=require_path)
def write_sheet(sheet: Sheet, thumbnail_of: ThumbnailOf, file: Path) -> list[Drawing]:
    """Write a sheet as PNG, over several files if it is long: FILE, FILE-2, FILE-3, ... Return what was written.

    An image whose file is gone and that has no thumbnail is an empty frame that says so. Raises BadInput for a file
    that does not end in .png, OSError.
    """
    file = Path(os.fsdecode(file))
    if file.suffix.lower() != ".png":
        raise BadInput(f"a contact sheet is a PNG; name a file that ends in .png, not {file}")
    pages = [*_pages(sheet)]
    written = []
    for number, sections in enumerate(pages, start=1):
        target = file if number == 1 else file.with_stem(f"{file.stem}-{number}")
        part = f" · page {number} of {len(pages)}" if len(pages) > 1 else ""
        page = draw_page(sheet.title, sheet.note + part, sections, thumbnail_of)
        with naming(target):
            page.save(target, "PNG", optimize=True)
        written.append(
            Drawing(str(target), sum(cell.id is not None for section in sections for cell in section.cells), sheet.of)
        )
    return written


def draw_page(title: str, note: str, sections: Sequence[Section], thumbnail_of: ThumbnailOf) -> Image.Image:
    """Return one page, as high as its sections need."""
    columns = max(1, min(COLUMNS, max((len(section.cells) for section in sections), default=1)))
    width = (
        2 * MARGIN + COLUMNS * (CELL_WIDTH + GAP) - GAP if columns > 3 else 2 * MARGIN + 3 * (CELL_WIDTH + GAP) - GAP
    )
    row_height = CELL_HEIGHT + CAPTIONS + GAP
    height = HEADER + MARGIN // 2
    for section in sections:
        height += (HEADING if section.heading else 0) + -(-len(section.cells) // COLUMNS) * row_height
    page = Pixels(width, height)
    page.draw(Text(MARGIN, 50, elided(title, width - 2 * MARGIN, 24, bold=True), 24, bold=True))
    page.draw(Text(MARGIN, 76, elided(note, width - 2 * MARGIN, 14), 14, "pale"))
    top = HEADER
    for section in sections:
        if section.heading:
            _draw_heading(page, section, top, width)
            top += HEADING
        for number, cell in enumerate(section.cells):
            row, column = divmod(number, COLUMNS)
            _draw_cell(page, cell, MARGIN + column * (CELL_WIDTH + GAP), top + row * row_height, thumbnail_of)
        top += -(-len(section.cells) // COLUMNS) * row_height
    return page.image


def _pages(sheet: Sheet) -> Iterator[list[Section]]:
    page: list[Section] = []
    rows_left = PAGE_ROWS
    for section in sheet.sections:
        cells, heading = section.cells, section.heading
        while cells:
            if not rows_left:
                yield page
                page, rows_left = [], PAGE_ROWS
            part, cells = cells[: rows_left * COLUMNS], cells[rows_left * COLUMNS :]
            page.append(Section(heading, section.note, part))
            rows_left -= -(-len(part) // COLUMNS)
            heading = section.heading and f"{section.heading}, continued"
    yield page


def _draw_heading(page: Pixels, section: Section, top: float, width: int) -> None:
    page.draw(Rectangle(MARGIN, top, width - 2 * MARGIN, 1, "line"))
    heading = elided(section.heading, width / 2, 16, bold=True)
    page.draw(Text(MARGIN, top + 28, heading, 16, bold=True))
    after = MARGIN + width_of(heading, 16, bold=True) + 14
    page.draw(Text(after, top + 28, elided(section.note, width - MARGIN - after, CAPTION_SIZE), CAPTION_SIZE, "pale"))


def _draw_cell(page: Pixels, cell: Cell, left: float, top: float, thumbnail_of: ThumbnailOf) -> None:
    page.draw(Rectangle(left, top, CELL_WIDTH, CELL_HEIGHT, "ground"))
    picture = _picture(cell, thumbnail_of)
    if picture is None:
        page.draw(
            Text(left + CELL_WIDTH / 2, top + CELL_HEIGHT / 2 + 4, "no picture: its file is gone", 12, "pale", "middle")
        )
    else:
        place = (left + (CELL_WIDTH - picture.width) // 2, top + (CELL_HEIGHT - picture.height) // 2)
        page.draw(Picture(*place, picture))
        if cell.id is None:
            page.draw(Rectangle(left - 3, top - 3, CELL_WIDTH + 6, CELL_HEIGHT + 6, stroke=palette.COLOURS[0], thick=3))
    page.draw(Text(left, top + CELL_HEIGHT + 19, elided(cell.caption, CELL_WIDTH, CAPTION_SIZE), CAPTION_SIZE))
    page.draw(Text(left, top + CELL_HEIGHT + 37, elided(cell.note, CELL_WIDTH, NOTE_SIZE), NOTE_SIZE, "pale"))


def _picture(cell: Cell, thumbnail_of: ThumbnailOf) -> Image.Image | None:
    if cell.picture is not None:
        return fit_to_box(cell.picture, CELL_WIDTH, CELL_HEIGHT)
    try:
        return fit_to_box(thumbnail_of(cell.id or 0), CELL_WIDTH, CELL_HEIGHT)
    except VecstoreError:
        return None


def _require_images(clusters: Sequence[object]) -> None:
    if not clusters:
        raise NotFound("every clustered image was removed; run `vecstore cluster -k N` when there are images again")


def _figures(cluster: Cluster) -> str:
    separation = f", separation {cluster.separation:.2f}" if cluster.separation is not None else ""
    return f"{_cohesion(cluster)}{separation}"


def _cohesion(cluster: Cluster) -> str:
    return "no cohesion" if cluster.cohesion is None else f"cohesion {cluster.cohesion:.2f}"


def _count(n: int) -> str:
    return f"{n:,} image{'s' * (n != 1)}"
