"""The directory of a zip, entry by entry: what one entry says wrongly is that member's fault, and not the archive's.

`zipfile` reads the members, but its own reading of the directory ends at the first entry that it cannot make sense of.
Names are bytes here until all are known: what encoding they are in shows in all of them together.
"""

import struct
import zipfile
import zlib
from typing import IO

from vecstore.sources.name_encoding import encoding_of
from vecstore.sources.text_files import is_utf8

_UTF8, _UNICODE_PATH, _ZIP64 = 0x800, 0x7075, 0x0001
# Signature, versions, flags, method, time, CRC-32, sizes, lengths, disk, attributes, offset (APPNOTE.TXT, 4.3.12).
_ENTRY = struct.Struct("<4s4B4HL2L5H2L")
_FULL, _FULL_64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


class ZipFile(zipfile.ZipFile):
    """A zip that is read; `names` are its members' names as bytes, in the order of `infolist()`.

    A name is what its Unicode Path field says, else UTF-8 where that is flagged or all names are, else it is decoded
    from the code page that they look to be in. Raises what `zipfile.ZipFile` does for what is no zip.
    """

    names: list[bytes]

    def __init__(self, file: IO[bytes]) -> None:
        self.names = []
        super().__init__(file)

    def _RealGetContents(self) -> None:
        file = self.fp
        try:
            end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
        except OSError as error:
            raise zipfile.BadZipFile("File is not a zip file") from error
        if not end:
            raise zipfile.BadZipFile("File is not a zip file")
        size, offset, location = end[5], end[6], end[9]
        # What stands before the archive (a program that unpacks itself) is not counted in its offsets.
        before = location - size - offset - (76 if end[0] == b"PK\x06\x06" else 0)
        self._comment, self.start_dir = end[8], offset + before
        if self.start_dir < 0:
            raise zipfile.BadZipFile("Bad offset for central directory")
        file.seek(self.start_dir)  # type: ignore[union-attr]
        directory = file.read(size)  # type: ignore[union-attr]
        raw_names = []
        position = 0
        while position < len(directory):
            head = directory[position : position + _ENTRY.size]
            if len(head) < _ENTRY.size:
                raise zipfile.BadZipFile("Truncated central directory")
            values = _ENTRY.unpack(head)
            if values[0] != b"PK\x01\x02":
                raise zipfile.BadZipFile("Bad magic number for central directory")
            n_name, n_extra, n_comment = values[12:15]
            position += _ENTRY.size
            name = directory[position : position + n_name]
            extra = directory[position + n_name : position + n_name + n_extra]
            position += n_name + n_extra + n_comment
            self.filelist.append(_member(values, name, extra, before))
            raw_names.append((name, values[5], extra))
        self.names = _decoded(raw_names)
        self._bound()

    def _bound(self) -> None:
        """Say where each member ends at the latest, which newer versions of `zipfile` (3.12.2) hold them to."""
        end = self.start_dir
        for info in sorted(self.filelist, key=lambda info: info.header_offset, reverse=True):
            if hasattr(info, "_end_offset"):
                info._end_offset = end
            end = info.header_offset


def _member(values: tuple[int, ...], name: bytes, extra: bytes, before: int) -> zipfile.ZipInfo:
    # `zipfile` compares this with the name before the member; in 437 all bytes are something.
    is_text = values[5] & _UTF8 and is_utf8(name)
    info = zipfile.ZipInfo(name.decode("utf-8" if is_text else "cp437"))
    info.create_system, info.extract_version, info.flag_bits = values[2], values[3], values[5]
    info.compress_type, info.CRC = values[6], values[9]
    info.compress_size, info.file_size, info.external_attr = values[10], values[11], values[17]
    offset = values[18]
    # Of these three the field of ZIP64 has those that do not fit, in this order.
    numbers = list(_fields(extra).get(_ZIP64, b""))
    wide = [int.from_bytes(numbers[at : at + 8], "little") for at in range(0, len(numbers) - 7, 8)]
    if info.file_size in (_FULL, _FULL_64) and wide:
        info.file_size = wide.pop(0)
    if info.compress_size == _FULL and wide:
        info.compress_size = wide.pop(0)
    if offset == _FULL and wide:
        offset = wide.pop(0)
    info.header_offset = offset + before
    return info


def _fields(extra: bytes) -> dict[int, bytes]:
    """Return the extra fields of an entry by their number, as far as they can be told apart."""
    found: dict[int, bytes] = {}
    while len(extra) >= 4:
        number, size = struct.unpack_from("<HH", extra)
        found.setdefault(number, extra[4 : 4 + size])
        extra = extra[4 + size :]
    return found


def _decoded(names: list[tuple[bytes, int, bytes]]) -> list[bytes]:
    """Return the names of (name, flags, extra fields) in UTF-8, or as they are where they are said to be that."""
    unsaid = [name for name, flags, extra in names if not flags & _UTF8 and _unicode_path(name, extra) is None]
    encoding = encoding_of(unsaid, "cp437") or "utf-8"
    found = []
    for name, flags, extra in names:
        told = _unicode_path(name, extra)
        if told is None and not flags & _UTF8 and encoding != "utf-8":
            told = name.decode(encoding).encode()
        found.append((name if told is None else told).partition(b"\0")[0])
    return found


def _unicode_path(name: bytes, extra: bytes) -> bytes | None:
    """Return what the Info-ZIP Unicode Path field says, None if there is none, or it is of another name."""
    field = _fields(extra).get(_UNICODE_PATH, b"")
    if len(field) <= 5 or field[0] != 1 or int.from_bytes(field[1:5], "little") != zlib.crc32(name):
        return None
    return field[5:]
