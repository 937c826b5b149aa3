"""What a person decided not to be asked of again: pairs of images that are no duplicates, or are both to be kept."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecstore.storage.catalog.catalog import Catalog

# Of a pair of rows, as one number: rows are fewer than this.
ROWS = 1 << 31


@dataclass(frozen=True)
class Decided:
    """pairs: less row * ROWS + greater row, ascending. copies: rows whose copies are all to be kept."""

    pairs: NDArray[np.int64]
    copies: frozenset[int]

    @classmethod
    def of(cls, catalog: Catalog) -> "Decided":
        found = catalog.decisions.rows_apart()
        pairs = sorted(one * ROWS + other for one, other in found if one != other)
        return cls(np.array(pairs, np.int64), frozenset(one for one, other in found if one == other))

    def __bool__(self) -> bool:
        """Whether there is any such pair of different images."""
        return len(self.pairs) > 0

    def are_apart(self, ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which pairs of rows were decided to be apart."""
        return np.isin(np.minimum(ones, others) * ROWS + np.maximum(ones, others), self.pairs)

    def without_settled(self, rows: Iterable[int]) -> list[int]:
        """Return the rows whose copies are still in question."""
        return [row for row in rows if row not in self.copies]
