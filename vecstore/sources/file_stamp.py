"""A file's state, as it is told without reading the file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FileStamp:
    """What tells a file's state without reading it. path: as the file system spells it (`os.fsencode`), absolute.

    A member of an archive has the archive's size and time.
    """

    path: bytes
    size: int
    mtime_ns: int
