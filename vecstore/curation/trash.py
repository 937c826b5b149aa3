"""The system's trash: Send2Trash puts files there; where they went is found by the notes that the trash keeps.

https://specifications.freedesktop.org/trash-spec: each file has a note `info/NAME.trashinfo` with the path that it came
from. On macOS and Windows nobody but the system knows where a file went, so from there it is put back by hand.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote_to_bytes

from vecstore.curation.file_acts import holds, secure_name
from vecstore.errors import BadInput

# Whether `find` can say where a file went.
HAS_NOTES = sys.platform not in ("darwin", "win32")
INFO = b".trashinfo"


def require() -> None:
    """Raise BadInput if nothing here can put files into the trash."""
    try:
        import send2trash  # noqa: F401
    except ImportError as error:
        raise BadInput("the trash needs Send2Trash; install it, or give --apply move:DIR") from error


def put(path: bytes) -> None:
    """Put a file into the trash. Raises OSError."""
    from send2trash import send2trash

    send2trash(os.fsdecode(path))
    where = (os.path.join(trash, part, b"") for trash, _ in _trashes(path) for part in (b"files", b"info"))
    for name in (*where, path) if HAS_NOTES else ():
        with suppress(OSError):  # most of them are not there
            secure_name(name)


def find(path: bytes, sha256: bytes) -> bytes | None:
    """Return where the file of this content that was at a path last is in the trash; None if it is not found."""
    found = sorted(_notes_of(path), reverse=True)
    return next((file for _, file in found if holds(file, sha256)), None)


def forget_note(file: bytes) -> None:
    """Remove the note of a file that was taken out of the trash."""
    folder, name = os.path.split(file)
    with suppress(OSError):
        os.unlink(os.path.join(os.path.dirname(folder), b"info", name + INFO))


def _notes_of(path: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (when the note was written, file in the trash) of the files that came from a path."""
    stem = os.path.splitext(os.path.basename(path))[0]
    for trash, top in _trashes(path):
        with suppress(OSError):
            for name in os.listdir(os.path.join(trash, b"info")):
                note = os.path.join(trash, b"info", name)
                if name.startswith(stem) and name.endswith(INFO) and _origin(note, top) == os.path.realpath(path):
                    yield os.stat(note).st_mtime_ns, os.path.join(trash, b"files", name[: -len(INFO)])


def _origin(note: bytes, top: bytes) -> bytes | None:
    """Return the path that a file in the trash came from, links in its folders resolved."""
    with suppress(OSError), open(note, "rb") as file:
        for line in file:
            if line.startswith(b"Path="):
                return os.path.realpath(os.path.join(top, unquote_to_bytes(line[5:].rstrip(b"\r\n"))))
    return None


def _trashes(path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each trash that a file may be in, with the folder that its notes' paths begin from."""
    home = os.path.expanduser(os.environb.get(b"XDG_DATA_HOME") or b"~/.local/share")
    yield os.path.join(home, b"Trash"), home
    top = os.path.realpath(os.path.dirname(path))
    while not os.path.ismount(top):
        top = os.path.dirname(top)
    user = b"%d" % os.getuid()
    yield os.path.join(top, b".Trash", user), top
    yield os.path.join(top, b".Trash-" + user), top
