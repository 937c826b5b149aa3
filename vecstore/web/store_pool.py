"""Threads that have the store open, so that no request waits for it to be opened.

SQLite's connections belong to the thread that made them, so every thread has a store of its own. A store reads how many
rows there are each time it is asked, so what another process commits is in the next answer. One that was put in the
place of another, or that its first add has just made, is opened when it is asked for.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from vecstore.storage.layout import CATALOG
from vecstore.store import Store
from vecstore.web.settings import Settings

T = TypeVar("T")

# Whoever asked over HTTP is told of another writer rather than kept waiting.
WAIT_SECONDS = 3.0


class StorePool:
    """So many threads, each with the store open."""

    def __init__(self, settings: Settings, threads: int, name: str) -> None:
        self._settings = settings
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, name)
        self._own = threading.local()

    async def run(self, function: Callable[[Store], T]) -> T:
        """Return what the function makes of an open store, called on one of the threads.

        Raises what the function does, and what `Store.open` does: NotFound while there is no store.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(self._store()))

    def close(self) -> None:
        """Close every thread's store, on its thread, and end the threads."""
        together = threading.Barrier(self._threads)
        for _ in range(self._threads):
            self._executor.submit(self._close_on_thread, together)
        self._executor.shutdown()

    def _store(self) -> Store:
        found = identity(self._settings.folder)
        if getattr(self._own, "identity", None) != found or found is None:
            self._let_go()
            self._own.store = self._settings.open(wait=WAIT_SECONDS)
            self._own.identity = found
        store: Store = self._own.store
        return store

    def _let_go(self) -> None:
        store = getattr(self._own, "store", None)
        self._own.identity = self._own.store = None
        if store is not None:
            store.close()

    def _close_on_thread(self, together: threading.Barrier) -> None:
        try:
            self._let_go()
        finally:
            together.wait()  # each thread takes one of these and no other, also one that is still answering


def identity(folder: Path) -> tuple[int, int] | None:
    """Return what tells a store from another in its place, None where there is none."""
    try:
        state = os.stat(folder / CATALOG)
    except OSError:
        return None
    return state.st_dev, state.st_ino
