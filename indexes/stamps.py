"""What an index file is of: a stamp behind the FAISS index, that can be read without FAISS.

The file is the FAISS index, the stamp as JSON, and a footer: the stamp's length, its CRC-32, and a mark.
"""

import json
import os
import struct
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

# rabitq: one bit a dimension (https://arxiv.org/abs/2405.12497). pq: product quantization, a byte for 32 dimensions,
# for those who have less memory. docs/design.md, "Search", compares.
KINDS = ("rabitq", "pq")
PQ_DIMS_A_BYTE = 32
# Vectors that are compared one by one rather than by an index: some 10 ms of one core, from memory.
EXACT_BYTES = 128 << 20

FOOTER, MAGIC = struct.Struct("<II8s"), b"vecstore"


class Unusable(Exception):
    """An index file that is damaged, of another format, or of other rows; the message says which."""


@dataclass(frozen=True)
class Stamp:
    """What an index file is of. rows: the first so many rows are in it. trained: rows when its lists were made.

    probes: lists a search looks through. candidates: rows that it compares exactly for ten neighbours. recall: of ten
    neighbours, measured on `measured` rows at these. digest: of some of its rows. head, head_checksum: bytes before the
    lists, and their CRC-32; codes_checksum: of the lists.
    """

    kind: str
    dim: int
    rows: int
    trained: int
    lists: int
    probes: int = 1
    candidates: int = 1
    recall: float = 0.0
    measured: int = 0
    target: float = 0.0
    digest: str = ""
    head: int = 0
    head_checksum: int = 0
    codes_checksum: int = 0
    format: int = 1


def code_bytes(kind: str, dim: int) -> int:
    """Return the bytes that an index of this kind takes for each row."""
    rotated = 1 << max(dim - 1, 0).bit_length()  # the Hadamard rotation fills up to a power of two
    # RaBitQ keeps two float32 beside its bits; every row has an int64 id.
    return (-(-rotated // 8) + 8 if kind == "rabitq" else max(rotated // PQ_DIMS_A_BYTE, 1)) + 8


def read_stamp(path: Path) -> Stamp | None:
    """Return what an index file says it is of, None if there is no file, or none that says it."""
    with suppress(FileNotFoundError, Unusable), open(path, "rb") as file:
        return load_stamp(file)
    return None


def append_stamp(file: BinaryIO, stamp: Stamp) -> None:
    """Write the stamp where the file stands: behind the FAISS index."""
    text = json.dumps(asdict(stamp)).encode()
    file.write(text + FOOTER.pack(len(text), zlib.crc32(text), MAGIC))


def load_stamp(file: BinaryIO) -> Stamp:
    """Return the stamp of an index file. Raises Unusable if there is none."""
    start = stamp_start(file)
    file.seek(start)
    text = file.read()[: -FOOTER.size]
    try:
        return Stamp(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise Unusable("it is of another format") from error


def stamp_start(file: BinaryIO) -> int:
    """Return where the stamp begins. Raises Unusable if there is none, or a damaged one."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - FOOTER.size, 0))
    footer = file.read()
    length, checksum, magic = FOOTER.unpack(footer) if len(footer) == FOOTER.size else (0, 0, b"")
    start = int(size - FOOTER.size - length)
    if magic != MAGIC or start < 0:
        raise Unusable("its end is missing")
    file.seek(start)
    if zlib.crc32(file.read(length)) != checksum:
        raise Unusable("its stamp is damaged")
    return start


def checksum_of(file: BinaryIO, start: int, end: int) -> int:
    """Return the CRC-32 of a part of the file."""
    file.seek(start)
    checksum = 0
    while start < end:
        block = file.read(min(1 << 20, end - start))
        if not block:
            break
        checksum = zlib.crc32(block, checksum)
        start += len(block)
    return checksum
