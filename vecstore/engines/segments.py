"""Segments: a store's rows where many machines can read them, on a shared disk or in object storage.

A segment is an object that is never changed: `FIRST-BEYOND-CRC.f16` holds the little-endian float16 rows FIRST to
BEYOND - 1 of `vectors.f16`, and CRC is the CRC-32 of its bytes. Object storage cannot append, so a last segment that is
not full is written again with what has come since, and the shorter one deleted then. `store.json` says whose rows they
are. This module knows no SQL, no pictures and no Ray; `pyarrow` gives it file systems.
"""

import json
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vecstore.errors import BadInput, StoreDamaged, VecstoreError
from vecstore.storage.durable_files import replacing
from vecstore.storage.vector_file import ROW_DTYPE, Float16, VectorFile

SEGMENT_BYTES = 1 << 26
OWNER = "store.json"
_NAME = re.compile(r"(\d{12})-(\d{12})-([0-9a-f]{8})\.f16")


class RowSource(Protocol):
    """Where rows can be read, on any machine: it is sent to workers."""

    def read(self, first: int, beyond: int) -> Float16:
        """Return rows first to beyond - 1, (n, dim) float16."""
        ...


@dataclass(frozen=True)
class RowFile:
    """The rows in `vectors.f16` itself, for workers that see the store's folder. Pages are mapped, not read."""

    path: Path
    dim: int

    def read(self, first: int, beyond: int) -> Float16:
        return VectorFile(self.path, self.dim).read(beyond)[first:]


@dataclass(frozen=True)
class _Segment:
    first: int
    beyond: int
    name: str

    @property
    def crc(self) -> int:
        return int(self.name[26:34], 16)


