"""Which images a question is about: those that are alive and fit the conditions, as a mask over the rows.

A mask goes into the search, so that as many as were asked for come out where there are as many. Without conditions
nothing is read but the hidden images (removed, or with a damaged vector), which are few.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecstore.errors import BadInput
from vecstore.sources.path_pattern import PathPattern
from vecstore.sources.paths import ARCHIVE_SUFFIXES, AnyPath
from vecstore.storage.catalog.catalog import Catalog

# How the path of a picture in an archive goes on; to a pattern an archive is a folder, called as it is.
INTO_ARCHIVE = re.compile(f"({'|'.join(re.escape(os.fsdecode(end)) for end in ARCHIVE_SUFFIXES)})!(?=/|$)", re.I)
Mask: TypeAlias = NDArray[np.bool_]
UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True)
class Filter:
    """cluster, not_cluster: in, or not in, that cluster of the current clustering. path: see `path_test`.

    added_after: see `moment`. None: whatever.
    """

    cluster: int | None = None
    not_cluster: int | None = None
    path: AnyPath | None = None
    added_after: str | date | None = None


def allowed_rows(catalog: Catalog, n_rows: int, conditions: Filter, clustering: Callable[[], int]) -> Mask | None:
    """Return which of the rows may be found, (n_rows,) bool; None for all of them.

    clustering: gives the current clustering, where a condition needs it. Raises NotFound for a cluster that is not
    there, BadInput for a pattern or a moment that is none.
    """
    hidden = catalog.images.hidden_rows()
    if not hidden and conditions == Filter():
        return None
    allowed = np.ones(n_rows, np.bool_)
    allowed[hidden] = False
    for wanted, is_in in ((conditions.cluster, True), (conditions.not_cluster, False)):
        if wanted is not None:
            catalog.clusterings.require_cluster(clustering(), wanted)
            allowed &= _mask(n_rows, catalog.memberships.member_rows(clustering(), wanted)) == is_in
    if conditions.path is not None:
        fits = path_test(conditions.path)
        allowed &= _mask(n_rows, [row for row, path in catalog.paths.all() if fits(path)])
    if conditions.added_after is not None:
        allowed &= _mask(n_rows, catalog.images.added_since(moment(conditions.added_after)))
    return allowed


def path_test(pattern: AnyPath) -> Callable[[bytes], bool]:
    """Return what says whether a stored path fits a pattern, as in a .gitignore.

    One that begins with `/`, `./`, `../` or `~` is read from there; any other fits at every depth. `*` and `?` stop
    at a slash, `**` does not; what fits a folder, or an archive, fits all that is in it. Bytes that are no text are
    matched as they are. Raises BadInput for a pattern that can fit nothing.
    """
    text = os.fsdecode(pattern)
    try:
        covers = PathPattern.compile(_anchored(text)).covers if text.strip() else None
    except ValueError:
        covers = None
    if covers is None:
        raise BadInput(f"{text!r} is no pattern for paths; give one such as '*.png', 'holiday/' or '/home/me/Photos'")
    search = covers.search
    return lambda path: search(INTO_ARCHIVE.sub(r"\1", os.fsdecode(path).lstrip("/"))) is not None


def moment(when: str | date) -> str:
    """Return a moment as the catalog writes them: UTC, to the second.

    when: a datetime, in local time unless it says otherwise; a date, for its first moment; either as ISO text; or how
    long ago, such as `24h`, `7d` or `2w`. Raises BadInput for anything else.
    """
    try:
        return _datetime(when).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError) as error:
        raise BadInput(
            f"{when!r} is no moment; give a date such as 2026-05-31, a time such as 2026-05-31T18:30, "
            "or how long ago, such as 24h, 7d or 2w"
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
