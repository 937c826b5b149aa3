"""Watches folders: which ones to scan again after changes that the file system reports. Knows no store."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import watchfiles

from vecstore.errors import NotFound
from vecstore.sources.paths import shown
from vecstore.sources.scan import roots_of

# How long after the last of a burst of changes, and at the latest after its first, a burst is passed on.
QUIET_MS, LONGEST_BURST_MS = 200, 1600
# How often the wait for changes is left to see whether to stop.
WAKE_MS = 500


def folders_that_change(
    roots: Sequence[bytes],
    stop: threading.Event | None = None,
    passed_over: Callable[[bytes, bytes], bool] = lambda path, root: False,
) -> Iterator[list[bytes]]:
    """Yield first the roots, then, after each burst of changes, the folders (or files) to scan again.

    Changes that happen while the caller works on one burst come with the next.

    Parameters
    ----------
    roots: folders and files to watch.
    stop: ends the iteration when it is set.
    passed_over: called with a path and its root; returns whether changes there are ignored.

    Raises
    ------
    NotFound: a root is gone or has become empty. Its disk may be unplugged, so the user must confirm it.
    """
    bursts = watchfiles.watch(
        *(os.fsdecode(root) for root in roots),
        watch_filter=None,
        step=QUIET_MS,
        debounce=LONGEST_BURST_MS,
        rust_timeout=WAKE_MS,
        yield_on_timeout=True,
        stop_event=stop,
    )
    next(bursts, None)  # the watch has begun: nothing that happens during the first look is missed
    yield list(roots)
    for burst in bursts:
        if burst:
            require_roots(roots)
            folders = affected_folders(roots, (os.fsencode(path) for _, path in burst), passed_over)
            if folders:
                yield folders


def affected_folders(
    roots: Sequence[bytes],
    changed: Iterable[bytes],
    passed_over: Callable[[bytes, bytes], bool] = lambda path, root: False,
) -> list[bytes]:
    """Return the smallest set of folders and root files whose scan covers every new, changed or deleted file."""
    found = set()
    for path in changed:
        for root in roots:
            is_below = path.startswith(root.rstrip(b"/") + b"/")
            if path == root or (is_below and not passed_over(path, root)):
                folder = os.path.dirname(path)
                # A name that is not UTF-8 is reported misspelt: then its folder, or else the root, is scanned.
                found.add(folder if path != root and os.path.isdir(folder) else root)
    return roots_of((), found)


def require_roots(roots: Iterable[bytes]) -> None:
    """Raise NotFound if a root is gone, or is a folder with nothing in it."""
    for root in roots:
        try:
            there = not os.path.isdir(root) or bool(os.listdir(root))
        except OSError:
            there = False
        if not there or not os.path.lexists(root):
            raise NotFound(
                f"{shown(root)} is gone or has nothing left in it; nothing was forgotten: "
                "if it is gone for good, run `vecstore remove` on it"
            )
