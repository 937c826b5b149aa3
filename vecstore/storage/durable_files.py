"""Files that are on the disk whole or not at all, whenever the process or the machine stops.

A file is written beside its place, hidden (`.NAME.new`), and takes the place when its bytes are on the disk.
What a kill leaves of it is never read: the next writer overwrites it, and `vecstore check --repair` removes it.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vecstore.errors import VecstoreError

NEW = ".new"


@contextmanager
def replacing(path: Path, mode: str = "wb") -> Iterator[BinaryIO]:
    """Yield a file that takes the path's place when all is written and on the disk; nothing is left on an error.

    Parameters
    ----------
    path
        What is to be replaced, or is not there yet. One process at a time may replace it.
    mode
        "wb", or "w+b" to read what was written too.
    """
    with replacing_path(path) as beside, open(beside, mode) as file:
        yield file  # type: ignore[misc]  # binary by its mode


@contextmanager
def replacing_path(path: Path) -> Iterator[Path]:
    """Yield where to write what takes the path's place at the end, for who cannot write to an open file."""
    beside = draft_of(path)
    with _removed_on_error(beside):
        yield beside
        move_into_place(beside, path)


def draft_of(path: Path) -> Path:
    """Return where what is to take the path's place is written."""
    return path.with_name(f".{path.name}{NEW}")


@contextmanager
def replacing_in_cache(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes the path's place when all is written.

    Any number of processes may do so at once, and none waits for the disk: after a power cut it may be empty.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=NEW)
    with _removed_on_error(Path(name)):
        with open(descriptor, "wb") as file:
            yield file
        os.replace(name, path)


def move_into_place(draft: Path, path: Path) -> None:
    """Let a file that was written take the path's place, and return when both are on the disk."""
    sync_file(draft)
    os.replace(draft, path)
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make a directory, and those above it that are missing; return when their names are on the disk."""
    missing = [folder for folder in path.parents if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in (path, *missing):
        with suppress(PermissionError):  # one that may be written to and not be read
            sync_directory(folder.parent)


def sync_file(path: Path) -> None:
    """Return when the file's bytes are on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Return when the directory's entries (new and renamed files) are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Raise VecstoreError, in words, where the disk is full or fails while `path` is written."""
    try:
        yield
    except OSError as error:
        raise VecstoreError(
            f"{path} cannot be written: {error.strerror or error}; what was reported as done is safe in the store: "
            "mend that, and run the same command again"
        ) from error


@contextmanager
def _removed_on_error(file: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:  # a disk that is full needs the room
        with suppress(OSError):  # on a read-only disk even what is not there cannot be removed
            file.unlink()
        raise
