"""Pictures of a map: PNG, SVG, or a page to look around in. Colour and shape are the cluster's.

As many images as have room are shown as thumbnails, none over another; the others are marks. A picture says how many
that are, and whether there are images that are not on it. What is drawn is laid out once, for all three.
"""

import math
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from vecstore.errors import BadInput, VecstoreError
from vecstore.results import Cluster, MapPoint, StoreMap
from vecstore.sources.paths import shown
from vecstore.storage.durable_files import naming
from vecstore.views import palette
from vecstore.views.canvas import Canvas, Mark, Picture, Rectangle, Text
from vecstore.views.contact_sheets import ThumbnailOf, called
from vecstore.views.lettering import elided, width_of
from vecstore.views.pixels import Pixels
from vecstore.views.svg import Svg, role_styles
from vecstore.views.thumbnails import squared

WIDTH, MARGIN = 1600, 40
LEAST_HEIGHT, MOST_HEIGHT = 520, 1100  # of the map below the header
HEADER, LEGEND_WIDTH, LEGEND_ROW = 92, 280, 26
# Sides of thumbnails, in pixels: the largest that leaves room for most of the images, else the least.
SIDES, LEAST_SIDE, MOST_ROOM = (120, 104, 92, 80, 70, 60), 46, 0.9
RIM = 3
LABEL_SIZE, LABEL_HEIGHT = 15, 26
MOST_LABELS = 40
# By how many of its sides a thumbnail may be moved to have room, of maps of up to so many images. Of more images than
# these, there is one of the kind wherever there is room.
REACHES = ((300, 2.5), (3_000, 1.0))
# Of marks, from how many of them on.
MARK_RADII = ((8_000, 2.4), (3_000, 3.2), (0, 4.5))
PLAIN = (palette.COLOURS[0], "circle")  # without clusters


@dataclass(frozen=True)
class _Box:
    """A part of the picture, in pixels from the upper left corner."""

    left: float
    top: float
    width: float
    height: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )


@dataclass(frozen=True)
class _Layout:
    """Places on the picture. height: of the picture. at: (x, y) of each point of the map. labels: of clusters, by id.

    framed: the thumbnails and where their left upper corner is, by the index of their point.
    """

    height: int
    at: list[tuple[float, float]]
    labels: dict[int, _Box]
    framed: dict[int, tuple[float, float, Image.Image]]


def write_map(found: StoreMap, clusters: Sequence[Cluster], thumbnail_of: ThumbnailOf, file: Path) -> None:
    """Draw a map into a file: .png, .svg or .html by its suffix. clusters: largest first, none before the first.

    Raises BadInput for another suffix or a map without images, OSError.
    """
    require_suffix(file)
    suffix = file.suffix.lower()
    if not found.points:
        raise BadInput("the store has no images to map; `vecstore add` some first")
    if suffix == ".png":
        layout = _laid_out(found.points, clusters, thumbnail_of)
        pixels = Pixels(WIDTH, layout.height)
        _draw(pixels, found, clusters, layout, titles=False)
        with naming(file):
            pixels.image.save(file, "PNG", optimize=True)
        return
    svg = svg_of(found, clusters, thumbnail_of)
    label = describe(found)
    drawn = svg.document(label) if suffix == ".svg" else _page(svg, label)
    with naming(file):
        file.write_text(drawn, encoding="utf-8")


def require_suffix(file: Path) -> None:
    """Raise BadInput unless a map can be such a file."""
    if file.suffix.lower() not in (".png", ".svg", ".html"):
        raise BadInput(f"a map is a picture or a web page; name a file that ends in .png, .svg or .html, not {file}")


def svg_of(found: StoreMap, clusters: Sequence[Cluster], thumbnail_of: ThumbnailOf) -> Svg:
    """Return a map as SVG."""
    layout = _laid_out(found.points, clusters, thumbnail_of)
    svg = Svg(WIDTH, layout.height)
    _draw(svg, found, clusters, layout, titles=True)
    return svg


def describe(found: StoreMap) -> str:
    """Return what is on a map, in words."""
    n = len(found.points)
    return f"{n:,} of {found.images:,} images, a sample" if found.sampled else f"{n:,} image{'s' * (n != 1)}"


