"""The checkpoint of a k-means run: a file beside the catalog, from which a killed run goes on.

Derived, and stamped with all that its result depends on: under another stamp, or damaged, it is ignored. It is written
beside and renamed, like every derived file, and removed when the clustering is committed.
"""

import json
import logging
import time
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecstore.storage.derived_arrays import load_arrays, save_arrays
from vecstore.storage.durable_files import draft_of

if TYPE_CHECKING:
    from indexes.kmeans import State

log = logging.getLogger(__name__)

CHECKPOINT = "clustering.npz"
# At the most so much work is lost by a kill, and the iteration that was under way.
SECONDS = 2.0


class Checkpoint:
    """The checkpoint of one run. stamp: what the run depends on, as JSON can hold it."""

    def __init__(self, folder: Path, stamp: dict[str, Any]) -> None:
        self.path = folder / CHECKPOINT
        self._stamp = json.dumps(stamp, sort_keys=True)
        self._saved = time.monotonic()

    def load(self) -> "State | None":
        """Return the state that an earlier run of the same stamp was killed in, None if there is none."""
        from indexes.kmeans import State

        if (found := load_arrays(self.path)) is None:
            return None
        try:
            if str(found["stamp"]) != self._stamp:
                return None
            best = found["best"] if found["best"].size else None
            run, iteration = (int(n) for n in found["counts"])
            objective, imbalance, least = (float(n) for n in found["figures"])
            state = State(run, iteration, found["centroids"], objective, imbalance, best, least)
        except (ValueError, TypeError, KeyError):  # an archive of something else
            return None
        log.info("going on from %s: run %d, iteration %d", self.path, state.run, state.iteration)
        return state

    def save(self, state: "State") -> None:
        """Write the state down, unless that was done a moment ago. Where it cannot be, the run goes on without."""
        if time.monotonic() - self._saved < SECONDS:
            return
        self._saved = time.monotonic()
        try:
            self._write(state)
        except OSError as error:  # a full disk, say; it may have room by the next time
            log.warning("the checkpoint %s cannot be written (%s); a killed run would start over", self.path, error)

    def _write(self, state: "State") -> None:
        best = state.best if state.best is not None else np.empty(0, np.float32)
        save_arrays(
            self.path,
            stamp=self._stamp,
            counts=[state.run, state.iteration],
            figures=[state.objective, state.imbalance, state.least],
            centroids=state.centroids,
            best=best,
        )

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        draft_of(self.path).unlink(missing_ok=True)


def is_readable(folder: Path) -> bool:
    """Say whether there is no checkpoint in a store's folder, or one that is whole."""
    try:
        with zipfile.ZipFile(folder / CHECKPOINT) as file:
            return file.testzip() is None
    except FileNotFoundError:
        return True
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error):
        return False
