"""A file's state, as far as it is known without reading the file."""

from dataclasses import dataclass

# What the catalog can hold: SQLite's integers have 64 bits, so a time in nanoseconds ends in April 2262 and begins in
# September 1677. File systems (XFS, ZFS, tmpfs) and archives go farther.
MOST, LEAST = 2**63 - 1, -(2**63)
# Times beyond are kept within the last 18 minutes of that: two of them that differ stay different, unless they are
# multiples of 2**40 ns apart, which whole seconds are after 68 years.
BEYOND = 2**40


@dataclass(frozen=True)
class FileStamp:
    """What tells a file's state without reading it. path: as the file system spells it (`os.fsencode`), absolute.

    A member of an archive has the archive's size and time. mtime_ns: as `storable_time` puts it, whoever made the
    stamp, so that stamps can be compared with recorded ones.
    """

    path: bytes
    size: int
    mtime_ns: int

    def __post_init__(self) -> None:
        if not LEAST <= self.mtime_ns <= MOST:
            object.__setattr__(self, "mtime_ns", storable_time(self.mtime_ns))
        if not LEAST <= self.size <= MOST:
            object.__setattr__(self, "size", MOST if self.size > 0 else LEAST)


def storable_time(mtime_ns: int) -> int:
    """Return a time that the catalog can hold: itself, or for one that is too far off one near the end of all times."""
    if mtime_ns > MOST:
        return MOST - mtime_ns % BEYOND
    if mtime_ns < LEAST:
        return LEAST + mtime_ns % BEYOND
    return mtime_ns