def _draw(canvas: Canvas, found: StoreMap, clusters: Sequence[Cluster], layout: _Layout, titles: bool) -> None:
    styles = {cluster.cluster: palette.style_of(cluster) for cluster in clusters}
    shared = len({colour for colour, _ in styles.values()}) < len(clusters)
    n_framed, n_marks = len(layout.framed), len(found.points) - len(layout.framed)
    canvas.draw(Text(MARGIN, 50, f"Map of {describe(found)}", 26, bold=True))
    shown_as = f" · {n_framed:,} shown as thumbnails, {n_marks:,} as marks" if n_marks else ""
    canvas.draw(Text(MARGIN, 78, f"Near each other: alike (t-SNE){shown_as}", 15, "pale"))
    radius = next(radius for least, radius in MARK_RADII if n_marks >= least)
    # Marks first: a thumbnail covers those below it, and no mark a thumbnail.
    for i in sorted(range(len(found.points)), key=layout.framed.__contains__):
        point = found.points[i]
        title = f"@{point.id} {shown(os.fsencode(point.path))}" if titles else ""
        colour, shape = styles.get(point.cluster, PLAIN) if point.cluster is not None else PLAIN
        if i not in layout.framed:
            canvas.draw(Mark(*layout.at[i], radius, colour, shape, title))
            continue
        left, top, picture = layout.framed[i]
        for rim, paint in ((RIM + 1, "paper"), (RIM, colour)):
            canvas.draw(Rectangle(left - rim, top - rim, picture.width + 2 * rim, picture.height + 2 * rim, paint))
        canvas.draw(Picture(left, top, picture, title))
        if shared:  # a colour stands for more than one cluster
            canvas.draw(Mark(left + 2, top + 2, 6, colour, shape))
    for cluster in clusters:
        if cluster.cluster in layout.labels:
            _draw_label(canvas, layout.labels[cluster.cluster], _short(cluster), *styles[cluster.cluster])
    if clusters:
        _draw_legend(canvas, found.points, clusters, layout.height, styles)


def _draw_label(canvas: Canvas, box: _Box, text: str, colour: str, shape: str) -> None:
    canvas.draw(Rectangle(box.left, box.top, box.width, box.height, "paper", colour, 2, radius=box.height / 2))
    canvas.draw(Mark(box.left + 15, box.top + box.height / 2, 6, colour, shape))
    canvas.draw(Text(box.left + 25, box.top + 18, text, LABEL_SIZE, bold=True))


def _short(cluster: Cluster) -> str:
    return elided(called(cluster), 200, LABEL_SIZE, bold=True)


def _laid_out(points: Sequence[MapPoint], clusters: Sequence[Cluster], thumbnail_of: ThumbnailOf) -> _Layout:
    width = WIDTH - 2 * MARGIN - (LEGEND_WIDTH + MARGIN if clusters else 0)
    places = [(point.x, point.y) for point in points]
    within = _Box(MARGIN, HEADER, width, _height(places, clusters, width))
    at = _scaled(places, within)
    labels = _labels(points, at, clusters, within)
    order = list(range(len(points)))
    random.Random(0).shuffle(order)
    side, corners = LEAST_SIDE, {}
    for side in (*SIDES, LEAST_SIDE):
        if side != LEAST_SIDE and MOST_ROOM * len(points) * side**2 > within.width * within.height:
            continue
        corners = _with_room(at, order, side + 2 * RIM + 2, within, [*labels.values()])
        if len(corners) >= MOST_ROOM * len(points):
            break
    framed = {}
    for i, (left, top) in corners.items():
        with suppress(VecstoreError):  # its file is gone: it stays a mark
            framed[i] = (left + RIM + 1, top + RIM + 1, squared(thumbnail_of(points[i].id), side))
    return _Layout(round(HEADER + within.height + MARGIN), at, labels, framed)


def _height(places: Sequence[tuple[float, float]], clusters: Sequence[Cluster], width: float) -> float:
    """Return how high the map is to be, so that it fills its width, within bounds."""
    spans = [max(axis) - min(axis) for axis in zip(*places, strict=True)]
    wanted = width * spans[1] / spans[0] if spans[0] else width
    return max(LEAST_HEIGHT, min(MOST_HEIGHT, max(wanted, LEGEND_ROW * (len(clusters) + 3))))


