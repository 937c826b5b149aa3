"""What a caller may give for a picture beside its file: a vector, pixels, or the bytes of a file.

`as_given` turns what NumPy, torch, pandas and Pillow hold into one of three plain classes, and leaves ids and paths as
they are. torch and pandas are not imported: whatever can be detached and brought to the CPU is a tensor, and whatever
says that it is an array by `__array__` is one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vecstore.errors import BadInput
from vecstore.sources import formats
from vecstore.sources.content import Encoded
from vecstore.sources.paths import AnyPath

# Longer than any path that Linux opens (PATH_MAX).
PATH_BYTES = 4096
# The shapes of pixels as NumPy has them: grey, or so many bands behind height and width.
BANDS = (1, 3, 4)


class Tensor(Protocol):
    """What torch's tensors can do, as far as it is needed here."""

    def detach(self) -> Any:
        """Return it without the graph that its gradient is made by."""
        ...


class HoldsArray(Protocol):
    """What says that it is an array: a column or a table of a data frame, what `Store.vectors` returns."""

    def __array__(self) -> NDArray[Any]:
        """Return its numbers."""
        ...


@dataclass(frozen=True, eq=False)
class Vector:
    """A vector to look for. numbers: (dim,) float32, of length 1."""

    numbers: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pixels:
    """A picture in memory."""

    image: Image.Image


Array: TypeAlias = NDArray[Any] | Tensor | HoldsArray
# An image, as the public methods take one.
ImageRef: TypeAlias = (
    int | AnyPath | bytearray | memoryview | Encoded | Vector | Pixels | Image.Image | Array | Sequence[float]
)


def as_given(value: Any) -> Any:
    """Return a `Vector`, `Pixels` or `Encoded` for what is one; anything else unchanged.

    Raises BadInput for an array that can be neither.
    """
    if isinstance(value, bytearray | memoryview):
        return Encoded(bytes(value))
    if isinstance(value, bytes) and _is_picture(value):
        return Encoded(value)
    if isinstance(value, Image.Image):
        return Pixels(value)
    array = as_array(value)
    return value if array is None else _of_array(array)


def as_array(value: Any) -> NDArray[Any] | None:
    """Return what holds an array as NumPy's: a tensor on any device, a data frame or a column of one, a list of floats.

    None for what holds none, or has no dimensions.
    """
    if isinstance(value, type):
        return None
    if callable(getattr(value, "detach", None)) and callable(getattr(value, "cpu", None)):
        try:
            value = value.detach().cpu()
            value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
        except Exception as error:  # whatever that object does
            raise BadInput(f"the tensor cannot be read as an array: {error}") from error
    elif hasattr(value, "__array__") or _is_of_floats(value):
        try:
            value = np.asarray(value)
        except Exception as error:
            raise BadInput(f"the {type(value).__name__} cannot be read as an array: {error}") from error
    return value if isinstance(value, np.ndarray) and value.ndim else None


def items_of(value: Iterable[Any]) -> Iterable[Any]:
    """Return the items of a list, or the rows of what holds an array: data frames iterate over their columns' names."""
    array = as_array(value)
    return value if array is None else array


def unit_vectors(rows: NDArray[Any], what: str = "the vector") -> NDArray[np.float32]:
    """Return rows of floats at length 1, (n, dim) float32. Raises BadInput for numbers that have no direction."""
    if not np.issubdtype(rows.dtype, np.floating):
        raise BadInput(f"{what} is of {rows.dtype}, and floats are needed; give ids one by one, as 12 or '@12'")
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise BadInput(f"{what} has no direction: its numbers are all 0, too large, or not finite")
    return np.asarray(wide / lengths, np.float32)


def _is_of_floats(value: object) -> bool:
    """Say whether a list can be nothing but a vector; whole numbers may be ids."""
    return (
        isinstance(value, list | tuple) and bool(value) and all(isinstance(one, float | np.floating) for one in value)
    )


def _of_array(array: NDArray[Any]) -> Vector | Pixels:
    if array.ndim == 1 and array.size:
        return Vector(unit_vectors(array[None])[0])
    if array.dtype == np.uint8 and array.size and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in BANDS)):
        return Pixels(Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2:] == (1,) else array)))
    raise BadInput(
        f"an array of the shape {array.shape} and {array.dtype} is neither a vector, (dim,) of floats, nor pixels, "
        "(height, width, 3) of uint8; give the rows of a matrix one by one, or all of them to `nearest`"
    )


def _is_picture(data: bytes) -> bool:
    """Say whether bytes are those of a file, not of its path."""
    return formats.begins_like_picture(data[: formats.MAGIC_BYTES]) or len(data) > PATH_BYTES
