"""What is there to add: files under the given paths, with what tells their state without reading them.

Files come out sorted folder by folder, so that the same folder gives the same rows every time, and members in the order
of their archive; one that is as it was when it was looked through is not opened, the catalog has its members. Links to
files are followed, links to folders are not (they can lead in circles), except where one is given as a path itself.
This module loads nothing heavy and knows no store.
"""

import functools
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pathspec import GitIgnoreSpec

from vecstore.errors import BadInput, NotFound
from vecstore.sources import archives
from vecstore.sources.archives import Member
from vecstore.sources.decoding import Unreadable, has_picture_suffix, looks_like_picture
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import AnyPath, absolute, is_archive_name, on_disk, plain_pattern, shown
from vecstore.storage.catalog.catalog import Catalog

# Told of each archive that was looked through: its stamp, what was asked of it, how many paths came of it, whether it
# failed. As `Catalog.archives.record` is.
RecordArchive: TypeAlias = Callable[[FileStamp, str, int, bool], None]

# The size of a folder that cannot be listed. Reading it fails with the reason, which is then on record.
UNLISTED = -1


@dataclass(frozen=True)
class Patterns:
    """Which files of a folder to take, by patterns as in a .gitignore, read from the folder that is scanned.

    To patterns an archive is a folder, called as it is: `photos.zip/inner/a.jpg`.

    only: files that match one of these; all where there are none. exclude: no files or folders that match one of
    these. A file that is named itself is taken whatever the patterns.
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @functools.cached_property
    def _specs(self) -> tuple[GitIgnoreSpec, GitIgnoreSpec]:
        try:
            only, exclude = ([*map(plain_pattern, patterns)] for patterns in (self.only, self.exclude))
            return GitIgnoreSpec.from_lines(only), GitIgnoreSpec.from_lines(exclude)
        except ValueError as error:
            raise BadInput(f"a pattern is not of the kind that .gitignore has: {error}") from error

    def take_file(self, relative: bytes) -> bool:
        if not self.only and not self.exclude:
            return True
        only, exclude = self._specs
        path = os.fsdecode(relative)
        return (not self.only or only.match_file(path)) and not exclude.match_file(path)

    def enter_folder(self, relative: bytes) -> bool:
        return not self.exclude or not self._specs[1].match_file(os.fsdecode(relative) + "/")


ALL_FILES = Patterns()


def roots_of(paths: Iterable[AnyPath], listed: Iterable[AnyPath] = ()) -> list[bytes]:
    """Return the paths to scan, absolute and sorted, less those that a scan of another reaches.

    Raises NotFound if one of `paths` is missing; one of `listed` may be, and is found unreadable when it is tried.
    """
    named = {absolute(path) for path in paths}
    for path in without_members(path for path in named if not os.path.lexists(path)):
        raise NotFound(f"no file or folder at {shown(path)}; nothing was done")
    roots: list[bytes] = []
    entered: set[bytes] = set()
    for path in sorted({*named, *map(absolute, listed)}):
        file = on_disk(path)
        if (file != path and file in entered) or any(up in entered and _reaches(up, file) for up in _parents(file)):
            continue
        roots.append(path)
        if os.path.isdir(path) or _is_archive(path):
            entered.add(path)
    return roots


def without_members(paths: Iterable[bytes], catalog: Catalog | None = None) -> list[bytes]:
    """Return, sorted, those of the paths that no member of an archive has.

    catalog: saves opening the archives that are as they were. One that cannot be read through keeps its members.
    """
    found: set[bytes] = set()
    for file, group in itertools.groupby(sorted(paths), key=on_disk):
        members = set(group)
        if file not in members:
            archive = _stamp(file)
            members.difference_update(catalog.archives.members(archive) if catalog else ())
            try:
                members.difference_update(archives.names(archive) if members else ())
            except Unreadable:
                continue
        found |= members
    return sorted(found)


def read_list(text: bytes) -> list[bytes]:
    """Return the paths of a list: separated by NULs if there are any in it (`find -print0`), else one a line."""
    if b"\0" in text:
        return [path for path in text.split(b"\0") if path]
    return [line for line in text.splitlines() if line]


def require_pictures(
    roots: Iterable[bytes],
    named: Iterable[bytes] = (),
    patterns: Patterns = ALL_FILES,
    catalog: Catalog | None = None,
) -> None:
    """Raise NotFound unless there is at least one file to be tried."""
    roots = list(roots)
    if not roots:
        raise NotFound("the list is empty; name folders or files, or put some in the list")
    if next(pictures(roots, named, patterns, catalog=catalog), None) is None:
        places = ", ".join(shown(root) for root in roots[:5]) + (", ..." if len(roots) > 5 else "")
        which = "that the patterns leave " if patterns != ALL_FILES else ""
        raise NotFound(f"no pictures {which}under {places}; name a folder that holds some, or the files themselves")


def pictures(
    roots: Iterable[bytes],
    named: Iterable[bytes] = (),
    patterns: Patterns = ALL_FILES,
    skip: Path | None = None,
    catalog: Catalog | None = None,
    record: RecordArchive | None = None,
) -> Iterator[FileStamp]:
    """Yield the files of a scan that are to be tried: those named, and those to be taken for pictures.

    A folder that cannot be listed comes too, and an archive that cannot be opened or not be read to its end: trying
    it puts the reason on record. A Member is to be read before the next file is asked for.
    """
    roots = list(roots)
    named = {*named, *roots}
    for file in scan(roots, skip, patterns, named, catalog, record):
        if isinstance(file, Member) or file.path in named or file.size == UNLISTED or looks_like_picture(file.path):
            yield file


def scan(
    roots: Iterable[bytes],
    skip: Path | None = None,
    patterns: Patterns = ALL_FILES,
    named: Set[bytes] = frozenset(),
    catalog: Catalog | None = None,
    record: RecordArchive | None = None,
) -> Iterator[FileStamp]:
    """Yield every file at or under the roots, and folders that cannot be listed with the size UNLISTED.

    Of an archive come the members that are to be tried. skip: a folder to leave out, the store itself. named: files to
    yield whatever the patterns. catalog: what is known of archives.
    """
    scanning = _Scan(absolute(skip) if skip is not None else None, patterns, named, catalog, record)
    for file, group in itertools.groupby(roots, key=on_disk):
        if os.path.isdir(file):
            yield from scanning.folder(file)
        elif _is_archive(file):
            inside = frozenset(root for root in group if root != file)
            yield from scanning.archive(_stamp(file), b"", inside or frozenset([file + b"!"]))
        else:
            yield _stamp(file)


def count_pictures(roots: Iterable[bytes]) -> int:
    """Return about how many pictures a scan will yield: the files named, and those below with a picture's suffix."""
    roots = list(roots)
    below = (os.path.join(folder, name) for root in roots for folder, _, names in os.walk(root) for name in names)
    n_below = sum(archives.count_pictures(p) if is_archive_name(p) else has_picture_suffix(p) for p in below)
    return n_below + sum(archives.count_pictures(r) if _is_archive(r) else os.path.isfile(on_disk(r)) for r in roots)


