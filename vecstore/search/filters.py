"""Filters: which images a query may return, as a mask over the rows.

The mask is applied during the search, so a query returns k results whenever k images fit. Without conditions only the
ids of hidden images (removed, or with a damaged vector) are read, which are few.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from typing import Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from vecstore.arguments import (
    Check,
    optional,
    require_cluster,
    require_moment,
    require_place,
    require_some_patterns,
    require_text,
)
from vecstore.errors import BadInput
from vecstore.search.conditions import DATES, UNITS, moment_condition, near, parse, period
from vecstore.sources.path_pattern import PathPattern
from vecstore.sources.paths import ARCHIVE_SUFFIXES, AnyPath
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.conditions import AllOf, AnyOf, Comparison, Condition

# The `!` behind an archive's name in the path of a member: patterns treat an archive as a folder of that name.
INTO_ARCHIVE = re.compile(f"({'|'.join(re.escape(os.fsdecode(end)) for end in ARCHIVE_SUFFIXES)})!(?=/|$)", re.I)
# A folder that is called like an archive, in a pattern.
ARCHIVE_NAME = re.compile(f"({'|'.join(re.escape(os.fsdecode(end)) for end in ARCHIVE_SUFFIXES)})/", re.I)
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Filter:
    """Conditions on images; None: no condition.

    Attributes
    ----------
    cluster: only members of this cluster of the current clustering, by its id or name.
    not_cluster: no members of this cluster.
    path: only images with a path that fits any of these patterns; see `path_test`.
    added_after: only images added since then; see `moment`.
    in_selection, not_in_selection: only images of this selection; none of that one.
    taken_after, taken_before: only images taken then or later, or before; see `conditions.period`.
    camera: only images of which the camera, or its maker, contains this.
    place: only images taken near a town whose name, with that of its country, contains this; or in this country, by its
        name or code. Needs the extra `places`.
    near: only images taken within so many kilometres of a place, as `LATITUDE,LONGITUDE,KM`.
    where: only images of which this condition holds; see `conditions`.
    """

    cluster: int | str | None = None
    not_cluster: int | str | None = None
    path: tuple[AnyPath, ...] = ()
    added_after: str | date | None = None
    taken_after: str | date | None = None
    taken_before: str | date | None = None
    camera: str | None = None
    place: str | None = None
    near: str | None = None
    where: str | None = None
    in_selection: str | None = None
    not_in_selection: str | None = None

    @classmethod
    def of(cls, **conditions: Any) -> "Filter":
        """Return these conditions, a single path pattern too, and a place as three numbers.

        Raises BadInput, and TypeError for what is none, as a method that takes them does for any other argument.
        """
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in conditions if name not in known]:
            raise TypeError(f"got an unexpected keyword argument {unknown[0]!r}; conditions are {', '.join(known)}")
        return require_filter("conditions", cls(**conditions))


FIELD_CHECKS: dict[str, Check] = {
    "cluster": optional(require_cluster),
    "not_cluster": optional(require_cluster),
    "path": require_some_patterns,
    "added_after": optional(require_moment),
    "taken_after": optional(require_moment),
    "taken_before": optional(require_moment),
    "camera": optional(require_text),
    "place": optional(require_text),
    "near": optional(require_place),
    "where": optional(require_text),
    "in_selection": optional(require_text),
    "not_in_selection": optional(require_text),
}


def require_filter(name: str, value: object) -> Filter:
    """Return conditions, each checked; None is none. Raises BadInput for anything else."""
    if value is None:
        return Filter()
    if not isinstance(value, Filter):
        raise BadInput(f"{name} is not a `Filter`; give one, such as Filter(where='rating >= 4')")
    checked = {field.name: getattr(value, field.name) for field in fields(value)}
    return replace(value, **{n: FIELD_CHECKS[n](n, v) if n in FIELD_CHECKS else v for n, v in checked.items()})


class Conditions(TypedDict, total=False):
    """The fields of a `Filter` as named arguments; a single path pattern, or several."""

    cluster: int | str | None
    not_cluster: int | str | None
    path: AnyPath | Sequence[AnyPath]
    added_after: str | date | None
    taken_after: str | date | None
    taken_before: str | date | None
    camera: str | None
    place: str | None
    near: str | Sequence[float] | None
    where: str | None
    in_selection: str | None
    not_in_selection: str | None


def allowed_rows(catalog: Catalog, n_rows: int, conditions: Filter, clustering: Callable[[], int]) -> Mask | None:
    """Return which rows may be found, (n_rows,) bool; None: all of them.

    Parameters
    ----------
    catalog: inside a read transaction.
    n_rows: rows that the catalog counts.
    conditions: which images to allow.
    clustering: returns the current clustering; called only if a condition needs it.

    Raises
    ------
    NotFound: a cluster or selection does not exist.
    BadInput: a path pattern, a date or time, or a condition is not valid.
    """
    hidden = catalog.images.hidden_rows()
    if not hidden and conditions == Filter():
        return None
    allowed = np.ones(n_rows, np.bool_)
    allowed[hidden] = False
    for wanted, is_in in ((conditions.cluster, True), (conditions.not_cluster, False)):
        if wanted is not None:
            node = catalog.clusterings.require_node(clustering(), wanted)
            held = catalog.trees.clusters_below(clustering(), node)
            rows = [row for cluster in held for row in catalog.memberships.member_rows(clustering(), cluster)]
            allowed &= _mask(n_rows, rows) == is_in
    for name, is_in in ((conditions.in_selection, True), (conditions.not_in_selection, False)):
        if name is not None:
            allowed &= _mask(n_rows, catalog.selections.rows(catalog.selections.require(name))) == is_in
    if conditions.path:
        allowed &= _mask(n_rows, [row for pattern in conditions.path for row in _rows_at(catalog, pattern)])
    if conditions.added_after is not None:
        allowed &= _mask(n_rows, catalog.images.added_since(moment(conditions.added_after)))
    on_facts = [*_on_facts(conditions)]
    if on_facts:
        allowed &= _mask(n_rows, catalog.facts.fitting(AllOf(on_facts)))
    return allowed


def _on_facts(conditions: Filter) -> Iterator[Condition]:
    """Yield the conditions on what the images' files say. Raises BadInput."""
    for operator, when in ((">=", conditions.taken_after), ("<", conditions.taken_before)):
        if when is not None:
            try:
                yield moment_condition("taken", operator, *period(when))
            except ValueError as error:
                raise BadInput(f"{when!r} is not a date or time; give {DATES}") from error
    if conditions.camera is not None:
        yield AnyOf([Comparison(field, "contains", conditions.camera) for field in ("camera", "maker")])
    if conditions.place is not None:
        yield AnyOf([Comparison("place", "contains", conditions.place), Comparison("country", "=", conditions.place)])
    if conditions.near is not None:
        yield near(conditions.near)
    if conditions.where is not None:
        yield parse(conditions.where)


