"""Finds the files to add under the given paths, with their size and time, without reading them.

Files are sorted folder by folder, so that the same folder always gives the same rows; members come in the order of
their archive. An archive that is unchanged since the last scan is not opened: its members are on record. Links to files
are followed, links to folders are not (they can form cycles), unless the link itself is named. A named path is always
found, even in a folder that is left out. This module imports nothing heavy and knows no store.
"""

import functools
import hashlib
import itertools
import os
import stat
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeAlias

from vecstore.errors import BadInput, NotFound
from vecstore.sources import archives
from vecstore.sources.archives import Member
from vecstore.sources.decoding import Unreadable, has_picture_suffix, looks_like_picture
from vecstore.sources.exclusions import IGNORE_FILE, IgnoreFile, LeftOut, is_left_out_by_default, is_store
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.path_pattern import PatternList
from vecstore.sources.paths import AnyPath, absolute, cache_dir, is_address, is_archive_name, on_disk, shown
from vecstore.sources.spelling import as_on_disk

# Called for each archive that was scanned, with its stamp, the key of the request, the number of paths found, and
# whether it failed; `Catalog.archives.record` is one.
RecordArchive: TypeAlias = Callable[[FileStamp, str, int, bool], None]

# The size of a folder that cannot be listed. Reading it fails with the reason, which is then on record.
UNLISTED = -1


class KnownArchives(Protocol):
    """Records of scanned archives, so that unchanged ones need not be opened again."""

    def members(self, archive: FileStamp) -> list[bytes]:
        """Return the paths on record in an archive of this state, and its own if that is, by path."""

    def count_of(self, archive: FileStamp, asked: str) -> int | None:
        """Return how many paths came of an archive in this state, None if it was not looked through for that."""


@dataclass(frozen=True)
class Patterns:
    """Which files of a folder to take, by patterns as in a .gitignore, read from the folder that is scanned.

    To patterns an archive is a folder, called as it is: `photos.zip/inner/a.jpg`.

    only: files that match one of these; all where there are none. exclude: no files or folders that match one of
    these. defaults: leave out what belongs to no collection (`exclusions`). A file that is named itself is taken
    whatever the patterns.
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    defaults: bool = True

    @functools.cached_property
    def _lists(self) -> tuple[PatternList, PatternList, PatternList]:
        try:
            return PatternList(self.only), PatternList(self.exclude), PatternList(self.only, ignore_case=True)
        except ValueError as error:
            raise BadInput(f"a pattern does not follow the rules of .gitignore: {error}; correct it") from error

    @property
    def choose(self) -> bool:
        """Whether there are patterns of the user's own."""
        return bool(self.only or self.exclude)

    def take_file(self, relative: bytes) -> bool:
        if not self.choose:
            return True
        only, exclude, _ = self._lists
        path = os.fsdecode(relative)
        return (not self.only or only.match(path)) and not exclude.match(path)

    def differ_by_case(self, relative: bytes) -> bool:
        """Say whether a file that is not taken would be if upper and lower case were the same."""
        _, exclude, any_case = self._lists
        path = os.fsdecode(relative)
        return bool(self.only) and any_case.match(path) and not exclude.match(path)

    def enter_folder(self, relative: bytes) -> bool:
        return not self.exclude or not self._lists[1].match(os.fsdecode(relative) + "/")


ALL_FILES = Patterns()


def roots_of(paths: Iterable[AnyPath], listed: Iterable[AnyPath] = ()) -> list[bytes]:
    """Return the paths to scan, absolute and sorted, less those that lie below another of them.

    Raises NotFound if one of `paths` is missing; one of `listed` may be, and is found unreadable when it is tried.
    """
    named = {as_on_disk(absolute(path)) for path in paths}
    for path in without_members(path for path in named if not os.path.lexists(path)):
        elsewhere = f"; `vecstore import {shown(path)}` adds the pictures at an address" if is_address(path) else ""
        raise NotFound(f"no file or folder at {shown(path)}; nothing was done{elsewhere}")
    roots: list[bytes] = []
    entered: set[bytes] = set()
    for path in sorted({*named, *(as_on_disk(absolute(path)) for path in listed)}):
        file = on_disk(path)
        if (file != path and file in entered) or any(up in entered and _reaches(up, file) for up in _parents(file)):
            continue
        roots.append(path)
        if os.path.isdir(path) or _is_archive(path):
            entered.add(path)
    return roots


