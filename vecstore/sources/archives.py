"""Archives as sources of pictures: their members, one after the other, in order, never on disk.

A member is addressed `photos.zip!/inner/a.jpg`, and its size and time are those of the archive, so that an archive
that is as it was need not be opened. Names are as `unzip` would put them: none leads out of the archive, and of two
alike the last one counts. Only regular files are members: links are passed over, archives in archives not looked into.
What an archive says of itself is not believed: sizes are checked as bytes come. This module knows no store.
"""

import bz2
import functools
import gzip
import hashlib
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Self, cast

from vecstore.sources import decoding
from vecstore.sources.decoding import Content, Unreadable
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import archive_of, shown
from vecstore.sources.remote import RemoteFile
from vecstore.sources.zip_directory import ZipFile

ZIP_SUFFIXES = (b".zip", b".cbz")
# bzip2 can make 900,000 bytes of 45, and zipfile decompresses what it reads of that or LZMA in one go: small bites.
CHUNK_BYTES = 8192
# A tar's long names and pax headers are read whole; one of more than this is a bomb.
MAX_HEADER_BYTES = 1 << 20
_LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_DECOMPRESSORS: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda file: cast(IO[bytes], gzip.GzipFile(fileobj=file)),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
_ENCRYPTED = 0x1  # a bit of a zip member's flags


def _unread() -> IO[bytes]:
    raise Unreadable("its archive changed while it was read; add it again")


