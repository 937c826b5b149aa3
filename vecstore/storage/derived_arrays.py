"""Arrays that can be worked out again, kept as .npz: replaced whole, and worth nothing once damaged."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecstore.storage.durable_files import replacing


def save_arrays(path: Path, **arrays: ArrayLike) -> None:
    """Write the arrays in the place of those that were there, whole or not at all. Raises OSError."""
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stubs take the names for `allow_pickle`


def load_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the arrays by name; None if there is no file, or it is damaged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except Exception:  # damage makes NumPy raise whatever zipfile, its codecs, ast and tokenize do; all mean "rebuild"
        return None
