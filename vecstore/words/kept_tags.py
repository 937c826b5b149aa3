"""The recorded tags of all rows as arrays that are kept between questions, 20 bytes a row.

Reading them from the catalog takes longer than anything that is done with them; so it is done again only after a
commit, and then what is recorded otherwise is taken over, block by block. Knows no words and no vectors.
"""

import numpy as np
from numpy.typing import NDArray

from vecstore.embedders.heads import CLASSES
from vecstore.session import Session
from vecstore.storage.catalog.tags import BLOCK_ROWS
from vecstore.words.tagging import BEST, as_tags

Uint16 = NDArray[np.uint16]


class KeptTags:
    """The tags of the rows from 0 on.

    classes, shares: (5, at least n_rows) uint16, a row's best classes and their probabilities in 65,535ths; 0 for a row
    without tags.
    """

    def __init__(self) -> None:
        self.classes = np.zeros((BEST, 0), np.uint16)
        self.shares = np.zeros((BEST, 0), np.uint16)
        self._state: object = None
        self._checksums: dict[int, int] = {}

    def bring_up_to_date(self, session: Session, n_rows: int) -> None:
        """Take over what was recorded since the last time. Inside a read transaction; raises StoreDamaged."""
        catalog = session.catalog
        state = catalog.state()
        if state == self._state and n_rows <= self.classes.shape[1]:
            return
        self._state = None  # until all of it is read
        self._reserve(n_rows)
        gone = {*self._checksums}
        for block, data, checksum in catalog.tags.blocks_with_checksums():
            gone.discard(block)
            if self._checksums.get(block) != checksum:
                self._put(block * BLOCK_ROWS, as_tags(data))
                self._checksums[block] = checksum
        for block in gone:
            self._put(block * BLOCK_ROWS, np.zeros((0, 2 * BEST), np.uint16))
            del self._checksums[block]
        self._state = state

    def sums(self, classes: frozenset[int], n_rows: int) -> Uint16:
        """Return the sum of the probabilities of some classes among each row's best, (n_rows,), in 65,535ths."""
        wanted = np.zeros(CLASSES + 1, np.uint16)
        wanted[list(classes)] = 1
        total = np.zeros(n_rows, np.uint16)  # a row's probabilities add up to 65,535 at the most
        for own, shares in zip(self.classes[:, :n_rows], self.shares[:, :n_rows], strict=True):
            # Clipped, so that no number that is recorded for a class can lead beyond the table.
            total += np.take(wanted, own, mode="clip") * shares
        return total

    def is_tagged(self, n_rows: int) -> NDArray[np.bool_]:
        """Return which rows have tags, (n_rows,)."""
        tagged: NDArray[np.bool_] = self.shares[0, :n_rows] > 0
        return tagged

    def _reserve(self, n_rows: int) -> None:
        """Make room for the rows, and for as many again as a large store grows by, so that growing costs little."""
        have = self.classes.shape[1]
        wanted = -(-n_rows // BLOCK_ROWS) * BLOCK_ROWS
        if wanted > have:
            more = max(wanted, have + have // 8) - have
            self.classes, self.shares = (np.pad(kept, ((0, 0), (0, more))) for kept in (self.classes, self.shares))

    def _put(self, first: int, tags: Uint16) -> None:
        """Put a block's tags, (n, 10), in its place; a block that is recorded for rows beyond the last is left out."""
        places = slice(first, first + BLOCK_ROWS)
        room = self.classes[:, places].shape[1]
        for kept, found in ((self.classes, tags[:room, :BEST]), (self.shares, tags[:room, BEST:])):
            kept[:, first : first + len(found)] = found.T
            kept[:, first + len(found) : first + room] = 0
