"""Long work that another thread may call off."""

import threading


class Stopped(Exception):
    """The work was called off; what was there before is still there."""


def go_on(stop: threading.Event | None) -> None:
    """Raise Stopped if the work is called off."""
    if stop is not None and stop.is_set():
        raise Stopped
