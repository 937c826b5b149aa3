"""Atomic files: complete on disk or not there at all, whenever the process or the machine stops.

A file is written beside its destination under a hidden name (`.NAME.new`), synced, and renamed. A draft that a
kill left behind is never read: the next writer overwrites it, and `vecstore check --repair` removes it.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vecstore.errors import VecstoreError

NEW = ".new"
# There a file has to be open for writing to be synced, and a directory cannot be opened: NTFS journals its entries.
IS_WINDOWS = sys.platform == "win32"


@contextmanager
def replacing(path: Path, mode: str = "wb") -> Iterator[BinaryIO]:
    """Yield a file that replaces `path` once it is written and synced; after an error, nothing is left of it.

    Parameters
    ----------
    path: the file to replace or create, by one process at a time.
    mode: "wb", or "w+b" to read back what was written.

    Raises
    ------
    OSError: the disk is full or fails.
    """
    with replacing_path(path) as beside, open(beside, mode) as file:
        yield file  # type: ignore[misc]  # binary by its mode


@contextmanager
def replacing_path(path: Path) -> Iterator[Path]:
    """Yield the path of a draft that replaces `path` at the end, for writers that cannot use an open file."""
    beside = draft_of(path)
    with _removed_on_error(beside):
        yield beside
        move_into_place(beside, path)


def draft_of(path: Path) -> Path:
    """Return the path of the draft that will replace a file."""
    return path.with_name(f".{path.name}{NEW}")


@contextmanager
def replacing_in_cache(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that replaces `path` once it is written.

    Several processes may do this at the same time. The file is not synced: after a power cut it may be empty.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=NEW)
    with _removed_on_error(Path(name)):
        with open(descriptor, "wb") as file:
            yield file
        os.replace(name, path)


def move_into_place(draft: Path, path: Path) -> None:
    """Replace `path` by a written draft; return when its bytes and its name are on disk."""
    sync_file(draft)
    os.replace(draft, path)
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Create a directory and its missing parents; return when their names are on disk."""
    missing = [folder for folder in path.parents if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in (path, *missing):
        with suppress(PermissionError):  # a directory that may be written to but not read
            sync_directory(folder.parent)


def sync_file(path: Path | bytes) -> None:
    """Return when the file's bytes are on disk."""
    with open(path, "r+b" if IS_WINDOWS else "rb") as file:
        os.fsync(file.fileno())


def sync_directory(path: Path | bytes) -> None:
    """Return when the directory's entries (new and renamed files) are on disk."""
    if IS_WINDOWS:
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Raise VecstoreError with a clear message if the disk is full or fails while `path` is written."""
    try:
        yield
    except OSError as error:
        raise VecstoreError(
            f"{path} cannot be written: {error.strerror or error}; what was reported as done is safe in the store: "
            "solve the problem, and run the same command again"
        ) from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of writing `path` say which file it is about: that of a full disk does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or os.fspath(path)
        raise


@contextmanager
def _removed_on_error(file: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:  # a full disk needs the space
        with suppress(OSError):  # on a read-only disk, removing fails even if there is no file
            file.unlink()
        raise