@dataclass(frozen=True)
class Member(FileStamp):
    """A file in an archive, to be read before the next one is asked for. size, mtime_ns: the archive's.

    declared: the bytes that it has, by the archive's word.
    """

    declared: int = 0
    open: Callable[[], IO[bytes]] = _unread

    @functools.cached_property
    def _file(self) -> IO[bytes]:
        return self.open()

    def looks_like_picture(self) -> bool:
        """Say whether it is to be taken for a picture, as `decoding.looks_like_picture` does of files."""
        by_name = decoding.looks_like_picture_by_name(self.path)
        if by_name is not None:
            return by_name
        try:
            with translate_archive_errors():
                head = self._file.read(decoding.MAGIC_BYTES)
                self._file.seek(0)  # within the buffer: a compressed tar would be read again from its beginning
        except Unreadable:
            return False
        return decoding.begins_like_picture(head)

    def read(self) -> Content:
        """Return its content, with the archive's stamp. Raises Unreadable."""
        if self.declared > decoding.MAX_FILE_BYTES:
            raise Unreadable(f"the file has {self.declared:,} bytes; the limit is {decoding.MAX_FILE_BYTES:,}")
        chunks = []
        left = decoding.MAX_FILE_BYTES
        with translate_archive_errors(), self._file as file:
            while chunk := file.read(CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise Unreadable(f"the file has more bytes than the limit of {decoding.MAX_FILE_BYTES:,}")
                chunks.append(chunk)
        content = b"".join(chunks)
        return Content(content, hashlib.sha256(content).digest(), self.size, self.mtime_ns)


def broken(archive: FileStamp, reason: str) -> Member:
    """Return what stands for an archive that cannot be opened or read to its end: reading it fails with the reason."""

    def fail() -> IO[bytes]:
        raise Unreadable(reason)

    return Member(archive.path, archive.size, archive.mtime_ns, open=fail)


def members(archive: FileStamp) -> Iterator[Member]:
    """Yield an archive's files in order. Raises Unreadable where it cannot be opened, or not be read on."""
    walk = _zip_members if archive.path.lower().endswith(ZIP_SUFFIXES) else _tar_members
    with translate_archive_errors(), open(archive.path, "rb") as file:
        for inner, declared, opened in walk(file):
            yield Member(archive.path + b"!" + inner, archive.size, archive.mtime_ns, declared, opened)


def names(archive: FileStamp) -> set[bytes]:
    """Return the paths of an archive's members and of the folders in it. Raises Unreadable, also if it is cut off."""
    found = {archive.path + b"!"}
    for member in members(archive):
        path = member.path
        while path not in found:
            found.add(path)
            path = os.path.dirname(path)
    return found


def count_pictures(path: bytes) -> int:
    """Return how many files a zip has with a picture's suffix; 1 for a tar, which would have to be read to know."""
    if not path.lower().endswith(ZIP_SUFFIXES):
        return 1
    try:
        with translate_archive_errors(), open(path, "rb") as file, ZipFile(file) as archive:
            return sum(decoding.has_picture_suffix(_inner(name)) for name in archive.names)
    except Unreadable:
        return 1


def read(file: FileStamp) -> Content:
    """Return the content of a file, of a member that its archive is at, or of one elsewhere. Raises Unreadable."""
    return file.read() if isinstance(file, Member | RemoteFile) else decoding.read(file.path)


def read_path(path: bytes) -> Content:
    """Return the content of a file or of a member. Raises Unreadable, or FileNotFoundError for no such member."""
    archive = archive_of(path)
    if archive is None:
        return decoding.read(path)
    state = os.stat(archive)
    content = None
    try:
        for member in members(FileStamp(archive, state.st_size, state.st_mtime_ns)):
            if member.path == path:
                content = member.read()
    except Unreadable:
        if content is None:
            raise
    if content is None:
        raise FileNotFoundError(f"{shown(archive)} has no such member")
    return content


# (inner path with a leading slash, declared size, how to open)
_Entry = tuple[bytes, int, Callable[[], IO[bytes]]]


def _zip_members(file: IO[bytes]) -> Iterator[_Entry]:
    with ZipFile(file) as archive:
        last = {_inner(name): (name, info) for name, info in zip(archive.names, archive.infolist(), strict=True)}
        for inner, (name, info) in last.items():
            if not name.endswith(b"/") and not stat.S_ISLNK(info.external_attr >> 16):
                yield inner, info.file_size, functools.partial(_open_in_zip, archive, info)


def _open_in_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    if info.flag_bits & _ENCRYPTED:
        raise Unreadable("it is encrypted; vecstore reads only archives without a password")
    return archive.open(info)


def _tar_members(file: IO[bytes]) -> Iterator[_Entry]:
    stream = _decompressed(file)
    with (
        stream,
        tarfile.TarFile(fileobj=stream, tarinfo=_Header, encoding="utf-8", errors="surrogateescape") as archive,
    ):
        newest: dict[bytes, int] = {}
        if stream is file:
            # `tar --append` puts a file's newer version behind the older one, which it cannot do where all is
            # compressed. There, looking ahead would mean to decompress twice, and the newer replaces the older.
            with suppress(Exception):  # it comes again below, behind the members before it
                newest.update((_inner(_bytes_of(info.name)), info.offset) for info in archive)
        for info in archive:
            inner = _inner(_bytes_of(info.name))
            if info.isreg() and newest.get(inner, info.offset) == info.offset:
                yield inner, info.size, functools.partial(_open_in_tar, archive, info)


def _open_in_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    if file is None:
        raise Unreadable("not a regular file")
    return file


def _decompressed(file: IO[bytes]) -> IO[bytes]:
    head = file.read(8)
    file.seek(0)
    return next((opened(file) for magic, opened in _DECOMPRESSORS.items() if head.startswith(magic)), file)


class _Header(tarfile.TarInfo):
    """A tar's header, reporting two errors that tarfile ignores."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if bytes(buf) == bytes(tarfile.BLOCKSIZE):
                raise  # a block of zeros is the regular end; tarfile takes any damaged header for one
            raise tarfile.ReadError(f"{error}, where a file or the archive's end should be") from error
        if header.type in _LONG_HEADERS and header.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header

    def _block(self, count: int) -> int:
        if count < 0:  # tarfile would go back, to the same header again (CVE-2025-8194)
            raise tarfile.ReadError(f"a member of {count:,} bytes")
        return int(super()._block(count))  # type: ignore[misc]


def _bytes_of(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _inner(name: bytes) -> bytes:
    """Return a member's name as it is addressed, from the archive's root: without `.`, `..` and doubled slashes.

    It ends at a NUL, which no path has, as in the headers of a tar.
    """
    return os.path.normpath(b"/" + name.partition(b"\0")[0].lstrip(b"/"))


@contextmanager
def translate_archive_errors() -> Iterator[None]:
    """Turn whatever zipfile, tarfile and the decompressors raise into Unreadable."""
    try:
        yield
    except Unreadable:
        raise
    except NotImplementedError as error:  # zipfile's word for methods and features that it does not know
        raise Unreadable(f"cannot be unpacked: {error}") from error
    except Exception as error:  # anything from OverflowError to struct.error on damaged files
        strerror = error.strerror if isinstance(error, OSError) else None
        raise Unreadable(
            f"cannot be read: {strerror}" if strerror else f"broken archive: {str(error) or type(error).__name__}"
        ) from error
