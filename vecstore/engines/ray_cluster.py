"""Ray: a connection to a cluster of machines, and the errors of having none."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

from vecstore.errors import BadInput, VecstoreError

CONNECT_SECONDS = 10.0


@contextlib.contextmanager
def connected(address: str, device: str) -> Iterator[Any]:
    """Yield the module `ray`, connected to a cluster: "HOST:PORT", "auto", or "local" for one on this machine.

    device: that workers are asked to work on. A connection that is there already is used and left. Raises BadInput
    without Ray, and for one GPU by its number, VecstoreError where no cluster answers.
    """
    if ":" in device:
        raise BadInput(
            f"--device {device} is one GPU of this machine, and with --ray each worker takes the one that Ray gives "
            "it; use --device cuda"
        )
    # Ray reports its usage by default; nothing may leave the machine.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # stderr is for what a person is to know
    try:
        import ray
    except ImportError as error:
        raise BadInput("--ray needs Ray, which is not installed; `pip install 'vecstore[ray]'` brings it") from error
    logging.getLogger("ray").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield ray
        return
    try:
        _require_listener(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise VecstoreError(
            f"no Ray cluster answers at {address} ({_first_line(error)}); start one with `ray start --head`, or name "
            "another with --ray HOST:PORT"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Raise OSError where nothing listens at HOST:PORT: Ray itself would try for a minute and more."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.rpartition("/")[2].strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
