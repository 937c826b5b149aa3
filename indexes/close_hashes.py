"""Pairs of 64-bit hashes that differ in few bits, among millions, without comparing all with all.

Each hash is cut into bands; two that differ in few bits are next to equal in one of them, so only hashes with that band
within one bit are compared. FAISS has this as `IndexBinaryMultiHash`, whose tables cost more than they save: of a
million hashes a query takes 1.7 ms with it, 2.8 ms by comparing with all (`IndexBinaryFlat`), and 0.043 ms with this
(`scripts/bench copies FOLDER --hashes 1000000`, on two busy cores).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from indexes.rows import in_blocks

# Bits of the bands, by how many hashes there are: so many that few hashes share a band by chance.
FEW, NARROW, WIDE = 1 << 18, (16, 16, 16, 16), (21, 21, 22)
# Hashes of the same band that are compared at most: of pictures that look nearly the same there can be any number.
MOST_IN_BAND = 2_048
QUERIES_AT_ONCE = 1 << 15


class HashTable:
    """Hashes, (n,) uint64, to be searched.

    With up to `FEW` of them all within 7 bits are found, and most within 8; with more all within 5, and nine in ten of
    those at 6. Memory: 20 bytes a hash.
    """

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self.hashes = hashes
        self._bands: list[tuple[int, int, NDArray[np.int32], NDArray[np.int64]]] = []
        shift = 0
        for bits in NARROW if len(hashes) <= FEW else WIDE:
            keys = _band(hashes, shift, bits)
            order = np.argsort(keys, kind="stable").astype(np.int32)
            starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=1 << bits))])
            self._bands.append((shift, bits, order, starts))
            shift += bits

    def near(
        self, queries: NDArray[np.uint64], most_bits: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]]:
        """Yield (index into the queries, index into the hashes, bits that differ) of pairs, each pair once, in blocks.

        Examples
        --------
        >>> table = HashTable(np.array([0b1011, 0b111111], np.uint64))
        >>> [part.tolist() for part in next(table.near(np.array([0b1010], np.uint64), most_bits=2))]
        [[0], [0], [1]]
        """
        for block in in_blocks(np.arange(len(queries)), QUERIES_AT_ONCE):
            found = [part for band in self._bands for part in self._of_band(queries[block], band, most_bits)]
            pairs = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
            one, other = np.divmod(pairs, max(len(self.hashes), 1))
            bits = np.bitwise_count(queries[block[one]] ^ self.hashes[other])
            yield block[one], other, bits.astype(np.uint8)

    def _of_band(
        self, queries: NDArray[np.uint64], band: tuple[int, int, NDArray[np.int32], NDArray[np.int64]], most_bits: int
    ) -> Iterator[NDArray[np.int64]]:
        """Yield pairs as query * len(hashes) + hash, of hashes that have this band but for one bit."""
        shift, bits, order, starts = band
        keys = _band(queries, shift, bits)
        for flip in (0, *(1 << bit for bit in range(bits))):
            flipped = keys ^ flip
            first = starts[flipped]
            counts = np.minimum(starts[flipped + 1] - first, MOST_IN_BAND)
            one = np.repeat(np.arange(len(queries)), counts)
            within = np.arange(len(one)) - np.repeat(np.cumsum(counts) - counts, counts)
            other = order[np.repeat(first, counts) + within]
            near = np.bitwise_count(queries[one] ^ self.hashes[other]) <= most_bits
            yield one[near] * len(self.hashes) + other[near]


def _band(hashes: NDArray[np.uint64], shift: int, bits: int) -> NDArray[np.int64]:
    return ((hashes >> np.uint64(shift)) & np.uint64((1 << bits) - 1)).astype(np.int64)
