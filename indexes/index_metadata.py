"""The header of an index file: what the index was built from, readable and verifiable without FAISS.

The file holds the FAISS index, then the header as JSON, then a footer: the header's length, its CRC-32, and a magic
number.
"""

import hashlib
import json
import math
import os
import struct
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

# rabitq: one bit per dimension (https://arxiv.org/abs/2405.12497). pq: product quantization, one byte per 16
# dimensions, for less memory. docs/design.md, "Search", compares them.
KINDS = ("rabitq", "pq")
PQ_DIMS_A_BYTE = 16
# Up to this size, vectors are compared one by one instead of by an index: some 10 ms of one core, from memory.
EXACT_BYTES = 128 << 20

# So many lists for each square root of rows: comparing a query with the centroids then costs about as much as searching
# a few lists. A query of a large index would look through hundreds of them, so it has more; a smaller one is answered
# quickly anyway, and made in less time with fewer.
LISTS_A_ROOT, LISTS_A_ROOT_WHEN_LARGE, LARGE = 2, 8, 500_000
FEWEST_LISTS, MOST_LISTS = 16, 8_192

FORMAT = 1
FOOTER, MAGIC = struct.Struct("<II8s"), b"vecstore"
DIGEST_ROWS = 16


class InvalidIndex(Exception):
    """An index file is damaged, has another format, or was built from other rows; the message says which."""


@dataclass(frozen=True)
class IndexHeader:
    """What an index file was built from, and how to search it.

    Attributes
    ----------
    kind: "rabitq" or "pq".
    dim: numbers in a vector.
    rows: the index holds rows 0 to rows - 1.
    trained: number of rows when its lists were trained.
    lists: number of inverted lists.
    probes: lists that a search looks through.
    candidates: rows that a search compares exactly for ten neighbours.
    recall: measured recall@10 with these probes and candidates.
    measured: number of rows when the recall was measured.
    target: the recall that was asked for.
    digest: hash of some of the rows.
    head, head_checksum: number of bytes before the lists, and their CRC-32.
    codes_checksum: CRC-32 of the lists.
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
    format: int = FORMAT

    @property
    def candidates_now(self) -> int:
        """`candidates`, scaled by the growth since the measurement: as many more rows may rank before a neighbour."""
        return math.ceil(self.candidates * max(self.rows / self.measured, 1)) if self.measured else self.candidates


def index_bytes(kind: str, n_rows: int, dim: int) -> int:
    """Return an upper bound of an index's size in bytes; it is smaller if fewer dimensions suffice."""
    # RaBitQ keeps two float32 beside its bits; every row has an int64 id.
    code = (-(-dim // 8) + 8 if kind == "rabitq" else pq_parts(dim)) + 8
    codebooks = 256 if kind == "pq" else 0
    return n_rows * code + (number_of_lists(n_rows) + codebooks + dim) * dim * 4


def pq_parts(dim: int) -> int:
    """Return the bytes of a product quantizer's code: the largest divisor of dim that is at most dim / 16."""
    return max(parts for parts in range(1, max(dim // PQ_DIMS_A_BYTE, 1) + 1) if dim % parts == 0)


def number_of_lists(n_rows: int) -> int:
    """Return the power of two nearest to 2 sqrt(n_rows), from 500,000 rows on to 8 sqrt(n_rows), within bounds."""
    lists = (LISTS_A_ROOT if n_rows < LARGE else LISTS_A_ROOT_WHEN_LARGE) * math.sqrt(max(n_rows, 1))
    return min(max(1 << round(math.log2(lists)), FEWEST_LISTS), MOST_LISTS)


def read_header(path: Path) -> IndexHeader | None:
    """Return the header of an index file; None if there is no file, or no valid header."""
    with suppress(OSError, InvalidIndex), open(path, "rb") as file:
        return load_header(file)
    return None


def checked_header(file: BinaryIO, vectors: NDArray[np.float16], whole: bool = False) -> IndexHeader:
    """Return the header of an index file after verifying the file.

    Parameters
    ----------
    file: opened for reading in binary.
    vectors: (n, dim) float16; the index must be of these rows, or of the first of them.
    whole: verify the checksum of the lists too, which reads the whole file.

    Raises
    ------
    InvalidIndex: the file is damaged, has another format, or is of other rows.
    """
    header = load_header(file)
    if header.dim != vectors.shape[1] or header.rows > len(vectors):
        raise InvalidIndex(
            f"it is of {header.rows} vectors of {header.dim} numbers; "
            f"the store has {len(vectors)} of {vectors.shape[1]}"
        )
    if header.digest != digest(vectors, header.rows):
        raise InvalidIndex("it is of other vectors than the store has")
    if header.head_checksum != checksum_of(file, 0, header.head):
        raise InvalidIndex("its checksum is not the recorded one")
    if whole and header.codes_checksum != checksum_of(file, header.head, header_start(file)):
        raise InvalidIndex("the checksum of its lists is not the recorded one")
    return header


def append_header(file: BinaryIO, header: IndexHeader) -> None:
    """Write the header at the current position, behind the FAISS index."""
    text = json.dumps(asdict(header)).encode()
    file.write(text + FOOTER.pack(len(text), zlib.crc32(text), MAGIC))


def load_header(file: BinaryIO) -> IndexHeader:
    """Return the header of an index file. Raises InvalidIndex if there is none."""
    start = header_start(file)
    file.seek(start)
    text = file.read()[: -FOOTER.size]
    try:
        header = IndexHeader(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise InvalidIndex("it is of another format") from error
    if header.format != FORMAT:
        raise InvalidIndex(f"it is of format {header.format}; this vecstore knows {FORMAT}")
    return header


def header_start(file: BinaryIO) -> int:
    """Return the position of the header. Raises InvalidIndex if it is missing or damaged."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - FOOTER.size, 0))
    footer = file.read()
    length, checksum, magic = FOOTER.unpack(footer) if len(footer) == FOOTER.size else (0, 0, b"")
    start = int(size - FOOTER.size - length)
    if magic != MAGIC or start < 0:
        raise InvalidIndex("its end is missing")
    file.seek(start)
    if zlib.crc32(file.read(length)) != checksum:
        raise InvalidIndex("its header is damaged")
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


def digest(vectors: NDArray[np.float16], n_rows: int) -> str:
    """Return a hash of rows spread over the first n_rows."""
    some = np.unique(np.linspace(0, max(n_rows - 1, 0), DIGEST_ROWS).astype(np.int64))
    return hashlib.sha256(np.ascontiguousarray(vectors[some[:n_rows]], "<f2").tobytes()).hexdigest()
