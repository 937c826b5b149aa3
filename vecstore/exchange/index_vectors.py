"""Vectors out of index files of usearch and hnswlib, by key: number N of a list of paths, from 0, is of key N.

Both libraries are asked for the vectors of some keys at a time; hnswlib has the whole file in memory for that, usearch
maps it. Keys without a path are an error, paths without a key are passed over.
"""

import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecstore.errors import BadInput
from vecstore.exchange.formats import HNSWLIB
from vecstore.exchange.given_rows import paths_in
from vecstore.ingest.vector_import import Block, GivenRows, read_paths

Keys = NDArray[np.uint64]
Fetch = Callable[[Keys], Any]
# Of an hnswlib file: six size_t at its start, of which the fifth and sixth are where in an element its label and its
# vector of float32 are (HierarchicalNSW::saveIndex).
HEADER = struct.Struct("<6Q")


class KeyedRows:
    """The vectors of an index, (n, dim) float32, by ascending key."""

    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(self, source: Path, keys: Keys, dim: int, fetch: Fetch) -> None:
        self.shape: tuple[int, ...] = (len(keys), dim)
        self._source, self._keys, self._fetch = source, keys, fetch

    def blocks(self, size: int) -> Iterator[Block]:
        for first in range(0, len(self._keys), size):
            keys = self._keys[first : first + size]
            try:
                found = np.stack(self._fetch(keys)).astype(np.float32, copy=False)
            except Exception as error:  # whatever that library raises at a key whose vector it has not
                raise BadInput(f"{self._source} has no vector of one of its keys ({error}); write it anew") from error
            if found.shape != (len(keys), self.shape[1]):
                raise BadInput(f"{self._source} has keys with several vectors each; give each vector a key of its own")
            yield partial(np.asarray, found)


def load(source: Path, name: str, listed: Path | None, pictures: Path | None) -> tuple[GivenRows, list[bytes]]:
    """Return the vectors of an index file and the path of each. Raises BadInput for a file that is none."""
    if listed is None:
        raise BadInput(f"{source} has keys and no paths; name a list as PATHS whose path number N, from 0, is of key N")
    lines = read_paths(listed)
    try:
        keys, dim, fetch = (_hnswlib if name == HNSWLIB else _usearch)(source)
    except BadInput:
        raise
    except Exception as error:  # whatever that library raises at a file that is none of its own
        raise BadInput(f"{source} cannot be read as an index of {name}: {' '.join(str(error).split())}") from error
    if not len(keys):
        raise BadInput(f"{source} has no vectors; nothing was imported")
    if int(keys[-1]) >= len(lines):
        raise BadInput(
            f"{source} has the key {keys[-1]}, and {listed} has {len(lines)} paths: number N, from 0, is of key N"
        )
    return KeyedRows(source, keys, dim, fetch), paths_in(pictures, [lines[int(key)] for key in keys])


def _usearch(source: Path) -> tuple[Keys, int, Fetch]:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise BadInput(f"reading {source} needs usearch; install vecstore[usearch]") from error
    said = Index.metadata(str(source))
    if said is None:
        raise BadInput(f"{source} is not an index of usearch")
    index = Index.restore(str(source), view=True)
    if str(index.dtype).endswith("B1"):
        raise BadInput(f"{source} has bits, not numbers, for vectors")
    return np.sort(np.asarray(index.keys, np.uint64)), int(index.ndim), lambda keys: index.get(keys, "f32")


def _hnswlib(source: Path) -> tuple[Keys, int, Fetch]:
    try:
        import hnswlib
    except ImportError as error:
        raise BadInput(f"reading {source} needs hnswlib; install vecstore[hnswlib]") from error
    with open(source, "rb") as file:
        head = file.read(HEADER.size)
    *_, label, vector = HEADER.unpack(head.ljust(HEADER.size, b"\0"))
    dim, rest = divmod(label - vector, 4)
    if dim < 1 or rest or vector > label or label > os.path.getsize(source):
        raise BadInput(f"{source} is not an index of hnswlib")
    index = hnswlib.Index(space="l2", dim=dim)  # of whatever space: vectors are given back as they are in the file
    index.load_index(str(source))
    return np.sort(np.array(index.get_ids_list(), np.uint64)), dim, lambda keys: index.get_items(keys)
