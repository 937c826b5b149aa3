"""Calls in forked processes, which can be killed: started in milliseconds, since what they import is loaded already."""

import os
import pickle
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scripts.fault_injection.interposer import Block

# Nothing here takes a second on a machine at rest.
HANG_SECONDS = 60.0
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Ended:
    """How a child ended. status: its exit code, or less than 0: the signal that ended it. said: what it told by `say`.

    value: what the function returned, None if it did not come to that. error: the traceback if it raised.
    """

    status: int
    said: list[Any]
    value: Any
    error: str
    out: str
    err: str
    seconds: float

    @property
    def hung(self) -> bool:
        return self.seconds >= HANG_SECONDS


_saying: int | None = None


def say(thing: Any) -> None:
    """In a child: tell the parent something, which it knows from then on whatever becomes of the child."""
    if _saying is not None:
        _put(_saying, ("said", thing))


def call(
    function: Callable[..., Any],
    *arguments: Any,
    block: Block | None = None,
    kill_after: float | None = None,
    timeout: float = HANG_SECONDS,
) -> Ended:
    """Call a function in a child, and return how that ended. block: what happens to its file calls."""
    return Child(function, *arguments, block=block).wait(kill_after, timeout)


class Child:
    """A forked process that calls one function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, block: Block | None = None) -> None:
        self._began = time.monotonic()
        self._out, self._err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self._pipe, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._pipe)
            _run(writing, self._out.fileno(), self._err.fileno(), function, arguments, block)
        os.close(writing)

    def wait(self, kill_after: float | None = None, timeout: float = HANG_SECONDS) -> Ended:
        """Return how it ended; kill it after a number of seconds."""
        said, value, error = [], None, ""
        received = b""
        deadline = self._began + (timeout if kill_after is None else kill_after)
        while True:
            if not select.select([self._pipe], [], [], _seconds_until(deadline))[0]:
                os.kill(self.pid, signal.SIGKILL)
                deadline = float("inf")  # what it has said before is still to be read
            elif block := os.read(self._pipe, 1 << 20):
                received += block
            else:
                break
        for kind, thing in _messages(received):
            if kind == "said":
                said.append(thing)
            elif kind == "value":
                value = thing
            else:
                error = thing
        _, status = os.waitpid(self.pid, 0)
        seconds = time.monotonic() - self._began
        os.close(self._pipe)
        texts = []
        for file in (self._out, self._err):
            with file:
                file.seek(0)
                texts.append(file.buffer.read().decode("utf-8", "replace"))
        return Ended(os.waitstatus_to_exitcode(status), said, value, error, texts[0], texts[1], seconds)


def _run(
    saying: int, out: int, err: int, function: Callable[..., Any], arguments: tuple[Any, ...], block: Block | None
) -> None:
    global _saying
    status = 1
    try:
        _saying = saying
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
        if block is not None:
            block.arm()
        value = function(*arguments)
        _put(saying, ("value", value))
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        _put(saying, ("error", traceback.format_exc()))
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # nothing of the parent's is to be ended twice


def _seconds_until(deadline: float) -> float | None:
    return None if deadline == float("inf") else max(deadline - time.monotonic(), 0)


def _put(descriptor: int, message: tuple[str, Any]) -> None:
    packed = pickle.dumps(message)
    packed = _LENGTH.pack(len(packed)) + packed
    while packed:
        packed = packed[os.write(descriptor, packed) :]


def _messages(received: bytes) -> list[tuple[str, Any]]:
    found, at = [], 0
    while at + _LENGTH.size <= len(received):
        (length,) = _LENGTH.unpack_from(received, at)
        at += _LENGTH.size
        if at + length > len(received):
            break  # it was killed while it spoke
        found.append(pickle.loads(received[at : at + length]))
        at += length
    return found
