"""What all tortures share: how long they go on, where chance comes from, and what they found."""

import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random


@dataclass
class Run:
    """One torture's run. scratch: its own folder. seconds, rounds: it ends after these, None: when it is through.

    n_files: how many files there are, where that is what it tortures with.
    """

    name: str
    seed: int
    scratch: Path
    seconds: float | None = None
    rounds: int | None = None
    n_files: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(f"{self.name} {self.seed}")
        self._began = time.monotonic()
        self._n_rounds = 0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def is_over(self, seconds: float | None = None, rounds: int | None = None) -> bool:
        """Say whether it has gone on for so long; None: for as long as it was to."""
        seconds, rounds = seconds or self.seconds, rounds or self.rounds
        return (seconds is not None and self.elapsed >= seconds) or (rounds is not None and self._n_rounds >= rounds)

    def goes_on(self, seconds: float | None = None, rounds: int | None = None) -> bool:
        """Say whether there is to be one more round, and count it. seconds, rounds: to end earlier."""
        if self.is_over() or self.is_over(seconds, rounds):
            return False
        self._n_rounds += 1
        return True

    def share(self, parts: int) -> "Share":
        """Return the first of so many equal parts of what is left of the run."""
        seconds = None if self.seconds is None else self.elapsed + (self.seconds - self.elapsed) / parts
        rounds = None if self.rounds is None else self._n_rounds + max((self.rounds - self._n_rounds) // parts, 1)
        return Share(self, seconds, rounds)

    def found(self, what: str) -> None:
        """Print and keep something that should not be."""
        self.findings.append(what)
        print(f"{self.name}: FOUND: {what}", flush=True)

    def summary(self) -> str:
        counted = ", ".join(f"{count:,} {what}" for what, count in sorted(self.counts.items()))
        again = f"scripts/torture {self.name} --seed {self.seed}"
        return f"{self.name}: {len(self.findings)} findings; {counted}; {self.elapsed:.0f} s; {again}"


@dataclass(frozen=True)
class Share:
    """A part of a run, which ends after a number of seconds or rounds of the whole run."""

    run: Run
    seconds: float | None
    rounds: int | None

    def goes_on(self) -> bool:
        return self.run.goes_on(self.seconds, self.rounds)


def scratch_folder(name: str) -> tempfile.TemporaryDirectory[str]:
    """A folder to work in: in memory where that is a file system, since nothing here waits for a real disk."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix=f"vecstore-{name}-", dir=memory if memory.is_dir() else None)
