"""What an index file is of: a header behind the FAISS index, that can be read and checked without FAISS.

The file is the FAISS index, the header as JSON, and a footer: the header's length, its CRC-32, and a mark.
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

# rabitq: one bit a dimension (https://arxiv.org/abs/2405.12497). pq: product quantization, a byte for 16 dimensions,
# for those who have less memory. docs/design.md, "Search", compares.
KINDS = ("rabitq", "pq")
PQ_DIMS_A_BYTE = 16
# Vectors that are compared one by one rather than by an index: some 10 ms of one core, from memory.
EXACT_BYTES = 128 << 20

# Two lists for every sqrt(rows) rows: comparing a query with the centroids then costs about as much as a few lists.
FEWEST_LISTS, MOST_LISTS = 16, 8_192

FORMAT = 1
FOOTER, MAGIC = struct.Struct("<II8s"), b"vecstore"
DIGEST_ROWS = 16


class InvalidIndex(Exception):
    """An index file that is damaged, of another format, or of other rows; the message says which."""


@dataclass(frozen=True)
class IndexHeader:
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
    format: int = FORMAT

    @property
    def candidates_now(self) -> int:
        """`candidates`, and as many more as rows have come since: so many more get before a true neighbour."""
        return math.ceil(self.candidates * max(self.rows / self.measured, 1)) if self.measured else self.candidates


def index_bytes(kind: str, n_rows: int, dim: int) -> int:
    """Return the most bytes that an index of this kind takes for so many rows: less where fewer dimensions suffice."""
    # RaBitQ keeps two float32 beside its bits; every row has an int64 id.
    code = (-(-dim // 8) + 8 if kind == "rabitq" else pq_parts(dim)) + 8
    codebooks = 256 if kind == "pq" else 0
    return n_rows * code + (number_of_lists(n_rows) + codebooks + dim) * dim * 4


def pq_parts(dim: int) -> int:
    """Return the bytes of a product quantizer's code: the most that divide the dimensions, one for 16 at the most."""
    return max(parts for parts in range(1, max(dim // PQ_DIMS_A_BYTE, 1) + 1) if dim % parts == 0)


def number_of_lists(n_rows: int) -> int:
    """Return the power of two nearest to 2 sqrt(n_rows), within bounds."""
    return min(max(1 << round(math.log2(max(4 * n_rows, 1)) / 2), FEWEST_LISTS), MOST_LISTS)


def read_header(path: Path) -> IndexHeader | None:
    """Return what an index file says it is of, None if there is no file, or none that says it."""
    with suppress(OSError, InvalidIndex), open(path, "rb") as file:
        return load_header(file)
    return None


def checked_header(file: BinaryIO, vectors: NDArray[np.float16], whole: bool = False) -> IndexHeader:
    """Return the header of an index file that is of these rows, or of the first of them, and undamaged.

    vectors: (n, dim) float16. whole: read the lists too, not only what is before them. Raises InvalidIndex.
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
    """Write the header where the file stands: behind the FAISS index."""
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
    """Return where the header begins. Raises InvalidIndex if there is none, or a damaged one."""
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
