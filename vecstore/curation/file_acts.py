"""What is done to a single file, each so that a kill at any moment leaves one of two states, which can be told apart.

Each act has a `settle`, which looks at the files and says whether the act was done, having cleared away what an
interrupted one has left beside it. No act overwrites a file that was there. This module knows no catalog; contents are
told by their sha256.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO

from vecstore.sources import archives, decoding
from vecstore.sources.path_state import identities
from vecstore.sources.paths import archive_of
from vecstore.storage.durable_files import sync_directory, sync_file

READ_BYTES = 1 << 20


@dataclass(frozen=True)
class FileState:
    """A regular file as it was found, with the sha256 of its content. links: how many names it has.

    identities: two files that share one are one. changed_ns: when its state last changed. path: empty for what is in an
    archive.
    """

    sha256: bytes
    size: int
    mode: int
    modified_ns: int
    identities: frozenset[tuple[object, ...]]
    links: int
    changed_ns: int = 0
    path: bytes = b""


def look(path: bytes) -> FileState:
    """Return the state and content of a regular file; a link is none. Raises OSError, of ELOOP for a link."""
    descriptor = os.open(path, os.O_RDONLY | _flag("O_NOFOLLOW") | _flag("O_NONBLOCK") | _flag("O_BINARY"))
    with open(descriptor, "rb", buffering=0) as file:
        state = os.fstat(descriptor)
        if os.path.islink(path):  # where links cannot be told while opening
            raise OSError(errno.ELOOP, "it is a symbolic link", path)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        digest = hashlib.sha256()
        while block := file.read(READ_BYTES):
            digest.update(block)
        after = os.fstat(descriptor)
    if (after.st_size, after.st_mtime_ns) != (state.st_size, state.st_mtime_ns):
        raise OSError(errno.EBUSY, "it changes while it is read", path)
    found = identities(state, path)
    return FileState(
        digest.digest(), after.st_size, after.st_mode, after.st_mtime_ns, found, after.st_nlink, after.st_ctime_ns, path
    )


def require_as_found(state: FileState) -> None:
    """Raise OSError if a file was exchanged or written to since it was read."""
    now = os.lstat(state.path)
    found = identities(now, state.path), now.st_size, now.st_mtime_ns, now.st_ctime_ns
    if found != (state.identities, state.size, state.modified_ns, state.changed_ns):
        raise OSError(errno.EBUSY, "it was changed just now", state.path)


def holds(path: bytes, sha256: bytes) -> bool:
    """Say whether a regular file with this content is at the path."""
    try:
        return look(path).sha256 == sha256
    except OSError:
        return False


def is_symlink_to(path: bytes, target: bytes) -> bool:
    """Say whether a path is a symbolic link that says this very target."""
    return os.path.islink(path) and os.readlink(path) == target


def is_regular(path: bytes) -> bool:
    """Say whether a path is a file of its own: no link, folder or device, and there."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def are_same(path: bytes, other: bytes) -> bool:
    """Say whether two paths are names of one regular file."""
    try:
        one, two = os.lstat(path), os.lstat(other)
    except OSError:
        return False
    return stat.S_ISREG(one.st_mode) and (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino)


# Moving