def without_members(paths: Iterable[bytes], known: KnownArchives | None = None) -> list[bytes]:
    """Return the paths that are not members of an existing archive, sorted.

    Parameters
    ----------
    paths: of files, or of members of archives.
    known: records of archives, so that unchanged ones are not opened. An unreadable archive keeps its members.
    """
    found: set[bytes] = set()
    for file, group in itertools.groupby(sorted(paths), key=on_disk):
        members = set(group)
        if file not in members:
            archive = _stamp(file)
            members.difference_update(known.members(archive) if known else ())
            try:
                members.difference_update(archives.names(archive) if members else ())
            except Unreadable:
                continue
        found |= members
    return sorted(found)


def require_pictures(
    roots: Iterable[bytes],
    named: Iterable[bytes] = (),
    patterns: Patterns = ALL_FILES,
    known: KnownArchives | None = None,
) -> None:
    """Raise NotFound unless there is at least one file to try; the message says what was left out, and why.

    The parameters are those of `scan`.
    """
    roots, left_out = list(roots), LeftOut()
    if not roots:
        raise NotFound("the list of paths is empty; name folders or files, or add some to the list")
    if next(pictures(roots, named, patterns, known=known, left_out=left_out), None) is None:
        places = ", ".join(shown(root) for root in roots[:5]) + (", ..." if len(roots) > 5 else "")
        which = "that the patterns leave " if patterns.choose else ""
        advice = (
            "; ".join([*left_out.complaints, *left_out.counted()])
            or "name a folder that holds some, or the files themselves"
        )
        raise NotFound(f"no pictures {which}under {places}; {advice}")


def pictures(
    roots: Iterable[bytes],
    named: Iterable[bytes] = (),
    patterns: Patterns = ALL_FILES,
    skip: Path | None = None,
    known: KnownArchives | None = None,
    record: RecordArchive | None = None,
    left_out: LeftOut | None = None,
    tops: Iterable[bytes] = (),
) -> Iterator[FileStamp]:
    """Yield the files of a scan to try: the named ones, and those that look like pictures.

    Unreadable folders and archives are yielded too, because trying them records the reason as a failure. Read a
    `Member` before asking for the next file. The parameters are those of `scan`.
    """
    roots = list(roots)
    tops = list(tops)
    named = {*named, *roots} if not tops else {*named}  # what changed in a folder was not named
    for file in scan(roots, skip, patterns, named, known, record, left_out, tops):
        if isinstance(file, Member) or file.path in named or file.size == UNLISTED or looks_like_picture(file.path):
            yield file


def scan(
    roots: Iterable[bytes],
    skip: Path | None = None,
    patterns: Patterns = ALL_FILES,
    named: Set[bytes] = frozenset(),
    known: KnownArchives | None = None,
    record: RecordArchive | None = None,
    left_out: LeftOut | None = None,
    tops: Iterable[bytes] = (),
) -> Iterator[FileStamp]:
    """Yield every file at or under the roots, and for each archive its members to try.

    A folder that cannot be listed is yielded with the size UNLISTED.

    Parameters
    ----------
    roots: from `roots_of`.
    skip: a folder to leave out: the store itself. The cache folder and other stores are always left out.
    patterns: which files and folders to take.
    named: files and folders to take even if a pattern leaves them out; missing ones are yielded too.
    known: records of archives, so that unchanged ones are not opened.
    record: called for each archive that was scanned completely.
    left_out: counts what is left out.
    tops: the folders that patterns are relative to, for roots that are parts of one.
    """
    scanning = _Scan(_own_folders(skip), patterns, named, known, record, left_out or LeftOut())
    tops = list(tops)
    for file, group in itertools.groupby(roots, key=on_disk):
        if os.path.isdir(file):
            yield from scanning.root(file, next((top for top in tops if file == top or top in _parents(file)), file))
        elif _is_archive(file):
            inside = frozenset(root for root in group if root != file)
            yield from scanning.archive(_stamp(file), b"", (), inside or frozenset([file + b"!"]))
        else:
            yield _stamp(file)


