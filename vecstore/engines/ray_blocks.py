"""Blocks of rows worked on by the machines of a Ray cluster.

A task reads its block from where the rows are (`segments.RowSource`) and returns labels, or sums and counts: rows never
travel. A task whose machine died is done again elsewhere, to the same result.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device, choose_device
from indexes.rows import in_blocks
from vecstore.engines.segments import RowSource
from vecstore.storage.vector_file import Float16, Float32

if TYPE_CHECKING:
    from indexes.kmeans import Assignment
    from indexes.lloyd import Sums

Int64 = NDArray[np.int64]
T = TypeVar("T")

# Rows of one task: a few seconds' work, and 64 MiB at 2048 dimensions, as a segment.
TASK_ROWS = 16_384
# Tasks under way for each core, so that none waits for the driver; and how often one is tried again.
TASKS_PER_CORE, RETRIES = 3, 10


@dataclass(frozen=True)
class RayBlocks:
    """Blocks on a cluster. ray: the connected module. source: where workers read the rows. device: as on a worker."""

    ray: Any
    source: RowSource
    device: str = "auto"

    def assign(self, rows: Int64, centroids: Float32) -> "Iterator[Assignment]":
        return self._each_block(_assign, rows, centroids)

    def sums(self, rows: Int64, centroids: Float32) -> "Iterator[Sums]":
        return self._each_block(_sums, rows, centroids)

    def _each_block(self, work: Callable[..., T], rows: Int64, centroids: Float32) -> Iterator[T]:
        resources = self.ray.cluster_resources()
        on_gpus = self.device != "cpu" and resources.get("GPU", 0) > 0
        task = self.ray.remote(num_cpus=1, num_gpus=1 if on_gpus else 0, max_retries=RETRIES)(_on_worker)
        shared = self.ray.put(centroids)
        most = TASKS_PER_CORE * int(resources.get("GPU" if on_gpus else "CPU", 1))
        under_way: deque[Any] = deque()
        for block in in_blocks(rows, TASK_ROWS):
            under_way.append(task.remote(work, self.source, block, shared, self.device))
            if len(under_way) >= most:
                yield self.ray.get(under_way.popleft())
        while under_way:
            yield self.ray.get(under_way.popleft())


def _on_worker(work: Callable[..., T], source: RowSource, rows: Int64, centroids: Float32, device: str) -> T:
    first = int(rows[0])
    return work(source.read(first, int(rows[-1]) + 1), rows - first, centroids, choose_device(device))


def _assign(vectors: Float16, rows: Int64, centroids: Float32, device: Device) -> "Assignment":
    from indexes import kmeans

    parts = [assignment for _, assignment in kmeans.assign_blocks(vectors, rows, centroids, device)]
    return kmeans.Assignment(
        np.concatenate([part.labels for part in parts]), np.concatenate([part.distances for part in parts])
    )


def _sums(vectors: Float16, rows: Int64, centroids: Float32, device: Device) -> "Sums":
    from indexes.lloyd import sums_of

    return sums_of(vectors, rows, centroids, device)
