"""The disk that a power cut leaves: what the journal of file calls says was synced, and any part of the rest.

As pessimistic as POSIX allows and file systems are: bytes that were written and not synced are there, or not, or a
sector at a time; a name that was made, changed or removed is on the disk when its folder was synced, and until then
the changes of a folder reach the disk in their order, up to any point.
"""

import os
import shutil
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeAlias

SECTOR = 512
_HEAD = struct.Struct("<5q")


@dataclass
class _File:
    """A file's bytes on the disk, and what was done to them since: (at, bytes), or (size, None) for a truncation."""

    durable: bytearray
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    modified_ns: int = 0

    def sync(self) -> None:
        for at, content in self.pending:
            _apply(self.durable, at, content)
        self.pending.clear()

    def after_the_cut(self, keeps: float, random: Random) -> bytes:
        found = bytearray(self.durable)
        for at, content in self.pending:
            if random.random() < keeps:
                _apply(found, at, content)
            elif content is not None and random.random() < 0.5:  # torn: some of its sectors, the size of all
                found.extend(bytes(max(at + len(content) - len(found), 0)))
                for start in range(0, len(content), SECTOR):
                    if random.random() < 0.5:
                        _apply(found, at + start, content[start : start + SECTOR])
        return bytes(found)


@dataclass(frozen=True)
class _Link:
    """A symbolic link."""

    target: str


# What a name leads to; None: a folder. Names of one file lead to the same object.
_Found: TypeAlias = _File | _Link | None
GONE = _File(bytearray())  # what a name leads to that was removed


def _apply(found: bytearray, at: int, content: bytes | None) -> None:
    if content is None:
        del found[at:]
        found.extend(bytes(at - len(found)))
    else:
        found.extend(bytes(max(at - len(found), 0)))
        found[at : at + len(content)] = content


class Disk:
    """A folder's tree as it is on the disk. unsynced: files that came into it just now, and may not be there yet."""

    def __init__(self, root: Path, unsynced: Collection[Path] = ()) -> None:
        self._root = root
        self._durable: dict[str, _Found] = {}
        self._pending: list[tuple[str, dict[str, _Found]]] = []  # (folder, what its names lead to from then on)
        files: dict[int, _File] = {}
        found = sorted(root.rglob("*"))
        for path in (path for path in found if path not in unsynced):
            self._durable[str(path)] = _read(path, files)
        self._seen = dict(self._durable)
        for path in (path for path in found if path in unsynced):
            file = _read(path, files)
            if isinstance(file, _File) and not any(file is known for known in self._seen.values()):
                file.pending, file.durable = [(0, bytes(file.durable))], bytearray()
            self._change({str(path): file})

    def replay(self, journal: Path) -> None:
        """Take in what was done."""
        for op, path, other, at, content in _records(journal.read_bytes()):
            if op == "c":
                self._change({path: _File(bytearray())})
            elif op == "m":
                self._change({path: None})
            elif op == "u":
                self._change({path: GONE})
            elif op == "r":
                self._change({other: self._seen[path], path: GONE})
            elif op == "l":
                self._change({other: self._seen[path]})
            elif op == "y":
                self._change({path: _Link(os.fsdecode(content))})
            elif op == "s" and self._seen.get(path) is None:
                self._sync_folder(path)
            elif isinstance(file := self._seen[path], _File):
                if op == "s":
                    file.sync()
                else:
                    file.pending.append((at, content if op == "w" else None))

    def cut(self, random: Random) -> None:
        """Make the folder what it is after a power cut now."""
        keeps = random.choice((0.0, 0.5, 1.0))
        names = dict(self._durable)
        stopped: set[str] = set()
        for folder, changed in self._pending:
            if folder not in stopped and random.random() < (0.9 if keeps == 0.5 else keeps):
                names.update(changed)
            else:
                stopped.add(folder)
        for name, file in self._seen.items():
            if isinstance(file, _File):
                with suppress(OSError):
                    file.modified_ns = os.stat(name).st_mtime_ns
        shutil.rmtree(self._root)
        self._root.mkdir()
        written: dict[int, str] = {}
        for name, file in sorted(names.items()):
            path = Path(name)
            if file is GONE or not path.parent.is_dir():
                continue
            if file is None:
                path.mkdir()
            elif isinstance(file, _Link):
                path.symlink_to(file.target)
            elif id(file) in written:
                os.link(written[id(file)], path)
            else:
                path.write_bytes(file.after_the_cut(keeps, random))
                os.utime(path, ns=(file.modified_ns, file.modified_ns))
                written[id(file)] = name

    def _change(self, names: dict[str, _Found]) -> None:
        self._seen.update(names)
        self._pending.append((str(Path(next(iter(names))).parent), names))

    def _sync_folder(self, folder: str) -> None:
        for parent, names in self._pending:
            if parent == folder:
                self._durable.update(names)
        self._pending = [change for change in self._pending if change[0] != folder]


def _read(path: Path, files: dict[int, _File]) -> _Found:
    """Return what a path leads to. files: those that were read, by their number on the disk."""
    if path.is_symlink():
        return _Link(os.readlink(path))
    if path.is_dir():
        return None
    state = path.stat()
    if state.st_ino not in files:
        files[state.st_ino] = _File(bytearray(path.read_bytes()), modified_ns=state.st_mtime_ns)
    return files[state.st_ino]


def _records(journal: bytes) -> Iterator[tuple[str, str, str, int, bytes]]:
    start = 0
    while start + _HEAD.size <= len(journal):
        op, at, path, other, length = _HEAD.unpack_from(journal, start)
        start += _HEAD.size
        parts = []
        for size in (path, other, length):
            parts.append(journal[start : start + size])
            start += size
        yield chr(op), parts[0].decode("utf-8", "surrogateescape"), parts[1].decode(), at, parts[2]
