"""What the imports of vectors share: blocks of the size that is asked for, and where the pictures are."""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecstore.ingest.vector_import import Block
from vecstore.sources.paths import absolute, is_address


def in_size(parts: Iterable[NDArray[Any]], size: int) -> Iterator[Block]:
    """Yield the rows of all parts, `size` at a time; the last may be fewer."""
    waiting: list[NDArray[Any]] = []
    n_waiting = 0
    for part in parts:
        waiting.append(part)
        n_waiting += len(part)
        if n_waiting >= size:
            joined = np.concatenate(waiting)
            whole = n_waiting - n_waiting % size
            for first in range(0, whole, size):
                yield partial(np.asarray, joined[first : first + size])
            waiting, n_waiting = [joined[whole:]], n_waiting - whole
    if n_waiting:
        yield partial(np.asarray, np.concatenate(waiting))


def paths_in(folder: Path | None, names: Iterable[str | bytes]) -> list[bytes]:
    """Return paths as the catalog stores them; relative ones are below `folder`, or else the current one."""
    encoded = map(os.fsencode, names)
    below = os.fsencode(folder or "")
    return [absolute(name if is_address(name) else os.path.join(below, name)) for name in encoded]
