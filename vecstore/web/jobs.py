"""Jobs: what takes longer than a request. They are done one after the other, each in a process of its own.

A store has one writer at a time, so there is nothing to gain by starting two. Jobs are remembered as long as the
server runs.
"""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from vecstore.errors import BadInput, NotFound, StoreBusy
from vecstore.storage.catalog.connection import now
from vecstore.web.settings import Settings

log = logging.getLogger(__name__)

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
# Ended ones are forgotten beyond so many, and no more than so many may wait.
MOST_REMEMBERED, MOST_WAITING = 100, 20
# How long a job may take to commit what it has done before it is killed.
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Job:
    """One piece of work. kind: "add", "sync", "retry", "cluster", "map", "duplicates" or "names". asked: how.

    state: "waiting", "running", "done", "failed" or "cancelled". done, total: how far it is, in files or iterations;
    total: None while unknown. note: more of that, in words. result: what the library returned, as `--json` prints it;
    of a map only how many images are on it (GET /api/map has it). error: why it failed, or what is left of a cancelled
    one. created, started, ended: when, in UTC.
    """

    id: int
    kind: str
    asked: dict[str, Any]
    state: str
    done: int
    total: int | None
    note: str
    result: dict[str, Any] | None
    error: str | None
    created: str
    started: str | None
    ended: str | None

    @property
    def is_over(self) -> bool:
        return self.state in (DONE, FAILED, CANCELLED)


class Jobs:
    """The jobs of one server."""

    def __init__(self, settings: Settings, on_end: Callable[[Job], None] = lambda job: None) -> None:
        """on_end: told of every job that is over."""
        self._settings = settings
        self._on_end = on_end
        self._executor = ThreadPoolExecutor(1, "jobs")
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._last = 0
        self._map: dict[str, Any] | None = None
        self._process: tuple[int, subprocess.Popen[bytes]] | None = None
        # A wish is kept, so that it holds whether the job's process is there already or not yet.
        self._called_off: set[int] = set()
        self._is_closed = False

    def start(self, asked: dict[str, Any]) -> Job:
        """Put a job at the end of the queue. asked: its kind, and the arguments of the library's call."""
        with self._lock:
            if self._is_closed:
                raise StoreBusy("the server is being stopped and starts no more jobs; start it again and ask then")
            if sum(job.state == WAITING for job in self._jobs.values()) >= MOST_WAITING:
                raise BadInput(f"{MOST_WAITING} jobs are waiting already; cancel some, or ask again later")
            self._last += 1
            job = Job(self._last, asked["kind"], asked, WAITING, 0, None, "", None, None, now(), None, None)
            self._jobs[job.id] = job
            over = [number for number, known in self._jobs.items() if known.is_over]
            for number in over[: max(len(self._jobs) - MOST_REMEMBERED, 0)]:
                del self._jobs[number]
            self._executor.submit(self._run, job.id)
        return job

    def all(self) -> list[Job]:
        """Return the jobs, the newest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: -job.id)

    def get(self, number: int) -> Job:
        """Return one job. Raises NotFound."""
        with self._lock:
            if number not in self._jobs:
                raise NotFound(f"no job {number}; GET /api/jobs lists them")
            return self._jobs[number]

    @property
    def map(self) -> dict[str, Any] | None:
        """The map that the last job of that kind made, a `StoreMap`; None before the first since the server started."""
        return self._map

    def cancel(self, number: int) -> Job:
        """Call a job off: one that waits never starts, one that runs commits what it has done. Raises NotFound."""
        job = self.get(number)
        with self._lock:
            if self._jobs[number].state == WAITING:
                job = self._jobs[number] = replace(job, state=CANCELLED, error="it had not started", ended=now())
            elif self._jobs[number].state == RUNNING:
                self._called_off.add(number)
                if self._process is not None and self._process[0] == number:
                    _call_off(self._process[1])
        return job

    @property
    def is_working(self) -> bool:
        with self._lock:
            return any(job.state == RUNNING for job in self._jobs.values())

    def close(self) -> None:
        """Call everything off, start nothing more, and wait for what runs to commit."""
        with self._lock:
            self._is_closed = True
        for job in self.all():
            if not job.is_over:
                self.cancel(job.id)
        self._executor.shutdown()

    def _run(self, number: int) -> None:
        with self._lock:
            if self._jobs[number].state != WAITING:
                return
            self._jobs[number] = replace(self._jobs[number], state=RUNNING, started=now())
        try:
            outcome = self._done(number)
        except Exception as error:  # or nobody would ever hear of it
            log.exception("job %d", number)
            outcome = {"state": FAILED, "error": str(error)}
        over = replace(self.get(number), **outcome, ended=now())
        self._on_end(over)
        with self._lock:
            self._jobs[number], self._process = over, None
            self._called_off.discard(number)

    def _done(self, number: int) -> dict[str, Any]:
        """Do a job, in a process of its own; return how it ended, as fields of `Job`."""
        process = subprocess.Popen(
            [sys.executable, "-m", "vecstore.web.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C is for the server, which then calls its jobs off
        )
        with self._lock:
            self._process = number, process
            if number in self._called_off:
                _call_off(process)
        outcome: dict[str, Any] = {}
        with suppress(BrokenPipeError), process:  # whatever happens, its pipes are closed and its end is waited for
            if process.stdin is None or process.stdout is None:
                raise ValueError("the process was started with pipes")
            with suppress(BrokenPipeError, ValueError):  # it is dead, or called off already
                process.stdin.write(json.dumps(self._order(number)).encode() + b"\n")
                process.stdin.flush()
            for line in process.stdout:
                told = json.loads(line)
                if "result" in told:
                    outcome = {"state": DONE, "result": self._noted(number, told["result"])}
                elif "error" in told:
                    outcome = {"state": FAILED, "error": told["error"]}
                elif "cancelled" in told:
                    outcome = {"state": CANCELLED, "error": told["cancelled"]}
                else:
                    self._change(number, **told)
        if outcome:
            return outcome
        with self._lock:
            if number in self._called_off:  # before it could say anything
                return {"state": CANCELLED, "error": "called off; what was committed until then stays"}
        return {"state": FAILED, "error": f"its process ended with {process.returncode}; the server's log says why"}

    def _noted(self, number: int, result: dict[str, Any]) -> dict[str, Any]:
        """Keep what is too large to be told with the job each time, and return what is."""
        if self.get(number).kind != "map":
            return result
        self._map = result
        return {"images": result["images"], "points": len(result["points"])}

    def _order(self, number: int) -> dict[str, Any]:
        settings = self._settings
        return {
            "store": str(settings.store),
            "embedder": settings.embedder,
            "weights": str(settings.weights) if settings.weights else None,
            "device": settings.device,
            "asked": self.get(number).asked,
        }

    def _change(self, number: int, **changes: Any) -> None:
        with self._lock:
            self._jobs[number] = replace(self._jobs[number], **changes)


def _call_off(process: subprocess.Popen[bytes]) -> None:
    """Let the process see the end of its standard input, and kill it if it does not heed that."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    timer = threading.Timer(PATIENCE_SECONDS, _kill, [process])
    timer.daemon = True
    timer.start()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        log.warning("job process %d did not end when it was called off and is killed", process.pid)
        process.kill()
