"""A file's bytes and its state, taken together, and whether it is to be taken for a picture.

What is hashed is what is decoded, so a file is read once. Every refusal is an `Unreadable`. Nothing is decoded here.
"""

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import BinaryIO

from vecstore.sources.formats import MAGIC_BYTES, begins_like_picture, has_picture_suffix
from vecstore.sources.unreadable import Unreadable

MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True)
class Encoded:
    """A picture given as the bytes of its file, such as an upload."""

    data: bytes


@dataclass(frozen=True)
class Content:
    """A file's bytes and the state the file was in when they were read."""

    data: bytes
    sha256: bytes
    size: int
    mtime_ns: int


def looks_like_picture(path: bytes) -> bool:
    """Say whether a file is to be taken for a picture, by its suffix or else by its first bytes."""
    by_name = looks_like_picture_by_name(path)
    if by_name is not None:
        return by_name
    try:
        with _open_regular(path) as file:
            return begins_like_picture(file.read(MAGIC_BYTES))
    except (OSError, Unreadable):
        return False


def looks_like_picture_by_name(path: bytes) -> bool | None:
    """Say whether a name alone makes a file a picture or none; None if its first bytes are to decide."""
    # macOS's companion files are named like their picture, and hold none of it.
    if os.path.basename(path).startswith(b"._"):
        return False
    return True if has_picture_suffix(path) else None


def read(path: bytes) -> Content:
    """Return a file's content and stamp, taken together. Raises Unreadable."""
    try:
        with _open_regular(path) as file:
            state = os.fstat(file.fileno())
            if state.st_size > MAX_FILE_BYTES:
                raise Unreadable(f"the file has {state.st_size:,} bytes; the limit is {MAX_FILE_BYTES:,}")
            content = file.read(max(state.st_size, 0) + 1)  # or one that grows would be read for ever
            after = os.fstat(file.fileno())
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise Unreadable("cannot be read: there is not enough memory") from error
    if (len(content), after.st_size, after.st_mtime_ns) != (state.st_size, state.st_size, state.st_mtime_ns):
        raise Unreadable("changed while it was read; add it again when no program writes to it")
    return Content(content, hashlib.sha256(content).digest(), state.st_size, state.st_mtime_ns)


def _open_regular(path: bytes) -> BinaryIO:
    # Opening a pipe waits for its writer; O_NONBLOCK opens it at once, and the check refuses it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise Unreadable("not a regular file")
