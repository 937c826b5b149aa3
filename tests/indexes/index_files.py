"""Index files as a store makes them: each replaces the one that was there."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes import compressed
from indexes.index_metadata import IndexHeader
from vecstore.storage.durable_files import replacing

Float16 = NDArray[np.float16]


def build(path: Path, *arguments: Any, **options: Any) -> IndexHeader:
    with replacing(path, "w+b") as file:
        return compressed.build(file, *arguments, **options)


def extend(
    path: Path, vectors: Float16, target: float, stop: threading.Event | None = None, **options: Any
) -> IndexHeader:
    with replacing(path, "w+b") as file:
        return compressed.extend(file, path, vectors, target, stop, **options)
