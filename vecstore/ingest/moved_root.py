"""Where a folder has moved from: told by pictures that an add found again under the same names elsewhere."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence

from vecstore.results import MovedRoot
from vecstore.sources.paths import is_archive_name, is_gone
from vecstore.storage.catalog.catalog import Catalog

# So many old paths are looked for on the disk at the most.
LOOKED_FOR = 1_000


def moved_root(catalog: Catalog, found_again: Sequence[tuple[bytes, int]]) -> MovedRoot | None:
    """Return the place that most of these pictures were at before, if they are gone from there; None if there is none.

    found_again: new paths of pictures that were in the store before, with their rows.
    """
    votes = Counter(_moves(catalog, found_again))
    if not votes:
        return None
    (old, new), n_paths = votes.most_common(1)[0]
    return MovedRoot(os.fsdecode(old), os.fsdecode(new), n_paths)


def _moves(catalog: Catalog, found_again: Sequence[tuple[bytes, int]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield what was moved where, for each old path of a picture that is at none of its old paths any more."""
    n_left = LOOKED_FOR
    for path, row in dict(found_again).items():
        others = [other for other in catalog.paths.of(row) if other != path][:n_left]
        n_left -= len(others)
        if all(map(is_gone, others)):
            yield from filter(None, (roots_of_move(other, path) for other in others))


def roots_of_move(old: bytes, new: bytes) -> tuple[bytes, bytes] | None:
    """Return the places above two paths below which they are the same; None if not even the names are."""
    was, becomes = old.split(b"/"), new.split(b"/")
    n_same = 0
    while n_same < min(len(was), len(becomes)) and was[-1 - n_same] == becomes[-1 - n_same]:
        n_same += 1
    # Not the root of all files, where what moved is below its whole old path.
    while n_same and not (any(was[: len(was) - n_same]) and any(becomes[: len(becomes) - n_same])):
        n_same -= 1
    if not n_same:
        return None
    return _place(was[: len(was) - n_same]), _place(becomes[: len(becomes) - n_same])


def _place(parts: list[bytes]) -> bytes:
    path = b"/".join(parts)
    # Its members are below "a.zip!".
    return path[:-1] if path.endswith(b"!") and is_archive_name(path[:-1]) else path
