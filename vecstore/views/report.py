"""The report: one page about a store, whole in itself, with thumbnails in it and nothing from elsewhere.

What is gathered here is plain values; the page is made of them by a template that escapes every one. The thumbnails of
a page are bounded in bytes together, so that a page of any store can be opened; what is left out is said on it.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from vecstore.arguments import whole_number
from vecstore.clustering import clusters as clustering
from vecstore.clustering.explanation import explain
from vecstore.clustering.trees import Grouping
from vecstore.defaults import NEAR_SCORE
from vecstore.errors import BadInput, NotFound, VecstoreError
from vecstore.results import Cluster, Clustering, Drawing, DuplicateFile, DuplicateGroup, Explanation, Oddity
from vecstore.search.duplicates import COPY, KEEP, NEAR
from vecstore.search.filters import Filter, Mask, moment
from vecstore.search.info import info
from vecstore.search.members import members
from vecstore.search.oddities import BOUNDS, oddities
from vecstore.search.query import allowed_in
from vecstore.session import Session
from vecstore.sources import decoding
from vecstore.sources.path_state import freed_by
from vecstore.sources.paths import shown
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.durable_files import naming
from vecstore.version import __version__
from vecstore.views import palette
from vecstore.views.canvas import Mark
from vecstore.views.contact_sheets import called, name
from vecstore.views.html_page import page, templates
from vecstore.views.map_layout import grouped, store_map
from vecstore.views.map_rendering import describe, svg_of
from vecstore.views.svg import Svg, data_uri, role_styles
from vecstore.views.thumbnails import Thumbnails, fit_to_box, thumbnail

# Of all thumbnails of a page together, as they stand in it.
MAX_THUMBNAIL_BYTES = 24 << 20
SIDE, QUALITY = 168, 78
# How many are shown of what there can be any number of.
CLUSTERS, TYPICAL, ODD, GROUPS, GROUP_SIZE, NEW, MOVED, FAILURES, OF_KIND = 100, 8, 4, 24, 6, 24, 24, 200, 12
# How many of the largest clusters are explained, and by how many samples: each takes a moment.
EXPLAINED, SAMPLES = 12, 5
# Near duplicates are looked for up to here: it compares all images with all.
MOST_TO_COMPARE = 50_000


@dataclass(frozen=True)
class Shot:
    """One image on the page. source: its thumbnail as a data URI, None where there is none."""

    id: int
    name: str
    path: str
    note: str
    source: str | None
    width: int = SIDE
    height: int = SIDE
    is_kept: bool = False

    @property
    def alt(self) -> str:
        return f"{self.name}, image @{self.id}"


@dataclass
class Shots:
    """Makes the images of one page, within its bound."""

    thumbnail_of: Callable[[int], bytes]
    left: int
    n_left_out: int = 0
    ids: set[int] = field(default_factory=set)

    def of(self, row: int, path: str, note: str = "", is_kept: bool = False) -> Shot:
        self.ids.add(row)
        path_shown = shown(os.fsencode(path))
        source = None
        size = (SIDE, SIDE)
        if self.left <= 0:
            self.n_left_out += 1
        else:
            try:
                picture = fit_to_box(self.thumbnail_of(row), SIDE, SIDE)
            except VecstoreError:  # its file is gone
                pass
            else:
                source, size = data_uri(decoding.encoded(picture, QUALITY)), picture.size
                self.left -= len(source)
        return Shot(row, name(path), path_shown, note, source, *size, is_kept)


@dataclass(frozen=True)
class Described:
    """A cluster on the page."""

    cluster: Cluster
    title: str
    nearest: str
    colour: str
    shape: str
    typical: Sequence[Shot]
    odd: Sequence[Shot]
    explained: Explanation | None = None


@dataclass(frozen=True)
class Since:
    """What became of a store since a moment or a clustering. sizes: (cluster, before, now) of those that go on."""

    asked: str
    new: int
    new_shots: Sequence[Shot]
    before: Clustering | None
    moved: int
    moved_shots: Sequence[Shot]
    born: Sequence[Cluster]
    gone: Sequence[tuple[str, int]]
    sizes: Sequence[tuple[Cluster, int, int]]


GroupsOf: TypeAlias = Callable[[float, bool], Iterator[DuplicateGroup]]


@dataclass(frozen=True)
class Asked:
    """What a report is to have. since, conditions: as of `Store.report`. level: of a tree, whose clusters they are.

    duplicates: returns the groups from a score on, or those of equal files alone. rules: which file of them to keep.
    """

    since: str | None
    conditions: Filter
    level: Grouping | None
    duplicates: GroupsOf
    rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """A group of duplicates on the page. size: of all of its files. bytes: that deleting its copies frees."""

    shots: Sequence[Shot]
    size: int
    bytes: int
    why: str | None


@dataclass(frozen=True)
class Chosen:
    """Which images a report is about. allowed: (rows,) bool, None for all of them."""

    conditions: Filter
    allowed: Mask | None

    def has(self, row: int) -> bool:
        return self.allowed is None or bool(self.allowed[row])

    @property
    def images(self) -> int | None:
        """How many they are, None for all."""
        return None if self.allowed is None else int(self.allowed.sum())


def write_report(session: Session, file: Path, asked: Asked) -> Drawing:
    """Write the report of a store; see `Store.report`."""
    if file.suffix.lower() not in (".html", ".htm"):
        raise BadInput(f"a report is a page; name a file that ends in .html, not {file}")
    thumbnails = Thumbnails()
    shots = Shots(lambda row: thumbnail(session, row, thumbnails), MAX_THUMBNAIL_BYTES)
    with session.catalog.reading():  # a clustering beside it may change every id
        chosen = _chosen(session, asked.conditions)
        clusters = _clusters(session, chosen, asked.level)
        since = asked.since
        values = {
            "info": info(session),
            "clusters": clusters,
            "total": sum(cluster.size for cluster in clusters),
            "chosen": chosen.images,
            "since": _since(session, shots, _clusters(session, chosen), since, chosen) if since is not None else None,
            "described": _described(session, shots, clusters, chosen, asked.level),
            "level": asked.level is not None,
            "map": _map(session, shots, clusters, chosen, asked.level),
            "elbow": _elbow(session),
            **_duplicates(session, shots, asked),
            "rules": asked.rules,
            "outliers": _outliers(session, shots, chosen) if clusters else [],
            "oddities": _oddities(session, shots, chosen),
            "failures": [(shown(os.fsencode(f.path)), f.reason) for f in session.catalog.failures.all()[:FAILURES]],
        }
    values["left_out"] = shots.n_left_out  # known when all the others are made
    text = _rendered(values)
    with naming(file):
        file.write_text(text, encoding="utf-8")
    return Drawing(str(file), len(shots.ids), values["info"].images)


def _chosen(session: Session, conditions: Filter) -> Chosen:
    if conditions == Filter():
        return Chosen(conditions, None)
    n_rows = session.catalog.images.row_count()
    allowed = allowed_in(session, n_rows, conditions)
    return Chosen(conditions, np.ones(n_rows, np.bool_) if allowed is None else allowed)


def _clusters(session: Session, chosen: Chosen, level: Grouping | None = None) -> list[Cluster]:
    """Return the clusters that have chosen images, with how many, the largest first."""
    try:
        found = clustering.clusters(session) if level is None else level.clusters
    except NotFound:
        return []
    current = session.catalog.clusterings.current()
    if chosen.allowed is None or current is None:
        return found
    group_of = {} if level is None else level.group_of
    labels = session.catalog.memberships.all(current)
    sizes = Counter(group_of.get(cluster, cluster) for row, cluster, _ in labels if chosen.has(row))
    kept = [replace(cluster, size=sizes[cluster.cluster]) for cluster in found if sizes[cluster.cluster]]
    return sorted(kept, key=lambda cluster: (cluster.noise, -cluster.size))


def _described(
    session: Session, shots: Shots, clusters: Sequence[Cluster], chosen: Chosen, level: Grouping | None
) -> list[Described]:
    described: list[Described] = []
    names = {cluster.cluster: called(cluster) for cluster in clusters}
    for cluster in clusters[:CLUSTERS]:
        typical = members(session, cluster.cluster, TYPICAL, False, 0, chosen.conditions, None)
        n_odd = min(ODD, cluster.size - len(typical))
        odd = members(session, cluster.cluster, n_odd, True, 0, chosen.conditions, None) if n_odd else []
        kinds = [[shots.of(m.id, m.path, f"{m.distance:.3f}") for m in some] for some in (typical, odd)]
        nearest = names.get(cluster.nearest, f"Cluster {cluster.nearest}") if cluster.nearest is not None else ""
        is_explained = len(described) < EXPLAINED and chosen.allowed is None and level is None and not cluster.noise
        explained = explain(session, cluster.cluster, 0, SAMPLES, 0, make_head=False) if is_explained else None
        style, (typical_shots, odd_shots) = palette.style_of(cluster), kinds
        described.append(
            Described(cluster, called(cluster), nearest, *style, typical_shots, odd_shots, explained=explained)
        )
    return described


def _map(
    session: Session, shots: Shots, clusters: Sequence[Cluster], chosen: Chosen, level: Grouping | None
) -> tuple[str, str] | None:
    found = store_map(session, False, None)
    found = found if level is None else grouped(found, level.group_of)
    found = replace(found, points=tuple(point for point in found.points if chosen.has(point.id)))
    if not found.points:
        return None
    label = f"Map of {describe(found)}, near each other where they are alike"
    return svg_of(found, clusters, shots.thumbnail_of).element(label), label


def _elbow(session: Session) -> dict[str, Any]:
    from vecstore.views.plots import elbow_curve

    try:
        found = clustering.elbow(session, 0, None, None)
    except BadInput as error:  # too few images
        return {"reason": str(error)}
    light, dark = (data_uri(elbow_curve(found, "svg", dark), "image/svg+xml") for dark in (False, True))
    return {"found": found, "light": light, "dark": dark}


def _duplicates(session: Session, shots: Shots, asked: Asked) -> dict[str, Any]:
    exact = session.catalog.images.count() > MOST_TO_COMPARE
    groups: list[Group] = []
    n_groups = n_spare = 0
    freed = Counter[str]()
    for group in asked.duplicates(NEAR_SCORE, exact):
        n_groups += 1
        for file in group.files:
            n_spare += file.kind in (COPY, NEAR)
            freed[file.kind] += freed_by(os.fsencode(file.path))
        if n_groups <= GROUPS:
            kept = group.files[0]
            why = kept.why if kept.kind == KEEP else "no file of it can be read"
            shown = [shots.of(file.id, file.path, _kind(file), file.kind == KEEP) for file in group.files[:GROUP_SIZE]]
            groups.append(Group(shown, len(group.files), group.bytes, why))
    return {"groups": groups, "n_groups": n_groups, "n_spare": n_spare, "only_copies": exact, "freed": freed}


def _kind(file: DuplicateFile) -> str:
    """Return what a file is to the one to keep, how sure that is, and its size."""
    relation = file.relation if file.kind == NEAR else {KEEP: "to keep"}.get(file.kind, file.kind)
    if file.kind == NEAR and file.confidence < 1:
        relation += f" ({100 * file.confidence:.0f} % sure)"
    size = "" if file.bytes is None else f", {_bytes(file.bytes)}"
    return f"{relation}, {file.width} × {file.height}{size}"


def _outliers(session: Session, shots: Shots, chosen: Chosen) -> list[Shot]:
    most = TYPICAL if chosen.allowed is None else session.catalog.images.row_count()
    found = [member for member in clustering.outliers(session, most) if chosen.has(member.id)][:TYPICAL]
    return [shots.of(member.id, member.path, f"{member.distance:.3f}") for member in found]


def _oddities(session: Session, shots: Shots, chosen: Chosen) -> list[tuple[str, str, int, list[Shot]]]:
    """Return (kind, what makes it odd, how many there are, some of them) of each kind that there are any of."""
    found: dict[str, list[Oddity]] = {}
    for oddity in oddities(session, [], chosen.conditions):
        found.setdefault(oddity.kind, []).append(oddity)
    return [
        (
            kind,
            f"{BOUNDS[kind].measure} {BOUNDS[kind].operator} {BOUNDS[kind].value:g}",
            len(some),
            [shots.of(oddity.id, oddity.path, f"{oddity.value:.4g}") for oddity in some[:OF_KIND]],
        )
        for kind, some in found.items()
    ]


def _since(session: Session, shots: Shots, clusters: Sequence[Cluster], asked: str, chosen: Chosen) -> Since:
    """Return what became of the store. Raises BadInput for no such moment, NotFound for no such clustering."""
    runs = session.catalog.clusterings.all()
    number = whole_number(asked)
    if number is not None:
        before = next((run for run in runs if run.clustering == number), None)
        if before is None:
            there = ", ".join(str(run.clustering) for run in runs) or "none"
            raise NotFound(f"no clustering {asked}; there are {there}. A date is such as 2026-05-31 or 7d")
        start, asked = before.created, f"clustering {asked}"
    else:
        start = moment(asked)
        before = max((run for run in runs if run.created <= start), key=lambda run: run.created, default=None)
    with session.catalog.reading():
        return _compared(session.catalog, shots, clusters, asked, start, before, chosen)


def _compared(
    catalog: Catalog,
    shots: Shots,
    clusters: Sequence[Cluster],
    asked: str,
    start: str,
    before: Clustering | None,
    chosen: Chosen,
) -> Since:
    new = [row for row in catalog.images.added_since(start) if catalog.images.is_alive(row) and chosen.has(row)]
    new_shots = [shots.of(row, _path(catalog, row)) for row in new[-NEW:]]
    current = catalog.clusterings.current()
    if before is None or current is None or not clusters:
        return Since(asked, len(new), new_shots, before, 0, [], [], [], [])
    then = {row: cluster for row, cluster, _ in catalog.memberships.all(before.clustering) if chosen.has(row)}
    for row in new:  # they got a cluster when they were added; that they have another now is no move of what was there
        then.pop(row, None)
    pairs = ((row, then[row], cluster) for row, cluster, _ in catalog.memberships.all(current) if row in then)
    moved = [(row, one, other) for row, one, other in pairs if one != other]
    sizes_then = {
        found.cluster: (found.name or called(found), found.size)
        for found in catalog.clusterings.cluster_sizes(before.clustering)
    }
    if chosen.allowed is not None:
        counted = Counter(then.values())
        sizes_then = {cluster: (name, counted[cluster]) for cluster, (name, _) in sizes_then.items()}
    ids = {cluster.cluster for cluster in clusters}
    gone = [
        (label, size)
        for number, (label, size) in sizes_then.items()
        # One that was empty from the first is not gone.
        if number not in ids and (size or catalog.memberships.member_rows(before.clustering, number))
    ]
    return Since(
        asked=asked,
        new=len(new),
        new_shots=new_shots,
        before=before,
        moved=len(moved),
        moved_shots=[shots.of(row, _path(catalog, row), f"from {one} to {other}") for row, one, other in moved[:MOVED]],
        born=[cluster for cluster in clusters if cluster.cluster not in sizes_then],
        gone=gone,
        sizes=[(c, sizes_then[c.cluster][1], c.size) for c in clusters if c.cluster in sizes_then],
    )


def _path(catalog: Catalog, row: int) -> str:
    return os.fsdecode(catalog.paths.first_of(row) or b"")


def _rendered(values: dict[str, Any]) -> str:
    from markupsafe import Markup

    made = templates(bytes=_bytes, called=called, svg=Markup)  # `svg` is for what vecstore.views.svg made
    body = made.get_template("report.html.j2").render(
        **values, shapes=_shapes, title=_title(values["info"].store), version=__version__, limits=_LIMITS
    )
    style = made.get_template("report.css.j2").render(light=palette.LIGHT, dark=palette.DARK)
    return page(_title(values["info"].store), role_styles() + style, body)


_LIMITS = {"clusters": CLUSTERS, "groups": GROUPS, "failures": FAILURES}


def _title(store: str) -> str:
    return f"Report on {shown(os.fsencode(os.path.basename(store)))}"


def _shapes(colour: str, shape: str) -> str:
    """Return a cluster's mark as a small SVG."""
    svg = Svg(18, 18)
    svg.draw(Mark(9, 9, 8, colour, shape))
    return svg.element(f"{shape} mark")


def _bytes(n: int) -> str:
    value = float(n)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