class Segments:
    """The segments of one store below a path or URI, such as `/mnt/shared/rows` or `s3://bucket/rows`."""

    def __init__(self, uri: str, dim: int, owner: str) -> None:
        """owner: what tells this store's rows from another's; it stands in `store.json` too."""
        self.uri = uri
        self.dim = dim
        self.owner = owner
        self._chain: list[_Segment] | None = None
        self._opened: tuple[Any, str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_chain": None, "_opened": None}

    def count(self) -> int:
        """Return how many rows there are without a gap from row 0."""
        chain = self._listed()
        return chain[-1].beyond if chain else 0

    def publish(self, vectors: Float16) -> int:
        """Write the rows that are not there yet, and return how many these were. vectors: all rows, may be mapped.

        To be called by the holder of the store's lock. Raises BadInput if the place holds another store's rows.
        """
        self._claim()
        chain = self._listed(anew=True)
        before = self.count()
        if before > len(vectors):
            raise StoreDamaged(
                f"{self.uri} holds {before} rows, and the store {len(vectors)}; name an empty place for the segments"
            )
        if before == len(vectors):
            return 0
        most = max(SEGMENT_BYTES // (self.dim * ROW_DTYPE.itemsize), 1)
        unfinished = chain[-1] if chain and chain[-1].beyond - chain[-1].first < most else None
        for first in range(unfinished.first if unfinished else before, len(vectors), most):
            self._write(first, vectors[first : first + most])
        if unfinished:
            self._files.delete_file(self._place(unfinished.name))
        self._chain = None
        return len(vectors) - before

    def read(self, first: int, beyond: int) -> Float16:
        """Return rows first to beyond - 1, (n, dim) float16. Raises StoreDamaged if they are not there or damaged."""
        try:
            return self._read(first, beyond)
        except FileNotFoundError:  # the last one has just been written again, under another name
            return self._read(first, beyond, anew=True)

    def _read(self, first: int, beyond: int, anew: bool = False) -> Float16:
        chain = self._listed(anew or beyond > self.count())
        parts = [
            self._rows_of(segment)[max(first - segment.first, 0) : beyond - segment.first]
            for segment in chain
            if segment.first < beyond and segment.beyond > first
        ]
        rows = np.concatenate(parts) if parts else np.empty((0, self.dim), ROW_DTYPE)
        if len(rows) != beyond - first:
            raise StoreDamaged(
                f"{self.uri} has no rows {first} to {beyond - 1}; let the machine that has the store write them again"
            )
        return rows

    def _rows_of(self, segment: _Segment) -> Float16:
        with self._files.open_input_file(self._place(segment.name)) as file:
            content = file.read()
        if len(content) != (segment.beyond - segment.first) * self.dim * ROW_DTYPE.itemsize or (
            zlib.crc32(content) != segment.crc
        ):
            raise StoreDamaged(
                f"the segment {self._place(segment.name)} is damaged; delete it, and the next run writes it again"
            )
        return np.frombuffer(content, ROW_DTYPE).reshape(-1, self.dim)

    def _write(self, first: int, rows: Float16) -> None:
        content = np.ascontiguousarray(rows, ROW_DTYPE).tobytes()
        name = f"{first:012d}-{first + len(rows):012d}-{zlib.crc32(content):08x}.f16"
        self._put(name, content)

    def _put(self, name: str, content: bytes) -> None:
        """Write an object whole or not at all: in object storage by itself, on a disk beside and renamed."""
        if self._files.type_name != "local":
            with self._files.open_output_stream(self._place(name)) as stream:
                stream.write(content)
            return
        with replacing(Path(self._place(name))) as file:
            file.write(content)

    def _claim(self) -> None:
        """Make the place this store's, or raise BadInput if it is another's."""
        from pyarrow.fs import FileType

        try:
            if self._files.get_file_info(self._place(OWNER)).type == FileType.NotFound:
                self._files.create_dir(self._base, recursive=True)
                self._put(OWNER, json.dumps({"format": 1, "owner": self.owner}).encode())
            with self._files.open_input_file(self._place(OWNER)) as file:
                owner = json.loads(file.read())["owner"]
        except OSError as error:
            raise VecstoreError(f"segments cannot be written to {self.uri}: {_reason(error)}") from error
        if owner != self.owner:
            raise BadInput(f"{self.uri} holds the rows of another store; name another place with --segments")

    def _listed(self, anew: bool = False) -> list[_Segment]:
        """Return the segments that follow each other without a gap from row 0; of two that begin alike, the longer."""
        if self._chain is None or anew:
            self._chain = self._list()
        return self._chain

    def _list(self) -> list[_Segment]:
        from pyarrow.fs import FileSelector

        names = [info.base_name for info in self._files.get_file_info(FileSelector(self._base, allow_not_found=True))]
        matches = [match for name in names if (match := _NAME.fullmatch(name))]
        longest: dict[int, _Segment] = {}
        for segment in sorted((_Segment(int(m[1]), int(m[2]), m[0]) for m in matches), key=lambda s: s.beyond):
            longest[segment.first] = segment
        chain: list[_Segment] = []
        while (following := longest.get(chain[-1].beyond if chain else 0)) is not None:
            chain.append(following)
        return chain

    @property
    def _files(self) -> Any:
        return self._place_in()[0]

    @property
    def _base(self) -> str:
        return self._place_in()[1]

    def _place_in(self) -> tuple[Any, str]:
        """Return the file system of the URI, and the path in it; connected once on each machine."""
        if self._opened is None:
            self._opened = _open_place(self.uri)
        return self._opened

    def _place(self, name: str) -> str:
        return f"{self._base}/{name}"


def _open_place(uri: str) -> tuple[Any, str]:
    try:
        from pyarrow.fs import FileSystem
    except ImportError as error:
        raise BadInput("segments need pyarrow; `pip install 'vecstore[parquet]'` brings it") from error
    try:
        files, base = FileSystem.from_uri(uri if "://" in uri else os.path.abspath(uri))
    except (ValueError, OSError) as error:
        raise BadInput(
            f"segments cannot be kept at {uri} ({_reason(error)}); give a path, or s3://BUCKET/PREFIX"
        ) from error
    return files, base


def _reason(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
