"""What has become of the file at a recorded path: whether it still has its content, and which file it is.

Two paths can lead to one file: by a symbolic link, a hard link, a linked folder, or a disk that is mounted twice. A
file in the state on record is believed to hold what is on record; one in another state is read and compared. This
module knows no store, and changes no file.
"""

import errno
import os
import stat
from dataclasses import dataclass, field, replace
from enum import Enum

from vecstore.sources import archives, decoding
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import archive_of, is_address

# What the system says of a path that leads nowhere; other errors (no leave, a disk that does not answer) say nothing of
# the file.
_NO_SUCH_PATH = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class Presence(Enum):
    """HERE: it can be read, and has its content. ELSEWHERE: an address, which is not looked at.

    MISSING: the path is gone, or holds something else. UNREADABLE: it may be there, and cannot be read now.
    """

    HERE = "here"
    ELSEWHERE = "elsewhere"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class PathState:
    """What a path leads to. file: what is on the disk, the archive of a member.

    identities: two paths that share one lead to one file; empty where there is none. is_link: the path is itself a
    symbolic link. is_real: neither it nor a folder of it is one. is_read: the content was read, not only its size
    and time compared.
    """

    path: bytes
    sha256: bytes
    presence: Presence
    file: bytes = b""
    identities: frozenset[tuple[object, ...]] = field(default_factory=frozenset)
    is_link: bool = False
    is_real: bool = True
    is_read: bool = False

    @property
    def is_member(self) -> bool:
        """Whether it is in an archive."""
        return self.file != self.path

    def read(self) -> "PathState":
        """Return the state as reading the content finds it."""
        return replace(self, presence=_presence_by_content(self.path, self.sha256), is_read=True)


class PathStates:
    """Looks at recorded paths. What has changed since it was recorded is read once, an archive for all its members."""

    def __init__(self) -> None:
        self._changed: dict[tuple[FileStamp, bytes], Presence] = {}
        self._contents: dict[FileStamp, dict[bytes, bytes]] = {}

    def of(self, recorded: FileStamp, sha256: bytes) -> PathState:
        """Return what a path leads to. recorded: the state on record. sha256: of the content on record."""
        path = recorded.path
        if is_address(path):
            return PathState(path, sha256, Presence.ELSEWHERE, file=path)
        file = archive_of(path) or path
        try:
            found = os.stat(file)
        except OSError as error:
            is_missing = error.errno in _NO_SUCH_PATH
            return PathState(path, sha256, Presence.MISSING if is_missing else Presence.UNREADABLE, file)
        inner = path[len(file) :]
        is_as_recorded = FileStamp(path, found.st_size, found.st_mtime_ns) == recorded
        return PathState(
            path,
            sha256,
            self._presence(recorded, sha256, file, found),
            file,
            identities(found, file, inner),
            is_link=os.path.islink(file),
            is_real=os.path.realpath(file) == file,
            is_read=not is_as_recorded,
        )

    def _presence(self, recorded: FileStamp, sha256: bytes, file: bytes, found: os.stat_result) -> Presence:
        if not stat.S_ISREG(found.st_mode):
            return Presence.MISSING
        if not os.access(file, os.R_OK):
            return Presence.UNREADABLE
        now = FileStamp(recorded.path, found.st_size, found.st_mtime_ns)
        if now == recorded:
            return Presence.HERE
        if file == recorded.path:
            if (now, sha256) not in self._changed:
                self._changed[now, sha256] = _presence_by_content(file, sha256)
            return self._changed[now, sha256]
        contents = self._contents_of(FileStamp(file, now.size, now.mtime_ns))
        return Presence.HERE if contents.get(recorded.path) == sha256 else Presence.MISSING

    def _contents_of(self, archive: FileStamp) -> dict[bytes, bytes]:
        """Return the sha256 of every member that can be read, by its path."""
        if archive not in self._contents:
            found: dict[bytes, bytes] = {}
            try:
                for member in archives.members(archive):
                    try:
                        found[member.path] = member.read().sha256
                    except decoding.Unreadable:
                        found.pop(member.path, None)
            except decoding.Unreadable:  # cut off, or no archive any more: what came before is there
                pass
            self._contents[archive] = found
        return self._contents[archive]


def identities(found: os.stat_result, file: bytes, inner: bytes = b"") -> frozenset[tuple[object, ...]]:
    """Return what two paths share if they lead to one file. inner: the member, of an archive."""
    if not found.st_ino:  # some file systems have no such numbers
        return frozenset({(os.path.realpath(file), inner)})
    # A disk that is mounted twice, over a network say, has two devices. Its files have their numbers and the time of
    # their last change of state under both; a copy has a time of its own.
    return frozenset({(found.st_dev, found.st_ino, inner), ("any", found.st_ino, found.st_ctime_ns, inner)})


def freed_by(path: bytes) -> int:
    """Return how many bytes deleting a file frees: none of one that has other names, or is gone."""
    try:
        state = os.lstat(path)
    except OSError:
        return 0
    return state.st_size if state.st_nlink == 1 else 0


def _presence_by_content(path: bytes, sha256: bytes) -> Presence:
    try:
        content = archives.read_path(path)
    except (OSError, decoding.Unreadable):
        return Presence.UNREADABLE if os.path.exists(path) else Presence.MISSING
    return Presence.HERE if content.sha256 == sha256 else Presence.MISSING
