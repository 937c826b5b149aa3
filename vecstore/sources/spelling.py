"""Names typed in another Unicode normalisation than the file's: `é` as one character (NFC) or as two (NFD).

macOS and its archives have names in NFD, keyboards type NFC; old files, and tars, have names in other encodings. A path
is changed to that of the file that is there, if exactly one is, and never the other way round: what is stored are the
file system's bytes.
"""

import functools
import os
import unicodedata
from collections.abc import Callable, Iterable

from vecstore.sources import archives
from vecstore.sources.decoding import Unreadable
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.name_encoding import encoding_of
from vecstore.sources.paths import is_address, is_archive_name
from vecstore.sources.text_files import is_utf8


def same_name(path: bytes) -> str:
    """Return what paths that differ in normalisation or encoding alone have in common."""
    return unicodedata.normalize("NFC", "/".join(map(_text, path.split(b"/"))))


def _text(name: bytes) -> str:
    encoding = None if is_utf8(name) else encoding_of([name], None)
    return os.fsdecode(name) if encoding is None else name.decode(encoding)


def as_stored(path: bytes, paths_under: Callable[[bytes], Iterable[bytes]]) -> bytes:
    """Return the path as the file system, or else the catalog, spells it; itself if neither has exactly one.

    paths_under: yields the known paths at or below one, as `Catalog.paths.under` does.
    """
    found = as_on_disk(path)
    if path.isascii() or found != path or os.path.lexists(path):
        return found
    parts = path.split(b"/")
    n_ascii = next((n for n, part in enumerate(parts) if not part.isascii()), len(parts))
    spellings: set[bytes] = set()
    for known in paths_under(b"/".join(parts[:n_ascii]) or b"/"):
        spelled = b"/".join(known.split(b"/")[: len(parts)])
        spellings.update(s for s in (spelled, spelled.removesuffix(b"!")) if same_name(s) == same_name(path))
    return spellings.pop() if len(spellings) == 1 else path


def as_on_disk(path: bytes) -> bytes:
    """Return the path as the file system, or an archive, spells it; itself if it is there, or not exactly one is."""
    if path.isascii() or is_address(path) or os.path.lexists(path):
        return path
    here, parts = b"/", path.strip(b"/").split(b"/")
    for number, part in enumerate(parts):
        if os.path.lexists(os.path.join(here, part)):
            here = os.path.join(here, part)
            continue
        found = _one_like(here, part)
        if found is None and part.endswith(b"!") and (found := _one_like(here, part[:-1])) is not None:
            inner = b"/".join(parts[number + 1 :])
            return _member_like(os.path.join(here, found), inner) or path
        if found is None:
            return path
        here = os.path.join(here, found)
    return here


def _one_like(folder: bytes, name: bytes) -> bytes | None:
    try:
        alike = _names_in(folder, os.stat(folder).st_mtime_ns).get(same_name(name), frozenset())
    except OSError:
        return None
    return name if name in alike else next(iter(alike)) if len(alike) == 1 else None


@functools.lru_cache(maxsize=8)  # a list may name many files of a folder that are gone
def _names_in(folder: bytes, mtime_ns: int) -> dict[str, frozenset[bytes]]:
    return _by_name(os.listdir(folder))


def _member_like(archive: bytes, inner: bytes) -> bytes | None:
    if not is_archive_name(archive) or not os.path.isfile(archive):
        return None
    state = os.stat(archive)
    paths = _spellings(FileStamp(archive, state.st_size, state.st_mtime_ns))
    path = archive + b"!/" + inner
    alike = paths.get(same_name(path), frozenset())
    return path if path in alike else next(iter(alike)) if len(alike) == 1 else None


@functools.lru_cache(maxsize=2)  # a list may name all members of an archive
def _spellings(archive: FileStamp) -> dict[str, frozenset[bytes]]:
    try:
        names = archives.names(archive)
    except Unreadable:
        return {}
    return _by_name(names)


def _by_name(names: Iterable[bytes]) -> dict[str, frozenset[bytes]]:
    found: dict[str, frozenset[bytes]] = {}
    for name in names:
        found[same_name(name)] = found.get(same_name(name), frozenset()) | {name}
    return found