def is_passed_over(path: bytes, root: bytes, patterns: Patterns, skip: Path) -> bool:
    """Return whether a scan ignores a path: it is in the store, the cache or a folder that is left out by default.

    `.vecstoreignore` files are not consulted: an unnecessary scan does no harm.
    """
    real = os.path.realpath(path)
    if any(real == own or real.startswith(own + b"/") for own in _own_folders(skip)):
        return True
    above = itertools.takewhile(lambda up: up != root, _parents(path))
    return patterns.defaults and any(is_left_out_by_default(up, True) for up in above)


def count_pictures(roots: Iterable[bytes], patterns: Patterns = ALL_FILES) -> int:
    """Return about how many pictures a scan will yield: the files named, and those below with a picture's suffix."""
    roots, n_below = list(roots), 0
    for root in roots:
        for folder, folders, names in os.walk(root):
            if patterns.defaults:
                folders[:] = [name for name in folders if not is_left_out_by_default(b"/" + name, True)]
            below = [os.path.join(folder, name) for name in names]
            n_below += sum(archives.count_pictures(p) if is_archive_name(p) else has_picture_suffix(p) for p in below)
    return n_below + sum(archives.count_pictures(r) if _is_archive(r) else os.path.isfile(on_disk(r)) for r in roots)


# The `.vecstoreignore` files that hold in a folder, those of the folders above first.
_Ignores: TypeAlias = tuple[IgnoreFile, ...]


@dataclass(frozen=True)
class _Entry:
    """A folder or file that is waiting to be looked at. relative: to the folder that patterns are read from."""

    path: bytes
    relative: bytes
    is_folder: bool
    ignores: _Ignores


