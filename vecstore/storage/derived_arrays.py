"""Arrays that can be recomputed, stored as .npz: always replaced as a whole, and ignored if damaged."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecstore.storage.durable_files import replacing


def save_arrays(path: Path, **arrays: ArrayLike) -> None:
    """Replace the file by one with these arrays, completely or not at all. Raises OSError."""
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stubs take the names for `allow_pickle`


def load_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the arrays by name; None if there is no file, or it is damaged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except Exception:  # for a damaged file, NumPy raises any error of zipfile, its codecs, ast and tokenize
        return None