def move(source: bytes, target: bytes, sha256: bytes, draft: bytes) -> None:
    """Move a file to a path where nothing is, also to another file system. Raises OSError, FileExistsError.

    The name is reserved by an empty file first, which the move replaces: a plain rename would overwrite what came to
    be there in between. draft: beside the target, for a copy that is under way.
    """
    _reserve(target)
    secure_name(target)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        before = os.lstat(source)
        _write_copy(source, draft, sha256)
        os.replace(draft, target)
        _sync_folder(target)
        after = os.lstat(source)
        if (after.st_ino, after.st_size, after.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
            raise OSError(errno.EBUSY, "it was changed while it was copied", source) from error
        if not holds(target, sha256):
            raise OSError(errno.EIO, "its copy on the other disk has another content", target) from error
        os.unlink(source)
    _sync_folder(target)
    _sync_folder(source)


def settle_move(source: bytes, target: bytes, sha256: bytes, draft: bytes) -> bool:
    """Say whether a file was moved; one that is at both places stays at the first."""
    _remove(draft)
    if os.path.lexists(source):
        # Only between two file systems is there a moment when both are whole; elsewhere the other is not of this act.
        if _is_empty(target) or (_are_on_two(source, target) and holds(target, sha256) and holds(source, sha256)):
            _remove(target)
        return False
    return holds(target, sha256)


# Links in the place of copies


def replace_by_hardlink(path: bytes, keeper: bytes, draft: bytes) -> None:
    """Let a path be another name of the keeper's file. Raises OSError, of EXDEV for another file system."""
    _replace_by(os.link, path, keeper, draft)


def settle_hardlink(path: bytes, keeper: bytes, draft: bytes) -> bool:
    _remove(draft)
    return are_same(path, keeper)


def replace_by_symlink(path: bytes, keeper: bytes, draft: bytes) -> None:
    """Let a path be a symbolic link to the keeper."""
    _replace_by(os.symlink, path, keeper, draft)


def _replace_by(make_link: Callable[[bytes, bytes], None], path: bytes, keeper: bytes, draft: bytes) -> None:
    """Put a link in the place of a file, in one step."""
    _remove(draft)
    make_link(keeper, draft)
    os.replace(draft, path)
    _sync_folder(path)


def settle_symlink(path: bytes, keeper: bytes, draft: bytes) -> bool:
    _remove(draft)
    return is_symlink_to(path, keeper)


def restore_copy(path: bytes, keeper: bytes, sha256: bytes, draft: bytes, mode: int, modified_ns: int) -> None:
    """Let a path that is a link to the keeper, or is gone, be a file of its own again. Raises OSError."""
    _write_copy(keeper, draft, sha256)
    with suppress(OSError):
        os.chmod(draft, stat.S_IMODE(mode))
    with suppress(OSError, OverflowError):
        os.utime(draft, ns=(modified_ns, modified_ns))
    os.replace(draft, path)
    _sync_folder(path)


def settle_copy_restored(path: bytes, keeper: bytes, sha256: bytes, draft: bytes) -> bool:
    _remove(draft)
    return holds(path, sha256) and not are_same(path, keeper)


# Deleting, copying, linking


def delete(path: bytes) -> None:
    os.unlink(path)
    _sync_folder(path)


def settle_delete(path: bytes) -> bool:
    return not os.path.lexists(path)


def copy(source: bytes, target: bytes, sha256: bytes, draft: bytes) -> None:
    """Copy a file, or the member of an archive, to a path where nothing is. Raises OSError, FileExistsError."""
    _reserve(target)
    if archive_of(source) is None:
        _write_copy(source, draft, sha256)
    else:
        _write_member(source, draft, sha256)
    os.replace(draft, target)
    _sync_folder(target)


def settle_copy(target: bytes, sha256: bytes, draft: bytes) -> bool:
    _remove(draft)
    if _is_empty(target):
        _remove(target)
    return holds(target, sha256)


def link(source: bytes, target: bytes) -> None:
    """Make a symbolic link where nothing is. Raises OSError, FileExistsError."""
    os.symlink(source, target)
    _sync_folder(target)


def settle_link(source: bytes, target: bytes) -> bool:
    return is_symlink_to(target, source)


# Folders


def make_folder(path: bytes) -> None:
    os.mkdir(path)
    _sync_folder(path)


def remove_folder(path: bytes) -> bool:
    """Remove a folder with nothing in it; say whether it is gone."""
    with suppress(OSError):
        os.rmdir(path)
        _sync_folder(path)
    return not os.path.lexists(path)


# What the above are made of


def secure(path: bytes) -> None:
    """Return when a file is on the disk with its name and its folders: it may have come there a moment ago."""
    sync_file(path)
    secure_name(path)


def secure_name(path: bytes) -> None:
    """Return when a file's name and its folders, the real ones, are on the disk."""
    path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    while not os.path.ismount(path) and path != os.path.dirname(path):
        _sync_folder(path)
        path = os.path.dirname(path)


def _reserve(path: bytes) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def _write_copy(source: bytes, draft: bytes, sha256: bytes) -> None:
    """Write a synced copy of a file. Raises OSError, also if it has not the content that it should have."""
    _remove(draft)
    digest = hashlib.sha256()
    with open(source, "rb", buffering=0) as original, open(draft, "xb", buffering=0) as file:
        while block := original.read(READ_BYTES):
            digest.update(block)
            _write_all(file, block)
        os.fsync(file.fileno())
    if digest.digest() != sha256:
        _remove(draft)
        raise OSError(errno.EIO, "it has another content than on record", source)
    with suppress(OSError, OverflowError, ValueError):  # a time or right that this disk cannot have
        shutil.copystat(source, draft)


def _write_member(source: bytes, draft: bytes, sha256: bytes) -> None:
    try:
        content = archives.read_path(source)
    except decoding.Unreadable as error:
        raise OSError(errno.EIO, str(error), source) from error
    if content.sha256 != sha256:
        raise OSError(errno.EIO, "it has another content than on record", source)
    _remove(draft)
    with open(draft, "xb", buffering=0) as file:
        _write_all(file, content.data)
        os.fsync(file.fileno())


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]  # it may write a part


def _remove(path: bytes) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path)


def _is_empty(path: bytes) -> bool:
    try:
        state = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and state.st_size == 0


def _are_on_two(path: bytes, other: bytes) -> bool:
    """Say whether two paths are on different file systems."""
    try:
        return os.lstat(path).st_dev != os.lstat(other).st_dev
    except OSError:
        return False


def _sync_folder(path: bytes) -> None:
    try:
        sync_directory(os.path.dirname(path))
    except OSError as error:
        # A folder that may be written to but not read, or a file system that cannot.
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL):
            raise


def _flag(name: str) -> int:
    return int(getattr(os, name, 0))
