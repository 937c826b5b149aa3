"""A store as arrays: vectors, ids, paths and labels of its images, aligned with each other.

Ids are rows of the vector file, and those of removed images stay unused for ever. So position i of each array is the
i-th image by id, which `ids` names, and not the image of the id i.
"""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecstore.errors import NotFound
from vecstore.image_ref import ImageRef, require_stored
from vecstore.results import StoredImage
from vecstore.search.stored_images import described
from vecstore.session import Session
from vecstore.storage.vector_file import Float16

# Label of an image that has no cluster.
NO_CLUSTER = -1
# Images that are described in one read transaction.
AT_ONCE = 256


class StoredVectors:
    """The vectors of a store's images at one moment, (n, dim) float16 of length 1, read-only; row i is of `ids[i]`.

    They stay in the file, mapped. While no image was ever removed, `np.asarray` of it is the file itself; after that it
    is a copy, and so are slices. What is indexed, `vectors[:1000]` or `vectors[mask]`, is read alone.
    """

    def __init__(self, rows: Float16, ids: NDArray[np.int64]) -> None:
        self._rows = rows
        self.ids = ids
        self._is_dense = len(ids) == len(rows)

    @property
    def shape(self) -> tuple[int, int]:
        """How many vectors, and how many numbers each has."""
        return len(self.ids), int(self._rows.shape[1])

    @property
    def dtype(self) -> np.dtype[np.float16]:
        """float16, as they are stored."""
        return self._rows.dtype

    @property
    def ndim(self) -> int:
        """2, as of a matrix."""
        return 2

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: Any) -> Any:
        if self._is_dense:
            return self._rows[key]
        some, *rest = key if isinstance(key, tuple) else (key,)
        rows = self._rows[self.ids[some]]
        return rows[(slice(None), *rest)] if rows.ndim == 2 else rows[tuple(rest)] if rest else rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if self._is_dense:
            return np.array(self._rows, dtype=dtype, copy=copy)
        if copy is False:
            raise ValueError("vectors of a store that images were removed from cannot be an array without a copy")
        return np.asarray(self._rows[self.ids], dtype=dtype)

    def __repr__(self) -> str:
        n, dim = self.shape
        return f"<StoredVectors: {n:,} of {dim} numbers, float16>"


def vectors(session: Session) -> StoredVectors:
    """Return the vectors of all images; see `Store.vectors`."""
    with session.catalog.reading():
        rows = session.vectors()
        return StoredVectors(rows, _ids(session))


def ids(session: Session) -> NDArray[np.int64]:
    """Return the ids of all images that can be found, ascending, (n,) int64."""
    with session.catalog.reading():
        return _ids(session)


def paths(session: Session) -> list[str]:
    """Return the path shown for each image; see `Store.paths`."""
    with session.catalog.reading():
        first = dict[int, bytes]()
        for row, path in session.catalog.paths.all():
            if row not in first or path < first[row]:
                first[row] = path
        return [os.fsdecode(first[row]) for row in _ids(session).tolist()]


def labels(session: Session) -> NDArray[np.int64]:
    """Return the cluster's id of each image, -1 without one, (n,) int64."""
    with session.catalog.reading():
        images = _ids(session)
        found = np.full(len(images), NO_CLUSTER, np.int64)
        current = session.catalog.clusterings.current()
        if current is None:
            return found
        labelled = np.array(session.catalog.memberships.labels(current), np.int64).reshape(-1, 2)
        place = np.searchsorted(images, labelled[:, 0])
        place[place == len(images)] = 0
        is_there = images[place] == labelled[:, 0] if len(images) else np.zeros(len(labelled), np.bool_)
        found[place[is_there]] = labelled[is_there, 1]
        return found


def every_image(session: Session) -> Iterator[StoredImage]:
    """Yield what is known of each image, by id; without those that are removed meanwhile."""
    images = ids(session).tolist()
    for start in range(0, len(images), AT_ONCE):
        with session.catalog.reading():
            some = images[start : start + AT_ONCE]
            alive = session.catalog.images.alive_of(some)
            found = [described(session, row) for row in some if row in alive]
        yield from found


def has(session: Session, ref: ImageRef) -> bool:
    """Say whether an image is stored: an id, a path that is known or whose file has a content that is, or bytes."""
    try:
        require_stored(session, ref)
    except NotFound:
        return False
    return True


def _ids(session: Session) -> NDArray[np.int64]:
    return np.array(session.catalog.images.searchable_rows(), np.int64)
