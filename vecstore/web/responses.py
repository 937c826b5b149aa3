"""How answers are written: JSON of the library's own dataclasses, and one line for what went wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vecstore.errors import BadInput, NotFound, StoreBusy, VecstoreError, WeightsUnavailable, WrongEmbedder
from vecstore.json_text import to_json

# By class, the most special first.
STATUS: tuple[tuple[type[VecstoreError], int], ...] = (
    (NotFound, 404),
    (WrongEmbedder, 409),
    (BadInput, 400),
    (StoreBusy, 503),
    (WeightsUnavailable, 503),
    (VecstoreError, 500),
)
RETRY_SECONDS = 5


def answer(result: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a dataclass, or a list of them, as JSON.

    Written here rather than by FastAPI: names that are no UTF-8 go out as `\\udc80`, as on the command line, which
    pydantic refuses, and nothing is checked a second time.
    """
    text = to_json(result, default=_plain, separators=(",", ":"))
    return Response(text, status, headers, "application/json")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return vars(value)
    raise TypeError(f"{type(value).__name__} is no result")


def refusal(error: HTTPException) -> Response:
    return answer({"detail": error.detail}, error.status_code, error.headers)


async def on_http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return refusal(error)


async def on_store_error(_request: Request, error: Exception) -> Response:
    status = next(code for kind, code in STATUS if isinstance(error, kind))
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    return answer({"detail": str(error)}, status, headers)


async def on_invalid(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return answer({"detail": "; ".join(map(_in_words, error.errors()))}, 422)


def _in_words(problem: Mapping[str, Any]) -> str:
    place: Sequence[Any] = problem["loc"][1:] or problem["loc"]
    return f"{'.'.join(map(str, place))}: {problem['msg']}"