@dataclass(frozen=True)
class _Scan:
    skipped: bytes | None
    patterns: Patterns
    named: Set[bytes]
    catalog: Catalog | None
    record: RecordArchive | None

    def folder(self, root: bytes) -> Iterator[FileStamp]:
        # A stack of our own: folders can be nested deeper than Python's calls.
        waiting: list[tuple[bytes, bytes, bool]] = [(root, b"", True)]
        while waiting:
            path, relative, is_folder = waiting.pop()
            if not is_folder:
                yield from self.file(path, relative)
            elif path != self.skipped:
                try:
                    with os.scandir(path) as entries:
                        found = sorted(entries, key=lambda entry: entry.name, reverse=True)
                except OSError:
                    yield FileStamp(path, UNLISTED, 0)
                    continue
                for entry in found:
                    below = os.path.join(relative, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        if self.patterns.enter_folder(below):
                            waiting.append((entry.path, below, True))
                    elif not os.path.isdir(entry.path):
                        waiting.append((entry.path, below, False))

    def file(self, path: bytes, relative: bytes) -> Iterator[FileStamp]:
        """Yield a file of a folder, or what is in it, if it is named or the patterns leave it."""
        if _is_archive(path):
            if self.patterns.enter_folder(relative) or self._is_named(path):
                yield from self.archive(_stamp(path), relative, frozenset([path + b"!"]))
        elif path in self.named or self.patterns.take_file(relative):
            yield _stamp(path)

    def archive(self, archive: FileStamp, relative: bytes, inside: frozenset[bytes]) -> Iterator[FileStamp]:
        """Yield an archive's members to be tried, or those on record if it is as it was; itself if it is broken.

        inside: what of it is scanned, members or folders of them; all of it is `archive.zip!`.
        """
        is_whole = archive.path + b"!" in inside
        asked = "" if self.patterns == ALL_FILES else repr((self.patterns, relative))
        if self.catalog is not None and is_whole:
            on_record = self.catalog.archives.members(archive)
            known = [path for path in on_record if path == archive.path or self._takes(path, relative, inside)]
            if len(known) == self.catalog.archives.count_of(archive, asked):
                yield from (Member(path, archive.size, archive.mtime_ns) for path in known)
                return
        n_found, failed, met = 0, False, {archive.path + b"!"}
        try:
            for member in archives.members(archive):
                met.update(inside.intersection((member.path, *_parents(member.path))))
                if self._takes(member.path, relative, inside) and self._tries(member):
                    n_found += 1
                    yield member
            yield from (FileStamp(path, 0, 0) for path in sorted(inside - met))  # listed, and not there
        except Unreadable as error:
            n_found, failed = n_found + 1, True
            is_picture = looks_like_picture(archive.path)  # that somebody called .zip
            yield archive if is_picture else archives.broken(archive, str(error))
        if self.record is not None and is_whole:
            self.record(archive, asked, n_found, failed)

    def _takes(self, path: bytes, relative: bytes, inside: frozenset[bytes]) -> bool:
        """Say whether a member is asked for: by its name, or below one of `inside` and not left out by the patterns."""
        if path in self.named:
            return True
        root = next((up for up in _parents(path) if up in inside), None)
        return root is not None and self.patterns.take_file(os.path.join(relative, path[len(root) + 1 :]))

    def _tries(self, member: Member) -> bool:
        return (member.path in self.named or member.looks_like_picture()) and not os.path.lexists(member.path)

    def _is_named(self, archive: bytes) -> bool:
        """Say whether an archive or a member of it is named, so that no pattern keeps it closed."""
        return archive in self.named or any(path.startswith(archive + b"!/") for path in self.named)


def _is_archive(path: bytes) -> bool:
    return is_archive_name(path) and os.path.isfile(path)


def _stamp(path: bytes) -> FileStamp:
    try:
        state = os.stat(path)
    except OSError:  # a broken link, or gone since it was listed
        return FileStamp(path, 0, 0)
    return FileStamp(path, state.st_size if stat.S_ISREG(state.st_mode) else 0, state.st_mtime_ns)


def _parents(path: bytes) -> Iterator[bytes]:
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        yield path


def _reaches(root: bytes, path: bytes) -> bool:
    """Say whether a scan of `root` comes to `path`: it lies below, and no link to a folder is on the way."""
    if not path.startswith(root.rstrip(b"/") + b"/"):
        return False
    while path != root:
        if os.path.islink(path) and os.path.isdir(path):
            return False
        path = os.path.dirname(path)
    return True
