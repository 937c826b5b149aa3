"""The map as arrays: where all images lie that have a place, and a value of each to colour them by.

For the page, which draws a million of them. Both are in the order of `map_layout.in_map_order`, so that any number of
the first is a fair sample. A value is a number of 16 bits: of a category, or along a scale.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecstore.clustering import trees
from vecstore.errors import BadInput, NotFound
from vecstore.search.browsing import Listings, state_of
from vecstore.search.grouping import grouping
from vecstore.session import Session
from vecstore.sources.paths import shown
from vecstore.storage.places import is_installed
from vecstore.views.map_layout import stored_positions, version_of_map
from vecstore.words.tagging import NO_CLASS, best_recorded
from vecstore.words.vocabulary import vocabulary

Values = NDArray[np.uint16]

# A value of a category that is not among the largest; 0 is for images that have none.
OTHER = 65_535
# As many as there are colours and shapes, less the grey of all others.
MOST_CATEGORIES = 47
# A scale ends where a hundredth of the images lie beyond. Sizes and sharpness differ by factors.
ENDS, LOGARITHMIC = (1, 99), ("bytes", "pixels", "sharpness")
NO_MAP = "there is no map yet; `vecstore map` draws one"

# What images can be coloured by: fields of `catalog.conditions.FIELDS`.
TEXTS = ("camera", "lens", "maker", "format", "orientation", "rating")
NUMBERS = (
    *("taken", "added", "brightness", "contrast", "sharpness", "entropy", "shadows", "highlights"),
    *("bytes", "pixels", "aspect"),
)
COLOURS = ("cluster", "selection", "folder", "word", "month", "year", *TEXTS, "place", *NUMBERS)


@dataclass(frozen=True)
class Colouring:
    """by: one of `COLOURS`. level, cut: of a tree, the clusters are those of this level, or of a cut into so many."""

    by: str
    level: int | None = None
    cut: int | None = None


@dataclass(frozen=True)
class MapPositions:
    """The images on the map that a store keeps. ids: (n,) uint32. positions: (n, 2) float32, same unit on both axes.

    images: in the store.
    """

    ids: NDArray[np.uint32]
    positions: NDArray[np.float32]
    images: int


@dataclass(frozen=True)
class Category:
    """name: None of a cluster without one. cluster: its id, None of other categories. images: of it, on the map."""

    name: str | None
    cluster: int | None
    images: int


@dataclass(frozen=True)
class MapValues:
    """What the images on the map are coloured by. values: (n,) uint16, in the order of `MapPositions`.

    Of categories, 1 is the first of them, `OTHER` any that is not listed. Of a scale, 1 is `least` or less, 65,535
    `most` or more, and in between it is linear, or logarithmic. 0: an image that has none.
    """

    by: str
    values: Values
    categories: tuple[Category, ...] | None
    least: float | None = None
    most: float | None = None
    is_logarithmic: bool = False


def positions(session: Session, listings: Listings) -> MapPositions:
    """Return where the images lie; see `Store.map_positions`."""
    with session.catalog.reading():
        return _kept_positions(session, listings, version_of_map(session))


def _kept_positions(session: Session, listings: Listings, version: tuple[int, ...]) -> MapPositions:
    # The map can be drawn again without any change of the catalog.
    return listings.kept(("map", version), state_of(session), lambda: _positions(session))


def _positions(session: Session) -> MapPositions:
    found = stored_positions(session)
    if found is None:
        raise NotFound(NO_MAP)
    rows, at = found
    return MapPositions(rows.astype(np.uint32), at, session.catalog.images.count())


def positions_and_values(
    session: Session, listings: Listings, kept_trees: trees.Trees, asked: Colouring
) -> tuple[MapPositions, MapValues]:
    """Return where the images lie, and a value of each: of one moment, even if the map is just drawn anew."""
    with session.catalog.reading():
        version = version_of_map(session)  # once: values must not be kept as those of another map's images
        at = _kept_positions(session, listings, version)
        key = ("map", version, asked)
        return at, listings.kept(key, state_of(session), lambda: values_of(session, kept_trees, asked, at.ids))


def offered(session: Session) -> tuple[str, ...]:
    """Return what at least one image has a value of: names of `COLOURS`."""
    catalog = session.catalog
    with catalog.reading():
        known = catalog.facts.known_fields((*TEXTS, *NUMBERS))
        there = {
            "cluster": catalog.clusterings.current() is not None,
            "selection": bool(catalog.selections.names()),
            "folder": True,
            "added": True,
            "word": catalog.tags.are_kept(),
            **dict.fromkeys(("month", "year"), "taken" in known),
            "place": is_installed() and bool(catalog.facts.known_fields(("latitude",))),
        }
    return tuple(name for name in COLOURS if there.get(name, name in known))


def values_of(session: Session, kept_trees: trees.Trees, asked: Colouring, rows: NDArray[np.uint32]) -> MapValues:
    """Return a value of each of these images. Raises BadInput for what is not one of `COLOURS`."""
    by, catalog = asked.by, session.catalog
    if by not in COLOURS:
        raise BadInput(f"{by!r} is nothing to colour a map by; choose one of {', '.join(COLOURS)}")
    is_grouped = asked.level is not None or asked.cut is not None
    if is_grouped and by != "cluster":
        raise BadInput(f"a level or a cut of a tree says which clusters to colour by, and nothing of {by!r}")
    if by == "cluster":
        groups = trees.grouping(session, kept_trees, asked.level, asked.cut).group_of if is_grouped else None
        return _by_cluster(session, rows, groups)
    if by in NUMBERS:
        return _of_numbers(by, catalog.facts.each(by), rows)
    found: Iterable[tuple[int, Hashable]]
    if by == "selection":
        # The smallest of an image's selections: a large one says less of it.
        sizes = sorted((one.images, one.name) for one in catalog.selections.all())
        numbers = [(catalog.selections.require(name), name) for _, name in reversed(sizes)]
        found = ((row, name) for number, name in numbers for row in catalog.selections.rows(number))
    elif by == "word":
        best, names = best_recorded(session, catalog.images.row_count()), vocabulary().names
        found = ((row, names[one][0]) for row, one in enumerate(best.tolist()) if one != NO_CLASS)
    elif by == "folder":
        found = _folders(dict(catalog.paths.first_of_all()))
    elif by in ("month", "year"):
        length = len("2024-05" if by == "month" else "2024")
        found = ((row, taken and taken[:length]) for row, taken in catalog.facts.each("taken"))
    elif by == "place":
        places = grouping(session, "place")
        found = ((row, places.names[n]) for row, n in enumerate(places.numbers.tolist()) if n < len(places.names))
    else:
        found = catalog.facts.each(by)
    return _of_categories(by, found, rows)


def _by_cluster(session: Session, rows: NDArray[np.uint32], group_of: Mapping[int, int] | None) -> MapValues:
    """group_of: what each cluster counts as, if not as itself."""
    current = session.catalog.clusterings.current()
    labels = [] if current is None else session.catalog.memberships.labels(current)
    row_of, cluster_of = np.fromiter(chain.from_iterable(labels), np.int64, 2 * len(labels)).reshape(-1, 2).T
    known, number_of = np.unique(cluster_of, return_inverse=True)
    if group_of is not None:
        known, group_number = np.unique([group_of[cluster] for cluster in known.tolist()], return_inverse=True)
        number_of = group_number[number_of]
    numbers = np.full(_length(rows, row_of), -1, np.int64)
    numbers[row_of] = number_of
    codes, order, counts = _coded(numbers[rows], len(known), OTHER - 1)
    ids = known[order].tolist()
    categories = tuple(Category(None, cluster, n) for cluster, n in zip(ids, counts, strict=True))
    return MapValues("cluster", codes, categories)


def _of_categories(by: str, found: Iterable[tuple[int, Hashable]], rows: NDArray[np.uint32]) -> MapValues:
    """found: (row, its category or None), the last of a row counts."""
    number_of: dict[Hashable, int] = {}
    numbered = (n for row, name in found if name is not None for n in (row, number_of.setdefault(name, len(number_of))))
    row_of, numbers_of = np.fromiter(numbered, np.int64).reshape(-1, 2).T
    numbers = np.full(_length(rows, row_of), -1, np.int64)
    numbers[row_of] = numbers_of
    codes, order, counts = _coded(numbers[rows], len(number_of), MOST_CATEGORIES)
    names = list(number_of)
    return MapValues(
        by, codes, tuple(Category(_in_words(names[i]), None, n) for i, n in zip(order, counts, strict=True))
    )


def _in_words(name: Hashable) -> str:
    return shown(name) if isinstance(name, bytes) else str(name)


def _coded(numbers: NDArray[np.int64], n_categories: int, most: int) -> tuple[Values, NDArray[np.int64], list[int]]:
    """Return the codes of categories by number, -1 for none; which of them are listed, largest first; their counts."""
    counts = np.bincount(numbers[numbers >= 0], minlength=n_categories)
    order = np.argsort(-counts, kind="stable")[: min(most, np.count_nonzero(counts))]
    code_of = np.full(n_categories + 1, OTHER, np.uint16)  # the last is that of number -1
    code_of[order] = np.arange(1, len(order) + 1)
    code_of[-1] = 0
    return code_of[numbers], order, counts[order].tolist()


def _of_numbers(by: str, found: Iterable[tuple[int, Any]], rows: NDArray[np.uint32]) -> MapValues:
    make = MOMENTS.get(by, float)
    pairs = [(row, make(value)) for row, value in found if value is not None]
    row_of = np.array([row for row, _ in pairs], np.int64)
    numbers = np.full(_length(rows, row_of), np.nan)
    numbers[row_of] = [number for _, number in pairs]
    numbers = numbers[rows]
    there = np.isfinite(numbers)
    codes = np.zeros(len(rows), np.uint16)
    if not there.any():
        return MapValues(by, codes, None)
    least, most = np.percentile(numbers[there], ENDS)
    is_logarithmic = bool(by in LOGARITHMIC and least > 0)
    low, high, scaled = least, most, numbers[there]
    if is_logarithmic:
        low, high, scaled = np.log(least), np.log(most), np.log(np.maximum(scaled, least))
    part = np.clip((scaled - low) / max(high - low, 1e-12), 0, 1)
    codes[there] = 1 + np.round(part * (OTHER - 1))
    return MapValues(by, codes, None, float(least), float(most), is_logarithmic)


def _length(rows: NDArray[np.uint32], others: NDArray[np.int64]) -> int:
    return 1 + max(int(rows.max(initial=0)), int(others.max(initial=0)))


@lru_cache(10_000)  # what was added together has the same one
def _seconds(moment: str) -> float:
    """Return a moment as a camera writes it in seconds since 1970, whatever its zone; not a number if it is none."""
    try:
        return datetime.fromisoformat(moment[:19]).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("nan")


MOMENTS = {"taken": _seconds, "added": _seconds}


def _folders(paths: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield (row, folder), the folders cut to the depth at which there are as many as can be told apart."""
    folder_of = {row: path[: path.rfind(b"/")] for row, path in paths.items()}  # a million, so nothing dearer
    parts = {folder: folder.split(b"/") for folder in {*folder_of.values()}}
    called: dict[bytes, bytes] = {}
    for depth in range(1, 1 + max(map(len, parts.values()), default=0)):
        cut = {folder: b"/".join(own[:depth]) or b"/" for folder, own in parts.items()}
        if called and len({*cut.values()}) > MOST_CATEGORIES:
            break
        called = cut
    yield from ((row, called[folder]) for row, folder in folder_of.items())
