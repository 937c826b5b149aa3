"""Paths: in the form that the catalog stores, and in the form that people read. Imports nothing heavy."""

import os
import re
from pathlib import Path
from typing import TypeAlias

import platformdirs

from vecstore.errors import BadInput

AnyPath: TypeAlias = str | bytes | os.PathLike[str]

# Linux's names of network file systems.
NETWORK_FILE_SYSTEMS = frozenset(
    "nfs nfs4 cifs smb3 smbfs 9p afs ceph lustre gpfs beegfs glusterfs fuse.glusterfs fuse.sshfs fuse.rclone".split()
)
# A scheme has at least two letters: a single letter is a Windows drive.
ADDRESS = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]+://.", re.DOTALL)
ARCHIVE_SUFFIXES = tuple(b".zip .cbz .tar .tar.gz .tgz .tar.bz2 .tbz2 .tar.xz .txz".split())


def cache_dir() -> Path:
    """Return the folder for data that can be recomputed: `$VECSTORE_CACHE`, else the platform's cache folder."""
    return Path(os.environ.get("VECSTORE_CACHE") or platformdirs.user_cache_path("vecstore"))


def absolute(path: AnyPath) -> bytes:
    """Return the path as the catalog stores it: absolute, in the file system's bytes, links not resolved.

    `~` is the home folder, unless a file here has that name. An address (`https://...`, `s3://...`) is returned
    unchanged; a folder of such a name can be given as `./https:/...`.

    Raises BadInput for a name that a file cannot have.

    >>> absolute("/photos/2026/../cat.jpg")
    b'/photos/cat.jpg'
    >>> absolute("https://example.org/cat.jpg")
    b'https://example.org/cat.jpg'
    """
    try:
        path = os.fsencode(path)
    except UnicodeEncodeError as error:
        raise BadInput(f"{path!r} is not a path: it has characters that a file name cannot have") from error
    if b"\0" in path:
        raise BadInput(f"{shown(path)} is not a path: it has a NUL, which a file name cannot have")
    if os.name == "posix" and path.startswith(b"/") and not path.endswith(b"/") and b"//" not in path:
        if b"/." not in path:  # nothing in it to go back from
            return path
    if is_address(path):
        return path
    if path.startswith(b"~") and not os.path.lexists(path):
        # Expanded as text, because Python cannot expand the bytes of a user name that is not ASCII.
        path = os.fsencode(os.path.expanduser(os.fsdecode(path)))
    return os.path.abspath(path)


def is_address(path: bytes) -> bool:
    """Return whether this is an address on the Web or in an object store, not a path.

    >>> is_address(b"s3://bucket/cat.jpg"), is_address(b"/photos/cat.jpg")
    (True, False)
    """
    return b"://" in path and ADDRESS.match(path) is not None


def network_file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Return the kind of network file system that a folder is on, such as "nfs4"; None if it is local, or unknown.

    Parameters
    ----------
    folder: may not exist yet.
    mounts: the list of mounts, which only Linux has.
    """
    place = os.path.realpath(folder)
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:  # no Linux
        return None
    kind, longest = "", -1
    for _, mounted, fs_type, *_ in (line.split(" ") for line in lines if line.count(" ") >= 2):
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mounted)
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # of two mounted at one place the later one is seen
            kind, longest = fs_type, len(point)
    return kind if kind in NETWORK_FILE_SYSTEMS else None


def bytes_on_disk(folder: str | os.PathLike[str]) -> int:
    """Return the disk space of a folder's files in bytes, without the holes of sparse files."""
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
    """Return whether a file of this name is treated as an archive.

    >>> is_archive_name(b"photos.tar.gz"), is_archive_name(b"photos.7z")
    (True, False)
    """
    # macOS names the companion file of photos.zip ._photos.zip; it is not an archive.
    return path.lower().endswith(ARCHIVE_SUFFIXES) and not os.path.basename(path).startswith(b"._")


def archive_of(path: bytes) -> bytes | None:
    """Return the archive of a member's path, `a.zip` for `a.zip!/b.jpg`; None for the path of a file or folder.

    If a file exists at the path itself, because a folder is named `a.zip!`, that file is meant.
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
    """Return the file to open for a path: the archive for one of its members, else the path itself."""
    return archive_of(path) or path


def is_gone(path: bytes) -> bool:
    """Say whether there is no file at a path, nor an archive that it leads into; of an address nobody can tell.

    A folder that may not be entered, or a disk that fails, says nothing about its files.
    """
    if is_address(path):
        return False
    try:
        os.stat(on_disk(path))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        return False
    return False


def shown(path: bytes) -> str:
    r"""Return a path for people to read: on one line, with control characters and bytes that are not UTF-8 escaped.

    >>> shown(b"/photos/two\nlines \xff.jpg")
    '/photos/two\\nlines \\xff.jpg'
    """
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
