"""Paths: as the catalog spells them, and as a person is shown them. Loads nothing heavy."""

import os
from typing import TypeAlias

AnyPath: TypeAlias = str | bytes | os.PathLike[str]

ARCHIVE_SUFFIXES = tuple(b".zip .cbz .tar .tar.gz .tgz .tar.bz2 .tbz2 .tar.xz .txz".split())


def absolute(path: AnyPath) -> bytes:
    """Return the path as the catalog spells it: absolute, in the file system's own bytes, links not resolved.

    `~` stands for a home folder, unless something here is called so.
    """
    path = os.fsencode(path)
    return os.path.abspath(path if os.path.lexists(path) else os.path.expanduser(path))


def bytes_on_disk(folder: str | os.PathLike[str]) -> int:
    """Return what the files of a folder take; a part of one that takes no room (a hole) is not counted."""
    found = 0
    for root, _, files in os.walk(os.fspath(folder)):
        for name in files:
            try:
                state = os.stat(os.path.join(root, name))
            except FileNotFoundError:  # a derived file that was replaced just now
                continue
            # In units of 512 bytes, whatever the file system's blocks (stat(2)); Windows does not say.
            found += min(state.st_size, getattr(state, "st_blocks", state.st_size) * 512)
    return found


def is_archive_name(path: bytes) -> bool:
    """Say whether a file of this name is taken for an archive."""
    # "._" are macOS's companion files: named like their archive, holding none of it.
    return path.lower().endswith(ARCHIVE_SUFFIXES) and not os.path.basename(path).startswith(b"._")


def archive_of(path: bytes) -> bytes | None:
    """Return the archive that a path leads into, `a.zip` of `a.zip!/b.jpg`; None if it leads into none.

    A file at the very path wins, in a folder that is called `a.zip!`.
    """
    if os.path.lexists(path):
        return None
    end = path.find(b"!/")
    while end >= 0:
        if is_archive_name(path[:end]) and os.path.isfile(path[:end]):
            return path[:end]
        end = path.find(b"!/", end + 1)
    return None


def on_disk(path: bytes) -> bytes:
    """Return the file that holds what is at a path: the archive of a member, any other file itself."""
    return archive_of(path) or path


def shown(path: bytes) -> str:
    """Return a path for a person: on one line, with control characters and bytes that are no text escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
