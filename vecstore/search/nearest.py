"""The images nearest to each of many queries: one search, and arrays or lists to return."""

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecstore.arguments import each, require_image
from vecstore.errors import BadInput
from vecstore.given import Array, as_array, items_of, unit_vectors
from vecstore.image_ref import ImageRef, NewPicture, as_stored_vectors, identify_all, vector_of
from vecstore.results import Neighbour
from vecstore.search.filters import Filter
from vecstore.search.query import allowed_in, neighbours, own_first
from vecstore.session import Session
from vecstore.storage.checksums import ChecksumVerifier

# Several images, as one argument: a list of them, an array of ids, or an array or tensor of vectors, (n, dim).
Images: TypeAlias = Iterable[ImageRef] | Array


class Nearest(NamedTuple):
    """The k images nearest to each of q queries, nearest first.

    ids: (q, m) int64. scores: (q, m) float32, cosine similarities in [-1, 1]. m is k, or how many images there are to
    find where these are fewer.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


def require_images(name: str, value: Any) -> Any:
    """Return a matrix of vectors as it is, or a list's images, checked one by one."""
    array = as_array(value)
    if array is not None and array.size and array.ndim == 2 and array.dtype.kind == "f":
        return array
    is_one = isinstance(value, str | bytes) or (array is not None and array.ndim == 1 and array.dtype.kind == "f")
    if is_one or not isinstance(value, Iterable):
        raise BadInput(f"{name} is not a list of images, nor an array of the shape (n, dim); put one image into a list")
    images: tuple[ImageRef, ...] = each(require_image)(name, items_of(value))
    if not images:
        raise BadInput(f"{name} is empty; name at least one image")
    return images


def nearest(session: Session, queries: Images, conditions: Filter, k: int, exact: bool) -> Nearest:
    """Return the k stored images nearest to each query; see `Store.nearest`."""
    given = _identified(session, queries)
    with session.catalog.reading():
        return _search(session, given, conditions, k, exact)


def similar_to_each(
    session: Session, queries: Images, conditions: Filter, k: int, min_score: float | None, exact: bool
) -> list[list[Neighbour]]:
    """Return the k stored images nearest to each query; see `Store.similar_to_each`."""
    given = _identified(session, queries)
    with session.catalog.reading():
        found = _search(session, given, conditions, k, exact)
        return [
            neighbours(session, list(zip(rows, scores, strict=True)), min_score)
            for rows, scores in zip(found.ids.tolist(), found.scores.tolist(), strict=True)
        ]


def embed(session: Session, images: Images) -> NDArray[np.float32]:
    """Return the vectors of images; see `Store.embed`."""
    given = _identified(session, images)
    return given if isinstance(given, np.ndarray) else np.stack([vector_of(session, image) for image in given])


def _identified(session: Session, given: Images) -> NDArray[np.float32] | list[int | NewPicture]:
    """Return vectors as stored ones are, or images as `identify` does; embedding comes before any transaction."""
    if isinstance(given, np.ndarray):
        return as_stored_vectors(session, unit_vectors(given, "the array"))
    return identify_all(session, tuple(given))  # type: ignore[arg-type]


def _search(
    session: Session, given: NDArray[np.float32] | list[int | NewPicture], conditions: Filter, k: int, exact: bool
) -> Nearest:
    vectors = session.vectors()
    # At once: a writer may put one of newer rows in its place.
    index = session.engine.searcher(vectors, exact=exact)
    allowed = allowed_in(session, len(vectors), conditions)
    rows = given if isinstance(given, np.ndarray) else np.stack([vector_of(session, image) for image in given])
    found = index.search(rows, k, allowed)
    ids, scores = np.asarray(found.rows, np.int64), np.asarray(found.scores, np.float32)
    for place, own in enumerate(given):
        if isinstance(own, int) and ids.shape[1] and (allowed is None or allowed[own]):
            hits = own_first(own, list(zip(ids[place].tolist(), scores[place].tolist(), strict=True)))
            ids[place], scores[place] = zip(*hits, strict=True)
    ChecksumVerifier(session.catalog, vectors).require(np.unique(ids).tolist())
    return Nearest(ids, scores)
