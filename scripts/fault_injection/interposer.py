"""interposer.c from Python: compiled at run time, loaded before the C library, armed in the process to be tormented."""

import ctypes
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path

SOURCE = Path(__file__).with_name("interposer.c")
# Tells the program that was started anew with the interposer where its folder is, to be removed.
MADE_IN = "VECSTORE_TORTURE_INTERPOSER"


class Kind(IntFlag):
    """The calls that are counted; values as in interposer.c."""

    OPEN = 1
    READ = 2
    WRITE = 4
    SYNC = 8
    RENAME = 16
    TRUNCATE = 32
    UNLINK = 64
    MKDIR = 128
    CHANGE = WRITE | SYNC | RENAME | TRUNCATE | UNLINK | MKDIR
    ANY = CHANGE | OPEN | READ


class How(IntEnum):
    """What becomes of the n-th call; values as in interposer.c."""

    COUNT = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    KILL_TORN = 3
    FAIL = 4
    SHORT = 5
    LOSE = 6


class _Control(ctypes.Structure):
    _fields_ = (
        ("root", ctypes.c_char * 1024),
        ("nth", ctypes.c_int64),
        ("how", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("lasting", ctypes.c_int32),
        ("kinds", ctypes.c_int32),
        ("journal", ctypes.c_int32),
        ("fired", ctypes.c_int32),
        ("counted", ctypes.c_int64),
        ("counted_by_kind", ctypes.c_int64 * 8),
        ("what", ctypes.c_char * 1024),
    )


@dataclass(frozen=True)
class Fault:
    """What happens to the n-th of some calls. error: the errno of FAIL. lasting: it happens to all later ones too."""

    nth: int = 0
    how: How = How.COUNT
    kinds: Kind = Kind.ANY
    error: int = 0
    lasting: bool = False

    def __str__(self) -> str:
        error = f" with {os.strerror(self.error)!r}" if self.error else ""
        return f"{self.how.name.lower()} at call {self.nth}{' and all later ones' if self.lasting else ''}{error}"


class Block:
    """A control block that this process and the child that is to be tormented share.

    Made before the fork, armed in the child, read after its end. root: only files below this folder are minded.
    journal: where to write down every change.
    """

    def __init__(self, root: Path, fault: Fault, journal: Path | None = None) -> None:
        self._shared = mmap.mmap(-1, ctypes.sizeof(_Control))
        self._control = _Control.from_buffer(self._shared)
        self._journal = journal
        self._control.root = os.fsencode(root)
        self._control.nth, self._control.how, self._control.kinds = fault.nth, fault.how, fault.kinds
        self._control.error, self._control.lasting, self._control.journal = fault.error, fault.lasting, -1

    def arm(self) -> None:
        if self._journal is not None:
            self._control.journal = os.open(self._journal, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        ctypes.CDLL(None).torture_arm(ctypes.byref(self._control))

    @property
    def counted(self) -> int:
        return int(self._control.counted)

    def counted_of(self, kind: Kind) -> int:
        """Return how many calls there were of one kind, whether it was to be counted or not."""
        return int(self._control.counted_by_kind[kind.bit_length() - 1])

    @property
    def fired(self) -> bool:
        return bool(self._control.fired)

    @property
    def what(self) -> str:
        """The call that was interfered with first."""
        return os.fsdecode(self._control.what)


def why_not() -> str | None:
    """Say why file calls cannot be interposed on this machine; None if they can."""
    if sys.platform != "linux":
        return f"file calls are interposed with LD_PRELOAD, which {sys.platform} has not"
    if _compiler() is None:
        return "file calls are interposed by a little C, and there is no C compiler (cc)"
    return None


def start_again_with_it() -> None:
    """Replace this process by itself with the interposer loaded; return at once if it is, or where it cannot be."""
    if MADE_IN in os.environ:
        shutil.rmtree(os.environ.pop(MADE_IN))
        os.environ.pop("LD_PRELOAD")  # for this process alone, not for what it starts
        return
    if why_not() is not None:
        return
    folder = tempfile.mkdtemp(prefix="vecstore-torture-")
    library = os.path.join(folder, "interposer.so")
    subprocess.run([str(_compiler()), "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-lpthread"], check=True)
    environment = {**os.environ, MADE_IN: folder, "LD_PRELOAD": library, **_ONE_THREAD}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


# Threads do not survive a fork, and those of OpenMP do not come back.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
