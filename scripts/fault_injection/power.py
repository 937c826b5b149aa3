"""The disk that a power cut leaves: what the journal of file calls says was synced, and any part of the rest.

As pessimistic as POSIX allows and file systems are: bytes that were written and not synced are there, or not, or a
sector at a time; a name that was made, changed or removed is on the disk when its folder was synced, and until then
the changes of a folder reach the disk in their order, up to any point.
"""

import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512
_HEAD = struct.Struct("<5q")


@dataclass
class _File:
    """A file's bytes on the disk, and what was done to them since: (at, bytes), or (size, None) for a truncation."""

    durable: bytearray
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

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


GONE = _File(bytearray())  # what a name leads to that was removed


def _apply(found: bytearray, at: int, content: bytes | None) -> None:
    if content is None:
        del found[at:]
        found.extend(bytes(at - len(found)))
    else:
        found.extend(bytes(max(at - len(found), 0)))
        found[at : at + len(content)] = content


class Disk:
    """A folder's tree as it is on the disk. A name leads to a file, or to None for a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable: dict[str, _File | None] = {}
        for path in sorted(root.rglob("*")):
            self._durable[str(path)] = None if path.is_dir() else _File(bytearray(path.read_bytes()))
        self._seen = dict(self._durable)
        self._pending: list[tuple[str, dict[str, _File | None]]] = []  # (folder, what its names lead to from then on)

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
            elif op == "s" and self._seen.get(path) is None:
                self._sync_folder(path)
            elif (file := self._seen[path]) is not None:
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
        shutil.rmtree(self._root)
        self._root.mkdir()
        for name, file in sorted(names.items()):
            path = Path(name)
            if file is GONE or not path.parent.is_dir():
                continue
            if file is None:
                path.mkdir()
            else:
                path.write_bytes(file.after_the_cut(keeps, random))

    def _change(self, names: dict[str, _File | None]) -> None:
        self._seen.update(names)
        self._pending.append((str(Path(next(iter(names))).parent), names))

    def _sync_folder(self, folder: str) -> None:
        for parent, names in self._pending:
            if parent == folder:
                self._durable.update(names)
        self._pending = [change for change in self._pending if change[0] != folder]


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
