"""How long a connection may take to ask for something: uvicorn waits for ever for the rest of a request's headers.

A client that sends a byte of them now and then would keep one of the connections that others wait for. Bodies have
their own bound, in `security.py`, and a connection that is kept after an answer has uvicorn's `timeout_keep_alive`.
"""

import asyncio
from typing import Any

# All headers have to come within these seconds, of the connection or of their first byte on one that was kept.
HEADER_SECONDS = 30
DETAIL = b'{"detail":"the headers did not come in time"}'
TOO_LATE = b"\r\n".join(
    (
        *(b"HTTP/1.1 408 Request Timeout", b"connection: close", b"content-type: application/json"),
        *(b"content-length: %d" % len(DETAIL), b"", DETAIL),
    )
)


class BoundedHeaders(asyncio.Protocol):
    """Mixed into one of uvicorn's protocols, all of which keep the request that is being answered in `cycle`."""

    cycle: Any
    transport: asyncio.Transport
    _limit: asyncio.TimerHandle | None = None
    _was_sent_something = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._start_waiting()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._was_sent_something = True
        is_being_answered = self.cycle is not None and not self.cycle.response_complete
        if is_being_answered:
            self._stop_waiting()
        elif self._limit is None:
            self._start_waiting()

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(error)

    def _start_waiting(self) -> None:
        self._limit = asyncio.get_running_loop().call_later(HEADER_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        if self._was_sent_something:  # browsers connect in advance, and expect no answer to nothing
            self.transport.write(TOO_LATE)
        self.transport.close()


def with_bounded_headers(protocol: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
    """Return one of uvicorn's protocols for HTTP/1.1 that waits no longer for headers than it may."""
    return type(f"BoundedHeaders{protocol.__name__}", (BoundedHeaders, protocol), {})
