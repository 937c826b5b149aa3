"""Reading the pictures of stored images to compare them: each scaled down, and kept for as long as there is room."""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

from PIL import Image

from vecstore.likeness.look import Look, look
from vecstore.likeness.perceptual_hash import GREY_SIDE
from vecstore.sources import archives, decoding
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.path_state import PathState, PathStates, Presence
from vecstore.storage.catalog.catalog import Catalog

# Looks that are kept: up to 180 KB each, with what is computed of them.
MOST_KEPT = 1_024

T = TypeVar("T")


class Looks:
    """The looks of the images of one catalog, read when they are asked for; None for one that cannot be read."""

    def __init__(self, catalog: Catalog, states: PathStates) -> None:
        self.catalog = catalog
        self.states = states
        self.n_read = 0
        self._kept: OrderedDict[int, Look | None] = OrderedDict()

    def of(self, row: int) -> Look | None:
        self.fetch([row])
        return self._kept[row]

    def fetch(self, rows: Iterable[int]) -> None:
        """Read those that are not kept, at most `MOST_KEPT` at once, on all cores."""
        wanted = {*rows}
        for row in wanted & self._kept.keys():
            self._kept.move_to_end(row)
        missing = wanted - self._kept.keys()
        if not missing:
            return
        sizes = {row: self.catalog.images.size_and_time(row)[:2] for row in missing}
        found = read_pictures(
            {row: path_states(self.catalog, self.states, row) for row in sorted(missing)},
            lambda row, picture: look(picture, *_size(sizes[row], picture)),
        )
        self.n_read += len(missing)
        self._kept.update(dict.fromkeys(missing))
        self._kept.update(found)
        while len(self._kept) > max(MOST_KEPT, len(wanted)):
            self._kept.popitem(last=False)

    def have_same_pixels(self, one: int, other: int) -> bool:
        """Say whether two pictures are the same pixel by pixel, at their full size."""
        states = {row: path_states(self.catalog, self.states, row) for row in (one, other)}
        found = dict(read_pictures(states, lambda _, picture: (picture.size, picture.tobytes()), at_least=None))
        return len(found) == 2 and found[one] == found[other]


def _size(recorded: tuple[int, int], picture: Image.Image) -> tuple[int, int]:
    return recorded if all(recorded) else picture.size  # imported vectors come without


def path_states(catalog: Catalog, states: PathStates, row: int) -> list[PathState]:
    """Return what the paths of an image lead to."""
    sha256 = catalog.images.sha256_of(row) or b""
    return [states.of(recorded, sha256) for recorded in catalog.paths.states_of(row)]


class _Reader(Generic[T]):
    def __init__(self, make: Callable[[int, Image.Image], T], at_least: tuple[int, int] | None) -> None:
        self.make = make
        self.at_least = at_least

    def any_of(self, row: int, states: Sequence[PathState]) -> list[T]:
        """Return what is made of the first path that still has the picture, in a list; of none an empty list."""
        for state in states:
            found = self.one(row, state, lambda path=state.path: archives.read_path(path))  # type: ignore[misc]
            if found:
                return found
        return []

    def one(self, row: int, state: PathState, read: Callable[[], decoding.Content]) -> list[T]:
        try:
            content = read()
            if content.sha256 != state.sha256:
                return []
            return [self.make(row, decoding.decode(content.data, at_least=self.at_least, name=state.path))]
        except (OSError, decoding.Unreadable):
            return []


def read_pictures(
    states: Mapping[int, Sequence[PathState]],
    make: Callable[[int, Image.Image], T],
    at_least: tuple[int, int] | None = (GREY_SIDE, GREY_SIDE),
) -> Iterator[tuple[int, T]]:
    """Yield (row, what is made of its picture) of those that can be read, files on all cores and each archive once."""
    reader = _Reader(make, at_least)
    files: list[tuple[int, list[PathState]]] = []
    members: dict[bytes, dict[bytes, tuple[int, PathState]]] = {}
    for row, of_row in states.items():
        here = [state for state in of_row if state.presence is Presence.HERE]
        if any(not state.is_member for state in here):
            files.append((row, [state for state in here if not state.is_member]))
        elif here:
            members.setdefault(here[0].file, {})[here[0].path] = (row, here[0])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (row, _), found in zip(files, pool.map(lambda job: reader.any_of(*job), files), strict=True):
            for made in found:
                yield row, made
    for archive, wanted in members.items():
        with suppress(OSError, decoding.Unreadable):
            state = os.stat(archive)
            for member in archives.members(FileStamp(archive, state.st_size, state.st_mtime_ns)):
                if member.path in wanted:
                    row, recorded = wanted[member.path]
                    for made in reader.one(row, recorded, member.read):
                        yield row, made