def _scaled(places: Sequence[tuple[float, float]], within: _Box) -> list[tuple[float, float]]:
    """Return places of a map as places on the picture, both axes alike, y upwards as on paper."""
    xs, ys = [x for x, _ in places], [y for _, y in places]
    inset = LEAST_SIDE  # of thumbnails, so that few have to be moved inwards
    rooms = ((within.width - 2 * inset, max(xs) - min(xs)), (within.height - 2 * inset, max(ys) - min(ys)))
    scale = min((room / span for room, span in rooms if span), default=1.0)
    middle = ((max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2)
    centre = (within.left + within.width / 2, within.top + within.height / 2)
    return [(centre[0] + (x - middle[0]) * scale, centre[1] - (y - middle[1]) * scale) for x, y in places]


def _with_room(
    at: Sequence[tuple[float, float]], order: Sequence[int], side: float, within: _Box, taken: Sequence[_Box]
) -> dict[int, tuple[float, float]]:
    """Return the left upper corners of squares that meet none of each other, by index, for those that have room.

    A square is around its place, or near it (`REACHES`).
    """
    filled: dict[tuple[int, int], list[_Box]] = {}

    def cells(box: _Box) -> Iterator[tuple[int, int]]:
        for column in range(int(box.left // side), int((box.left + box.width) // side) + 1):
            for row in range(int(box.top // side), int((box.top + box.height) // side) + 1):
                yield column, row

    def fill(box: _Box) -> None:
        for cell in cells(box):
            filled.setdefault(cell, []).append(box)

    for box in taken:
        fill(box)
    found: dict[int, tuple[float, float]] = {}
    nudges = _nudges(next((reach for most, reach in REACHES if len(order) <= most), 0.0))
    for i in order:
        for dx, dy in nudges:
            left = round(min(max(at[i][0] + (dx - 0.5) * side, within.left), within.left + within.width - side))
            top = round(min(max(at[i][1] + (dy - 0.5) * side, within.top), within.top + within.height - side))
            box = _Box(left, top, side, side)
            if not any(box.meets(other) for cell in cells(box) for other in filled.get(cell, ())):
                fill(box)
                found[i] = (left, top)
                break
    return found


def _nudges(reach: float) -> list[tuple[float, float]]:
    """Return ways aside, in sides, the least first."""
    steps = range(-round(4 * reach), round(4 * reach) + 1)
    ways = [(dx / 4, dy / 4) for dx in steps for dy in steps]
    return sorted((way for way in ways if math.hypot(*way) <= reach), key=lambda way: math.hypot(*way))


def _labels(
    points: Sequence[MapPoint], at: Sequence[tuple[float, float]], clusters: Sequence[Cluster], within: _Box
) -> dict[int, _Box]:
    """Return where the names of the largest clusters go, each on one of its images."""
    members: dict[int, list[tuple[float, float]]] = {}
    for point, place in zip(points, at, strict=True):
        if point.cluster is not None:
            members.setdefault(point.cluster, []).append(place)
    labels: dict[int, _Box] = {}
    for cluster in [cluster for cluster in clusters if cluster.cluster in members][:MOST_LABELS]:
        places = members[cluster.cluster]
        # A cluster can lie in two parts with nothing of it between them: not the mean, but the image nearest to it.
        centre = tuple(sum(axis) / len(places) for axis in zip(*places, strict=True))
        x, y = min(places, key=partial(math.dist, centre))
        width = width_of(_short(cluster), LABEL_SIZE, bold=True) + 37
        left = min(max(x - width / 2, within.left), within.left + within.width - width)
        heights = [y - LABEL_HEIGHT / 2 + step * sign * LABEL_HEIGHT / 2 for step in range(20) for sign in (1, -1)]
        boxes = [_Box(round(left), round(top), round(width), LABEL_HEIGHT) for top in heights]
        free = (
            box
            for box in boxes
            if within.top <= box.top <= within.top + within.height - LABEL_HEIGHT
            and not any(box.meets(other) for other in labels.values())
        )
        labels[cluster.cluster] = next(free, boxes[0])
    return labels


def _draw_legend(
    canvas: Canvas,
    points: Sequence[MapPoint],
    clusters: Sequence[Cluster],
    height: int,
    styles: dict[int, tuple[str, str]],
) -> None:
    left, right = WIDTH - MARGIN - LEGEND_WIDTH, WIDTH - MARGIN
    on_map = Counter(point.cluster for point in points)
    canvas.draw(Text(left, HEADER + 8, f"{sum(not cluster.noise for cluster in clusters)} clusters", 15, bold=True))
    canvas.draw(Text(right, HEADER + 8, "images", 13, "pale", "end"))
    canvas.draw(Rectangle(left, HEADER + 20, LEGEND_WIDTH, 1, "line"))
    top = HEADER + 46
    room = int((height - MARGIN - top) // LEGEND_ROW) + 1
    listed = clusters if len(clusters) <= room else clusters[: room - 1]
    for row, cluster in enumerate(listed):
        y = top + row * LEGEND_ROW
        canvas.draw(Mark(left + 8, y - 5, 7, *styles[cluster.cluster]))
        count = f"{cluster.size:,}"
        text = elided(called(cluster), LEGEND_WIDTH - 40 - width_of(count, 14), 14)
        canvas.draw(Text(left + 24, y, text, 14, "ink" if on_map[cluster.cluster] else "pale"))
        canvas.draw(Text(right, y, count, 14, "pale", "end"))
    if len(listed) < len(clusters):
        rest = clusters[len(listed) :]
        canvas.draw(Text(left + 24, top + len(listed) * LEGEND_ROW, f"and {len(rest):,} more", 14, "pale"))
        total = f"{sum(cluster.size for cluster in rest):,}"
        canvas.draw(Text(right, top + len(listed) * LEGEND_ROW, total, 14, "pale", "end"))


def _page(svg: Svg, label: str) -> str:
    from markupsafe import Markup

    from vecstore.views.html_page import page, templates

    made = templates()
    style = role_styles() + made.get_template("map.css.j2").render(light=palette.LIGHT, dark=palette.DARK)
    body = made.get_template("map.html.j2").render(svg=Markup(svg.element(label)))  # which escapes what it is given
    return page(f"Map of {label}", style, body, made.get_template("map.js").render())