def _rows_at(catalog: Catalog, pattern: AnyPath) -> list[int]:
    folder = _plain_folder(os.fsdecode(pattern))
    if folder is not None:  # as the test below answers it, without a look at the other paths
        return catalog.paths.rows_below(os.fsencode(folder))
    fits = path_test(pattern)
    return [row for row, path in catalog.paths.all() if fits(path)]


def _plain_folder(pattern: str) -> str | None:
    """Return the folder that a pattern names in full, as `/photos/2024/` does; None for any other pattern."""
    if not re.fullmatch(r"/(?:[^/*?\[\]!\\\n]*[^/*?\[\]!\\\s]/)+", pattern) or ARCHIVE_NAME.search(pattern):
        return None
    return None if {".", ".."} & {*pattern.split("/")} else pattern


def path_test(pattern: AnyPath) -> Callable[[bytes], bool]:
    """Return a function that tests whether a stored path fits a pattern with the rules of .gitignore.

    A pattern that begins with `/`, `./`, `../` or `~` is anchored there; any other fits at every depth. `*` and `?` do
    not match a slash, `**` does. A pattern that fits a folder or an archive fits everything in it. Bytes that are not
    UTF-8 are matched unchanged.

    Raises BadInput for an invalid pattern, or one that cannot fit any path.

    >>> in_holiday = path_test("holiday/")
    >>> in_holiday(b"/photos/holiday/beach/cat.jpg"), in_holiday(b"/photos/holiday.jpg")
    (True, False)
    >>> path_test("*.png")(b"/photos/album.zip!/icon.png")
    True
    """
    text = os.fsdecode(pattern)
    try:
        covers = PathPattern.compile(_anchored(text)).covers if text.strip() else None
    except ValueError:
        covers = None
    if covers is None:
        raise BadInput(f"{text!r} is not a path pattern; give one such as '*.png', 'holiday/' or '/home/me/Photos'")
    search = covers.search
    return lambda path: search(INTO_ARCHIVE.sub(r"\1", os.fsdecode(path).lstrip("/"))) is not None


def moment(when: str | date) -> str:
    """Return a time as the catalog stores it: in UTC, to the second.

    Parameters
    ----------
    when: a datetime, in local time if it has no time zone; a date, which means its first moment; either of them as ISO
        text; or a period up to now in hours, days or weeks, such as `24h`, `7d` or `2w`.

    Raises
    ------
    BadInput: it is none of these.

    Examples
    --------
    >>> moment("2026-05-31T18:30:00+02:00")
    '2026-05-31T16:30:00Z'
    """
    try:
        return _datetime(when).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError) as error:
        raise BadInput(
            f"{when!r} is not a date or time; give a date such as 2026-05-31, a time such as 2026-05-31T18:30, "
            "or a period up to now, such as 24h, 7d or 2w"
        ) from error


def _datetime(when: str | date) -> datetime:
    if isinstance(when, datetime):
        return when
    if isinstance(when, date):
        return datetime(when.year, when.month, when.day)
    ago = re.fullmatch(r"([0-9]+)([hdw])", when.strip())
    if ago:
        return datetime.now(UTC) - int(ago[1]) * UNITS[ago[2]]
    return datetime.fromisoformat(when.strip())


def _anchored(pattern: str) -> str:
    if pattern.startswith("~"):
        pattern = os.path.expanduser(pattern)
    elif pattern.startswith(("./", "../")):
        pattern = os.path.abspath(pattern) + ("/" if pattern.endswith("/") else "")
    pattern = INTO_ARCHIVE.sub(r"\1", pattern)
    return pattern if pattern.startswith("/") else f"**/{pattern}"


def _mask(n_rows: int, rows: list[int]) -> Mask:
    mask = np.zeros(n_rows, np.bool_)
    mask[rows] = True
    return mask
