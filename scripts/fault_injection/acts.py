"""Acts on pictures, killed and failed at any file call: no content that had a file is ever without one.

Beside plain files there are hard links, symbolic links and folders that move away; after a kill the power may be cut,
when a file that a person made just before need not be on the disk yet. After each command a writer runs to its end,
which has to complete or take back what was begun: nothing of an act may be left beside the pictures, the store's check
must find nothing, and every decision must be there. What is there is found by reading all files.
"""

import errno
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from scripts.fault_injection.children import Ended, call
from scripts.fault_injection.interposer import Block, Fault, How, Kind
from scripts.fault_injection.power import Disk
from scripts.fault_injection.runs import Run
from scripts.fault_injection.scenario import Pool, run_command

CONTENTS, FILES, STEPS_A_STORE = 6, 18, 15
FOLDERS = ("a", "b", "b/deep")
# How far into a command: it has some two hundred file calls, most of them SQLite's.
MOST_CALLS = 120
UNHARMED, KILLED, POWER_CUT = 0.15, 0.7, 0.5
ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS)


def torture(run: Run, pool: Pool) -> None:
    while run.goes_on():
        _Collection(run, pool).live()


class _Collection:
    """A folder of pictures with copies and links, a store of it, a trash, and what is done to them."""

    def __init__(self, run: Run, pool: Pool) -> None:
        self.run = run
        self.random = run.random
        self.root = run.scratch / "collection"
        self.pictures, self.store = self.root / "pictures", self.root / "store"
        shutil.rmtree(self.root, ignore_errors=True)
        (self.root / "home").mkdir(parents=True)
        self.contents = self.random.sample(pool.contents, CONTENTS)
        self.unsynced: set[Path] = set()
        for number in range(FILES):
            file = self.pictures / self.random.choice(FOLDERS) / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.random.choice(self.contents))
            os.utime(file, (number, number))
        self.run.counts["stores"] += 1

    def live(self) -> None:
        """Do a number of commands; stop at the first thing that is wrong, as what follows is none of its own."""
        self._run(["add", str(self.pictures), "--embedder", "hsv"], None)
        for _ in range(STEPS_A_STORE):
            if self.run.is_over():
                return
            self._by_hand()
            command = self._command()
            fault = self._fault()
            before, decided = self._files(), self._decisions()
            disk, journal = None, self.run.scratch / "journal"
            if fault is not None and fault.how != How.FAIL and self.random.random() < POWER_CUT:
                disk = Disk(self.root, self.unsynced)
            block = Block(self.root, fault, journal if disk is not None else None) if fault is not None else None
            ended = self._run(command, block)
            if disk is not None:
                disk.replay(journal)
                disk.cut(self.random)
            self.run.counts["power cuts"] += disk is not None
            self.run.counts["kills"] += ended.status == -9 and disk is None
            self.run.counts["failed calls"] += block is not None and block.fired and ended.status != -9
            self.run.counts["unharmed"] += block is None or not block.fired
            cut = ", and a power cut" if disk is not None else ""
            what = f"{' '.join(command)}: {fault}{cut} ({block.what if block is not None else ''}), exit {ended.status}"
            if problem := self._problem(before, ended):
                self.run.found(f"{what}: {problem}")
                return
            recovered = self._run(["remove", "/nowhere/at/all"], None)  # a writer that finds nothing to do itself
            if problem := self._problem(before, recovered) or self._left_over(decided, command[0]):
                self.run.found(f"{what}; after the next writer: {problem}")
                return

    # What is done

    def _command(self) -> list[str]:
        act = self.random.choice(("trash", f"move:{self.root / 'moved'}", "hardlink", "symlink", "delete"))
        rule = self.random.choice(
            ("oldest", "newest", f"folder:{self.pictures / 'a'}", "path:deep/", "pixels", "sharpness")
        )
        apply = ["duplicates", "--exact", "--keep-by", rule, "--apply", act, "--yes"]
        image = f"@{self.random.randrange(CONTENTS)}"
        into = [self.random.choice(("--copy-to", "--link-to", "--move-to")), str(self.root / "collected")]
        decide = ["decide", "both", *(f"@{row}" for row in self.random.sample(range(CONTENTS), 2))]
        undo = ["undo", *self.random.choice(([], [], ["--redo"]))]
        return self.random.choice((apply, apply, apply, undo, undo, ["similar", image, "-k", "2", *into], decide))

    def _by_hand(self) -> None:
        """What a person does to files between two commands: another copy, a link, a folder that moves."""
        for file in self.unsynced:
            if file.is_file() and file.stat().st_size == 0:  # a copy of their own that a power cut has emptied
                file.unlink()
        self.unsynced = set()
        files = [file for file in sorted(self.pictures.rglob("*.png")) if file.is_file() and not file.is_symlink()]
        what = self.random.choice(("nothing", "copy", "hardlink", "symlink", "move", "sync"))
        new = self.pictures / self.random.choice(FOLDERS) / f"new-{self.random.getrandbits(32)}.png"
        if what == "move":
            moved = self.root / "elsewhere"
            old, now = (moved, self.pictures / "b") if moved.exists() else (self.pictures / "b", moved)
            if old.is_dir() and not now.exists():
                old.rename(now)
                self._run(["relocate", str(old), str(now)], None)
        elif what == "sync" or not files:
            self._run(["sync", str(self.pictures)], None)
        elif what != "nothing":
            new.parent.mkdir(parents=True, exist_ok=True)
            file = self.random.choice(files)
            ways: dict[str, Callable[[Path, Path], object]] = {
                "copy": shutil.copyfile,
                "hardlink": os.link,
                "symlink": os.symlink,
            }
            ways[what](file, new)
            self.unsynced = {new}
            self._run(["add", str(self.pictures)], None)

    def _fault(self) -> Fault | None:
        chance, nth = self.random.random(), self.random.randint(1, MOST_CALLS)
        if chance < UNHARMED:
            return None
        kinds = self.random.choice((Kind.CHANGE | Kind.OPEN, Kind.RENAME | Kind.UNLINK | Kind.MKDIR, Kind.SYNC))
        if kinds != Kind.CHANGE | Kind.OPEN:
            nth = nth % 20 + 1
        if chance < KILLED:
            return Fault(nth, self.random.choice((How.KILL_BEFORE, How.KILL_AFTER, How.KILL_TORN)), kinds)
        return Fault(nth, How.FAIL, kinds, self.random.choice(ERRORS), lasting=self.random.random() < 0.3)

    def _run(self, command: list[str], block: Block | None) -> Ended:
        return call(_run_with_trash, self.root / "home", [*command, "--store", str(self.store)], block=block)

    # What has to hold

    def _problem(self, before: set[bytes], ended: Ended) -> str:
        lost = before - self._files()
        if lost:
            return f"{len(lost)} contents have no file any more"
        if ended.hung:
            return "it hung"
        if ended.error or "Traceback" in ended.err:
            return f"a traceback: {(ended.error or ended.err).strip()[-1500:]}"
        return "" if ended.status in (-9, 0, 1, 3) else f"exit {ended.status}: {ended.err.strip()}"

    def _left_over(self, decided: set[tuple[bytes, bytes]], command: str) -> str:
        """Say what is wrong with what the next writer leaves."""
        drafts = [path.name for path in self.root.rglob(".vecstore-*") if path.name != ".vecstoreignore"]
        if drafts:
            return f"{drafts[0]} was left"
        # What was copied by hand just before a power cut may be empty after it, and no act has touched it there.
        files = [path for path in self._all_files() if path.suffix == ".png" and path not in self.unsynced]
        empty = [path for path in files if path.stat().st_size == 0]
        if empty:
            return f"{empty[0]} is empty"
        with closing(sqlite3.connect(self.store / "catalog.sqlite")) as db:
            unfinished = db.execute("select act, state from acts where state in ('started', 'undoing', 'redoing')")
            found = unfinished.fetchall()
        if found:
            return f"the journal has unfinished acts: {found}"
        if command not in ("undo", "decide") and not decided <= self._decisions():
            return "decisions are gone"
        ended = self._run(["check"], None)
        return "" if ended.status == 0 else f"check: {ended.out.strip()} {ended.err.strip()}"

    def _files(self) -> set[bytes]:
        """Return every content that a file of its own has, wherever it is."""
        known = {hashlib.sha256(content).digest() for content in self.contents}
        return {hashlib.sha256(file.read_bytes()).digest() for file in self._all_files()} & known

    def _all_files(self) -> list[Path]:
        files = (path for path in self.root.rglob("*") if self.store not in path.parents)
        return [path for path in files if path.is_file() and not path.is_symlink()]

    def _decisions(self) -> set[tuple[bytes, bytes]]:
        with closing(sqlite3.connect(self.store / "catalog.sqlite")) as db:
            return {*db.execute("select one, other from decisions")}


def _run_with_trash(home: Path, arguments: list[str]) -> None:
    """In a child: run the program with a home folder, and a trash, of its own."""
    from send2trash import plat_other

    os.environ["HOME"] = str(home)
    os.environ["XDG_DATA_HOME"] = str(home)
    plat_other.XDG_DATA_HOME, plat_other.HOMETRASH_B = os.fsencode(home), os.fsencode(home / "Trash")
    run_command(arguments)