@dataclass(frozen=True)
class _Scan:
    """One scan. skipped: folders never to be entered, links resolved. met: what of `named` has been come by."""

    skipped: Set[bytes]
    patterns: Patterns
    named: Set[bytes]
    known: KnownArchives | None
    record: RecordArchive | None
    left_out: LeftOut
    met: set[bytes] = field(default_factory=set)

    @functools.cached_property
    def _sorted_names(self) -> list[bytes]:
        return sorted(self.named)

    def _meet(self, path: bytes) -> None:
        if path in self.named:
            self.met.add(path)

    def _not_met(self, root: bytes) -> Iterator[bytes]:
        """Yield what was named below a root and not come by, while it is not: one may be below another."""
        names, below = self._sorted_names, root.rstrip(b"/")
        for path in names[bisect_left(names, below + b"/") : bisect_left(names, below + b"0")]:
            if path not in self.met and _reaches(root, path):
                yield path

    def root(self, root: bytes, top: bytes) -> Iterator[FileStamp]:
        """Yield what is under a root, and then what was named below it and not come by. top: see `scan`."""
        ignores: _Ignores = ()
        for folder in reversed([up for up in (root, *_parents(root)) if up == top or top in _parents(up)]):
            if folder != top and not self.takes(folder, True, ignores):
                return
            if folder != root:
                ignores = self.ignores_in(folder, os.path.exists(os.path.join(folder, IGNORE_FILE)), ignores)
        yield from self.folder(_Entry(root, _relative(root, top), True, ignores))
        for path in self._not_met(root):
            file = on_disk(path)
            if os.path.isdir(path):
                yield from self.folder(_Entry(path, _relative(path, top), True, ignores))
            elif file != path or _is_archive(path):
                inside = frozenset([path if file != path else path + b"!"])
                yield from self.archive(_stamp(file), _relative(file, top), ignores, inside)
            else:
                yield _stamp(path)

    def folder(self, first: _Entry) -> Iterator[FileStamp]:
        # A stack of our own: folders can be nested deeper than Python's calls.
        waiting, real = [first], os.path.realpath(first.path)
        while waiting:
            entry = waiting.pop()
            if not entry.is_folder:
                yield from self.file(entry)
                continue
            # No link is followed below the first, so that links need not be resolved again.
            if os.path.join(real, entry.path[len(first.path) :].lstrip(b"/")).rstrip(b"/") in self.skipped:
                continue
            self._meet(entry.path)
            try:
                with os.scandir(entry.path) as entries:
                    found = sorted(entries, key=lambda item: item.name, reverse=True)
            except OSError:
                yield FileStamp(entry.path, UNLISTED, 0)
                continue
            names = [item.name for item in found]
            if entry is not first and is_store(names):
                continue
            ignores = self.ignores_in(entry.path, IGNORE_FILE in names, entry.ignores)
            for item in found:
                below = _Entry(item.path, os.path.join(entry.relative, item.name), _is_folder(item), ignores)
                if below.is_folder:
                    if self.patterns.enter_folder(below.relative) and self.takes(item.path, True, ignores):
                        waiting.append(below)
                elif not os.path.isdir(item.path):
                    waiting.append(below)
                elif item.path not in self.named:
                    self.left_out.linked_folders += 1

    def file(self, entry: _Entry) -> Iterator[FileStamp]:
        """Yield a file of a folder, or what is in it, if it is named or nothing leaves it out."""
        if _is_archive(entry.path):
            is_named = self._is_named(entry.path)
            wanted = self.patterns.enter_folder(entry.relative) and self.takes(entry.path, False, entry.ignores)
            if is_named or wanted:
                inside = frozenset([entry.path + b"!"])
                yield from self.archive(_stamp(entry.path), entry.relative, entry.ignores, inside)
        elif entry.path in self.named:
            self._meet(entry.path)
            yield _stamp(entry.path)
        elif not self.patterns.take_file(entry.relative):
            self.left_out.other_case += self.patterns.differ_by_case(entry.relative)
        elif self.takes(entry.path, False, entry.ignores):
            yield _stamp(entry.path)

    def ignores_in(self, folder: bytes, has_own: bool, ignores: _Ignores) -> _Ignores:
        """Return what holds in a folder, of those that hold above it and its own."""
        own = IgnoreFile.read(folder, self.left_out.complaints) if has_own else None
        return ignores if own is None else (*ignores, own)

    def takes(self, path: bytes, is_folder: bool, ignores: _Ignores) -> bool:
        """Say whether neither a .vecstoreignore nor the defaults leave out a file or folder, and count it if so."""
        if path in self.named:
            return True
        by_default = self.patterns.defaults and is_left_out_by_default(path, is_folder)
        verdicts = (ignore.verdict(path, is_folder) for ignore in reversed(ignores))
        if by_default or next((verdict for verdict in verdicts if verdict is not None), False):
            self.left_out.count(path, is_folder, by_default)
            return False
        return True

    def archive(
        self, archive: FileStamp, relative: bytes, ignores: _Ignores, inside: frozenset[bytes]
    ) -> Iterator[FileStamp]:
        """Yield an archive's members to be tried, or those on record if it is as it was; itself if it is broken.

        inside: what of it is scanned, members or folders of them; all of it is `archive.zip!`.
        """
        self._meet(archive.path)
        is_whole = archive.path + b"!" in inside
        asked = self._asked(relative, ignores)
        looking = _ArchiveScan(self, archive.path, relative, ignores, inside)
        if self.known is not None and is_whole:
            on_record = self.known.members(archive)
            uncounted = replace(looking, scan=replace(self, left_out=LeftOut()), folders={})
            known = [path for path in on_record if path == archive.path or uncounted.takes(path)]
            if len(known) == self.known.count_of(archive, asked):
                self.met.update(self.named & {*known})
                yield from (Member(path, archive.size, archive.mtime_ns) for path in known)
                return
        n_found, failed, met = 0, False, {archive.path + b"!"}
        try:
            for member in archives.members(archive):
                met.update(inside.intersection((member.path, *_parents(member.path))))
                if looking.takes(member.path) and self._tries(member):
                    n_found += 1
                    self._meet(member.path)
                    yield member
            yield from (FileStamp(path, 0, 0) for path in sorted(inside - met))  # listed, and not there
        except Unreadable as error:
            n_found, failed = n_found + 1, True
            is_picture = looks_like_picture(archive.path)  # that somebody called .zip
            yield archive if is_picture else archives.broken(archive, str(error))
        self.met.update(self.named & inside)
        if self.record is not None and is_whole:
            self.record(archive, asked, n_found, failed)

    def _asked(self, relative: bytes, ignores: _Ignores) -> str:
        """Return what tells one way to look through an archive from another; "" for the usual one."""
        if self.patterns == ALL_FILES and not ignores:
            return ""
        rules = hashlib.sha256(repr([(ignore.folder, ignore.text) for ignore in ignores]).encode()).hexdigest()
        return repr((self.patterns, relative, rules if ignores else ""))

    def _tries(self, member: Member) -> bool:
        return (member.path in self.named or member.looks_like_picture()) and not os.path.lexists(member.path)

    def _is_named(self, archive: bytes) -> bool:
        """Say whether an archive or a member of it is named, so that no pattern keeps it closed."""
        return archive in self.named or any(path.startswith(archive + b"!/") for path in self.named)


