"""Pictures that are near each other by their plainness alone: which are plain, and which of those agree in pixels.

To a network, plain black and plain white are alike in that nothing is on them; to a histogram of colours, two line
drawings are. So a pair of which one picture is nearly uniform or two-toned is near only if its pixels agree. A picture
that cannot be read is not known to be plain; beside one that is, it does not agree.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecstore.sources import archives, decoding
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.path_state import PathState, Presence
from vecstore.sources.plainness import (
    CELLS,
    MEAN_DIFFERENCE,
    TONE_SIDE,
    cells,
    cells_agree,
    is_nearly_uniform,
    is_two_toned,
)

# What to ask the decoder for: it gives at least twice that.
SIDE = TONE_SIDE // 2
# Pairs compared at a time: 12 MiB of cells on either side.
PAIRS = 4_096
# Means of so many by so many parts of a picture, which differ by no more than its cells: most pairs end there.
PARTS = 4
ROUNDING = 1e-3


@dataclass(frozen=True)
class _Look:
    """What was seen of a picture."""

    is_plain: bool
    cells: NDArray[np.uint8]


class PlainPictures:
    """What is known of the pictures that were looked at: 3 KB each, and 10 bytes for every row of the store."""

    def __init__(self, n_rows: int) -> None:
        self.is_plain = np.zeros(n_rows, np.bool_)
        self.is_looked_at = np.zeros(n_rows, np.bool_)
        self._place = np.full(n_rows, -1, np.int64)  # in the cells
        self._cells = np.empty((0, CELLS * CELLS * 3), np.uint8)
        self._means = np.empty((0, PARTS * PARTS * 3), np.float32)

    def look_at(self, states: Mapping[int, Sequence[PathState]]) -> None:
        """Decode pictures, each from the first of its paths that still has it. states: of all paths of each row."""
        self.is_looked_at[list(states)] = True
        found = list(_looks(states))
        for place, (row, look) in enumerate(found, start=len(self._cells)):
            self.is_plain[row], self._place[row] = look.is_plain, place
        self._cells = np.concatenate([self._cells, *(look.cells[None] for _, look in found)])
        self._means = np.concatenate([self._means, *(_means_of_parts(look.cells) for _, look in found)])

    def is_seen(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of rows that were looked at whether their picture could be read."""
        return np.asarray(self._place[rows] >= 0)

    def agree(self, ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of pairs of rows whether they can be near. What was not looked at yet is taken to agree."""
        agree = np.ones(len(ones), np.bool_)
        doubtful = np.flatnonzero(self.in_doubt(ones, others) & self.is_looked_at[ones] & self.is_looked_at[others])
        for first in range(0, len(doubtful), PAIRS):
            pairs = doubtful[first : first + PAIRS]
            agree[pairs] = self._pixels_agree(self._place[ones[pairs]], self._place[others[pairs]])
        return agree

    def _pixels_agree(self, ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of pairs of places whether their pixels agree; those that were not seen, at -1, do not."""
        agree = (ones >= 0) & (others >= 0)
        seen = np.flatnonzero(agree)
        differences = np.abs(self._means[ones[seen]] - self._means[others[seen]]).mean(1)
        agree[seen] = differences <= MEAN_DIFFERENCE + ROUNDING
        close = np.flatnonzero(agree)
        agree[close] = cells_agree(self._cells[ones[close]], self._cells[others[close]])
        return agree

    def in_doubt(self, ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of pairs of rows whether it is for their pixels to say if they are near."""
        return np.asarray((self.is_plain[ones] | self.is_plain[others]) & (ones != others))


def _means_of_parts(cells: NDArray[np.uint8]) -> NDArray[np.float32]:
    side = CELLS // PARTS
    means = cells.reshape(PARTS, side, PARTS, side, 3).mean((1, 3), dtype=np.float32)
    return np.asarray(means, np.float32).reshape(1, -1)


def _looks(states: Mapping[int, Sequence[PathState]]) -> Iterator[tuple[int, _Look]]:
    """Yield what is seen of those that can be read: files by as many threads as there are cores, archives in order."""
    files: list[tuple[int, list[PathState]]] = []
    members: dict[bytes, dict[bytes, tuple[int, bytes]]] = {}
    for row, of_row in states.items():
        here = [state for state in of_row if state.presence is Presence.HERE]
        if any(not state.is_member for state in here):
            files.append((row, [state for state in here if not state.is_member]))
        elif here:
            members.setdefault(here[0].file, {})[here[0].path] = (row, here[0].sha256)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (row, _), look in zip(files, pool.map(lambda job: _look_at_any(job[1]), files), strict=True):
            if look is not None:
                yield row, look
    for archive, wanted in members.items():
        yield from _looks_into(archive, wanted)


def _look_at_any(states: Sequence[PathState]) -> _Look | None:
    for state in states:
        look = _look_at(lambda path=state.path: archives.read_path(path), state.path, state.sha256)  # type: ignore[misc]
        if look is not None:
            return look
    return None


def _looks_into(archive: bytes, wanted: Mapping[bytes, tuple[int, bytes]]) -> Iterator[tuple[int, _Look]]:
    """Read an archive once, rather than once for every member."""
    with suppress(OSError, decoding.Unreadable):
        state = os.stat(archive)
        for member in archives.members(FileStamp(archive, state.st_size, state.st_mtime_ns)):
            if member.path in wanted:
                row, sha256 = wanted[member.path]
                look = _look_at(member.read, member.path, sha256)
                if look is not None:
                    yield row, look


def _look_at(read: Callable[[], decoding.Content], path: bytes, sha256: bytes) -> _Look | None:
    try:
        content = read()
        if content.sha256 != sha256:
            return None
        picture = decoding.decode(content.data, at_least=(SIDE, SIDE), name=path)
    except (OSError, decoding.Unreadable):
        return None
    return _Look(is_nearly_uniform(picture) or is_two_toned(picture), cells(picture))
