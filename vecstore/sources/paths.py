"""Paths: as the catalog spells them, and as a person is shown them. Loads nothing heavy."""

import os
import re
from pathlib import Path
from typing import TypeAlias

import platformdirs

from vecstore.errors import BadInput

AnyPath: TypeAlias = str | bytes | os.PathLike[str]

# As Linux calls the file systems whose files may be on another machine.
NETWORK_FILE_SYSTEMS = frozenset(
    "nfs nfs4 cifs smb3 smbfs 9p afs ceph lustre gpfs beegfs glusterfs fuse.glusterfs fuse.sshfs fuse.rclone".split()
)
# A scheme of at least two letters: one is a drive of Windows.
ADDRESS = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]+://.", re.DOTALL)
ARCHIVE_SUFFIXES = tuple(b".zip .cbz .tar .tar.gz .tgz .tar.bz2 .tbz2 .tar.xz .txz".split())


def cache_dir() -> Path:
    """Return the folder for what can be made again: `$VECSTORE_CACHE`, else the platform's cache folder."""
    return Path(os.environ.get("VECSTORE_CACHE") or platformdirs.user_cache_path("vecstore"))


def absolute(path: AnyPath) -> bytes:
    """Return the path as the catalog spells it: absolute, in the file system's own bytes, links not resolved.

    `~` stands for a home folder, unless something here is called so. An address (`https://...`, `s3://...`) is no path
    of this machine's and stays as it is; a folder called like one is `./https:/...`. Raises BadInput for what no file
    can be called.
    """
    try:
        path = os.fsencode(path)
    except UnicodeEncodeError as error:
        raise BadInput(f"{path!r} is no path: it has characters that no file name has") from error
    if b"\0" in path:
        raise BadInput(f"{shown(path)} is no path: it has a NUL, which no file name has")
    if is_address(path):
        return path
    # Expanded as text: as bytes, a user's name that is not ASCII is an error of Python's.
    home = path if os.path.lexists(path) else os.fsencode(os.path.expanduser(os.fsdecode(path)))
    return os.path.abspath(home)


def is_address(path: bytes) -> bool:
    """Say whether this is an address as of the Web or an object store, and not a path."""
    return ADDRESS.match(path) is not None


def network_file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Return what kind of network disk a folder is on, None if it is on none, or that cannot be told here."""
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
