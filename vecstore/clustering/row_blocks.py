"""Work on all rows of a store, a block at a time: here, or by whoever else can read the rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device
from vecstore.storage.vector_file import Float16, Float32

if TYPE_CHECKING:
    from indexes.kmeans import Assignment
    from indexes.lloyd import Sums

Int64 = NDArray[np.int64]


class Blocks(Protocol):
    """What goes through all rows. rows: ascending, (n,) int64. centroids: (k, dim) float32. In the order of rows."""

    def assign(self, rows: Int64, centroids: Float32) -> "Iterator[Assignment]":
        """Yield the nearest centroids of the rows, block after block."""
        ...

    def sums(self, rows: Int64, centroids: Float32) -> "Iterator[Sums]":
        """Yield what the rows add up to at their nearest centroids, block after block."""
        ...


@dataclass(frozen=True)
class LocalBlocks:
    """On this machine. vectors: (rows, dim) float16, mapped."""

    vectors: Float16
    device: Device

    def assign(self, rows: Int64, centroids: Float32) -> "Iterator[Assignment]":
        from indexes import kmeans

        for _, assignment in kmeans.assign_blocks(self.vectors, rows, centroids, self.device):
            yield assignment

    def sums(self, rows: Int64, centroids: Float32) -> "Iterator[Sums]":
        from indexes.lloyd import sums_of

        yield sums_of(self.vectors, rows, centroids, self.device)
