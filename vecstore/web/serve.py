"""Running the server: the socket first, so that whoever starts it is told the address that it has."""

import logging
import socket
from collections.abc import Sequence

import uvicorn

from vecstore.errors import BadInput, VecstoreError
from vecstore.web.app import create_site
from vecstore.web.connections import with_bounded_headers
from vecstore.web.settings import Settings

# More than these at once, and the rest is told to come back.
MOST_CONNECTIONS = 512
SHUTDOWN_SECONDS = 5


def listening_on(settings: Settings, port: int) -> socket.socket:
    """Return a socket bound to the address; port 0: a free one. Raises BadInput, or VecstoreError if it is taken."""
    try:
        found = socket.getaddrinfo(settings.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise BadInput(
            f"{settings.host} is no address: {error.strerror}; name one of this machine, or 0.0.0.0"
        ) from error
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise VecstoreError(
            f"{settings.host} port {port} cannot be used: {error.strerror}; choose another --port (0: any free one)"
        ) from error
    bound.listen()  # whoever reads the address may connect at once
    return bound


def url(settings: Settings, listening: socket.socket) -> str:
    """Return the address of the page."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}{settings.root_path}/"


def serve(stores: Sequence[Settings], listening: socket.socket) -> None:
    """Serve stores until Ctrl-C or SIGTERM; running jobs commit what they have done."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        create_site(stores),
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    config.load()
    config.http_protocol_class = with_bounded_headers(config.http_protocol_class)
    uvicorn.Server(config).run(sockets=[listening])
