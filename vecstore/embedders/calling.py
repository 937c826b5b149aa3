"""Calls an embedder, whoever wrote it: what it raises becomes one line, and what is no vector goes no further.

Every vector that the store keeps or looks for has come through here. What an embedder must have is in `plugin`.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vecstore.embedders.embedder import Embedder, Prepared
from vecstore.errors import BadInput, VecstoreError

# How far a vector's length may be from 1: float16's rounding of its numbers, and some.
LENGTH_TOLERANCE = 1e-2
GREY = (127, 127, 127)
MEND = "it must be mended (docs/embedders.md)"

T = TypeVar("T")
log = logging.getLogger(__name__)


def load(embedder: Embedder) -> None:
    """Load what `vectors_of` needs. Raises WeightsUnavailable, BadInput, or VecstoreError for what nobody foresaw."""
    _called(embedder, "load", embedder.load)


def prepare(embedder: Embedder, image: Image.Image) -> Prepared:
    """Return what an embedder takes of one RGB picture. Raises VecstoreError if it fails."""
    return _called(embedder, "prepare", lambda: embedder.prepare(image))


def vectors_of(embedder: Embedder, prepared: Sequence[Prepared]) -> NDArray[np.float32]:
    """Return (n, dim) float32 vectors of length 1. Raises BadInput or VecstoreError if it makes others."""
    found = rows_of(embedder, prepared)
    for row in found:
        reason = why_no_vector(row)
        if reason is not None:
            raise BadInput(f"the embedder {embedder.spec.name} made {reason}; {MEND}")
    return found


def rows_of(embedder: Embedder, prepared: Sequence[Prepared]) -> NDArray[np.float32]:
    """Return (n, dim) float32 numbers, of which `why_no_vector` is to be asked row by row. Raises as `vectors_of`."""
    found = _called(embedder, "embed", lambda: np.asarray(embedder.embed(prepared)))
    wanted = (len(prepared), embedder.spec.dim)
    if found.shape != wanted or found.dtype.kind not in "fiu":
        raise BadInput(
            f"the embedder {embedder.spec.name} made {found.dtype} of the shape {found.shape} of {len(prepared)} "
            f"pictures, and floats of the shape {wanted} are wanted; {MEND}"
        )
    return found.astype(np.float32, copy=False)


def why_no_vector(row: NDArray[np.float32]) -> str | None:
    """Return what is wrong with the numbers of a picture, None if they are a vector of length 1."""
    if not np.isfinite(row).all():
        return "numbers that are not finite"
    length = float(np.linalg.norm(row.astype(np.float64)))
    return None if abs(length - 1) <= LENGTH_TOLERANCE else f"a vector of the length {length:.3g}, not 1"


def texts_of(embedder: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return what an embedder that reads text makes of some, of whatever shape. Raises VecstoreError if it fails."""
    return _called(embedder, "embed_text", lambda: np.asarray(embedder.embed_text(texts), np.float32))


def try_out(embedder: Embedder) -> None:
    """Embed a grey picture, so that an embedder that cannot is refused before a store is made with it."""
    vectors_of(embedder, [prepare(embedder, Image.new("RGB", embedder.input_size, GREY))])


def _called(embedder: Embedder, method: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except (VecstoreError, MemoryError):
        raise
    except Exception as error:  # whatever its author did not foresee
        log.info("the embedder %s failed in its %s", embedder.spec.name, method, exc_info=True)
        said = " ".join(repr(error).split())
        raise VecstoreError(
            f"the embedder {embedder.spec.name} failed in its {method}: {said}; `vecstore --log-file FILE` keeps "
            "the whole error"
        ) from error
