"""The lock of a store: one writer at a time. The operating system releases it when a process dies."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from vecstore.errors import StoreBusy, VecstoreError
from vecstore.storage.layout import LOCK

# How long a writer waits for another one before it gives up, and before it reports that it is waiting.
LOCK_TIMEOUT_SECONDS, SAY_SO_SECONDS = 60.0, 1.0

log = logging.getLogger(__name__)


@contextmanager
def writer_lock(folder: Path, wait: float | None = None) -> Iterator[None]:
    """Hold the lock of the store in a folder.

    Parameters
    ----------
    folder: of the store.
    wait: seconds to wait for another writer; None: a minute.

    Raises
    ------
    StoreBusy: another process held the lock all that time.
    VecstoreError: the folder may not be written to.
    """
    lock = filelock.FileLock(folder / LOCK)
    try:
        _acquire(lock, folder, LOCK_TIMEOUT_SECONDS if wait is None else wait)
    except filelock.Timeout as error:
        raise StoreBusy(
            f"another process is writing to the store {folder}; nothing was done: try again when it has ended"
        ) from error
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise VecstoreError(f"the store {folder} cannot be written to: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: filelock.BaseFileLock, folder: Path, wait: float) -> None:
    try:
        lock.acquire(min(wait, SAY_SO_SECONDS))
    except filelock.Timeout:
        if wait <= SAY_SO_SECONDS:
            raise
        log.warning("another process is writing to the store %s; waiting for it, up to %g s", folder, wait)
        lock.acquire(wait - SAY_SO_SECONDS)