@dataclass(frozen=True)
class _ArchiveScan:
    """Which members of one archive are asked for. folders: whether they may be entered, of those met so far."""

    scan: _Scan
    archive: bytes
    relative: bytes
    ignores: _Ignores
    inside: frozenset[bytes]
    folders: dict[bytes, bool] = field(default_factory=dict)

    def takes(self, path: bytes) -> bool:
        """Say whether a member is asked for: by its name, or below one of `inside` and not left out by anything."""
        if path in self.scan.named:
            return True
        root = next((up for up in _parents(path) if up in self.inside), None)
        if root is None:
            return False
        relative, patterns = os.path.join(self.relative, path[len(root) + 1 :]), self.scan.patterns
        if not patterns.take_file(relative):
            self.scan.left_out.other_case += patterns.differ_by_case(relative)
            return False
        return self._enters(os.path.dirname(path), root) and self._is_taken(path, False)

    def _enters(self, folder: bytes, root: bytes) -> bool:
        if folder == root:
            return True
        if folder not in self.folders:
            above = self._enters(os.path.dirname(folder), root)
            self.folders[folder] = above and self._is_taken(folder, True)
        return self.folders[folder]

    def _is_taken(self, path: bytes, is_folder: bool) -> bool:
        # To patterns the archive is a folder, called as it is.
        as_in_folder = self.archive + path[len(self.archive) + 1 :]
        return self.scan.takes(as_in_folder, is_folder, self.ignores)


def _own_folders(store: Path | None) -> frozenset[bytes]:
    """Return the folders that hold no pictures but our own: the store's and the cache's, links resolved."""
    own = (cache_dir(), cache_dir() / "thumbnails", *((store,) if store is not None else ()))
    return frozenset(os.path.realpath(os.fsencode(folder)) for folder in own)


def _is_archive(path: bytes) -> bool:
    return is_archive_name(path) and os.path.isfile(path)


def _is_folder(item: os.DirEntry[bytes]) -> bool:
    try:
        return item.is_dir(follow_symlinks=False)
    except OSError:  # it may not be looked at, or its disk fails: trying it as a file puts the reason on record
        return False


def _stamp(path: bytes) -> FileStamp:
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # a broken link, or gone since it was listed; a member whose name no file can have
        return FileStamp(path, 0, 0)
    return FileStamp(path, state.st_size if stat.S_ISREG(state.st_mode) else 0, state.st_mtime_ns)


def _relative(path: bytes, top: bytes) -> bytes:
    return path[len(top.rstrip(b"/")) + 1 :] if path != top else b""


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
