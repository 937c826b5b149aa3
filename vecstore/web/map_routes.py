"""The HTTP API of the map as arrays: where a million images lie, and what to colour them by, in a few bytes each.

An answer is a header and its arrays, one after the other: four bytes, little-endian, that say how long the header is,
the header as JSON, padded with spaces to a multiple of four bytes, and the arrays as the header's `arrays` lists them.
Its ETag is a hash of all of it, so a browser that has it is told so in a line.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from numpy.typing import NDArray
from starlette.responses import Response

from vecstore.clustering.trees import Trees
from vecstore.errors import BadInput, NotFound
from vecstore.results import SelectReport
from vecstore.store import Store
from vecstore.views import map_arrays
from vecstore.views.map_arrays import COLOURS, Colouring, MapPositions, MapValues
from vecstore.web.responses import answer
from vecstore.web.routes import ASK_AGAIN, PROBLEMS, Here, Level, Server
from vecstore.web.selection_routes import Name

MEDIA_TYPE = "application/octet-stream"
ARRAYS: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
}
BODY = {"required": True, "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
By = Annotated[Literal[COLOURS], Path(description="What to colour by.")]  # type: ignore[valid-type]
CutInto = Annotated[int | None, Query(ge=1, le=1_000_000, description="Of a tree, cut into so many clusters.")]

map_api = APIRouter(prefix="/api/map", responses=PROBLEMS, tags=["images"])


@map_api.get("/positions", response_class=Response, responses=ARRAYS)
async def positions(server: Here, request: Request) -> Response:
    """Where all images lie that have a place: `ids` (n uint32) and `positions` (n pairs of float32), shuffled.

    Header: `images` of the store, `of` a hash of both, `colours` what `/api/map/values/BY` may be asked for.
    """
    found, colours = await server.counting.run(lambda store: (_positions(server, store), store.map_colours()))
    header = {"images": found.images, "of": _hash(found), "colours": colours}
    return packed(request, header, {"ids": found.ids, "positions": found.positions})


@map_api.get("/values/{by}", response_class=Response, responses=ARRAYS)
async def values(server: Here, request: Request, by: By, level: Level = None, cut: CutInto = None) -> Response:
    """A value of each image of `/api/map/positions`, in the same order, to colour it by: `values` (n uint16).

    Header: `of` as there; `categories`, of which value 1 is the first and 65535 any other, or `least` and `most` of a
    scale from 1 to 65535. 0: an image that has none.
    """
    at, found = await server.counting.run(lambda store: _values(server, store, Colouring(by, level, cut)))
    header = {name: value for name, value in asdict(found).items() if name != "values"}
    return packed(request, {**header, "of": _hash(at)}, {"values": found.values})


@map_api.post("/selections/{name:path}", response_model=SelectReport, openapi_extra={"requestBody": BODY})
async def select(server: Here, request: Request, name: Name) -> Response:
    """Put images into a selection, as `POST /api/selections/NAME` does, by ids of uint32: a lasso can hold many."""
    sent = await request.body()
    if not sent or len(sent) % 4:
        raise BadInput(f"{len(sent):,} bytes are not the ids of images; send four bytes each, little-endian")
    ids = np.frombuffer(sent, "<u4").tolist()
    return answer(await server.write(lambda store: store.select(name, *ids)))


def _positions(server: Server, store: Store) -> MapPositions:
    try:
        return store.map_positions()
    except NotFound:
        if server.jobs.map is None:
            raise
    points = server.jobs.map["points"]  # of a store that could not keep its own
    ids = np.array([point["id"] for point in points], np.uint32)
    at = np.array([(point["x"], point["y"]) for point in points], np.float32)
    return MapPositions(ids, at.reshape(-1, 2), server.jobs.map["images"])


def _values(server: Server, store: Store, asked: Colouring) -> tuple[MapPositions, MapValues]:
    try:
        return store.map_positions_and_values(asked.by, level=asked.level, cut=asked.cut)
    except NotFound:
        at = _positions(server, store)
        with store.session.catalog.reading():
            return at, map_arrays.values_of(store.session, Trees(), asked, at.ids)


def packed(request: Request, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Response:
    """Return a header with arrays, or that the browser has them."""
    kinds = [{"name": name, "type": str(array.dtype), "length": array.size} for name, array in arrays.items()]
    text = json.dumps({**header, "arrays": kinds}).encode("ascii")
    text += b" " * (-len(text) % 4)
    little = (np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for array in arrays.values())
    body = b"".join([len(text).to_bytes(4, "little"), text, *(array.tobytes() for array in little)])
    headers = {"ETag": f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"', "Cache-Control": ASK_AGAIN}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=MEDIA_TYPE, headers=headers)


def _hash(found: MapPositions) -> str:
    digest = hashlib.blake2b(found.ids.tobytes(), digest_size=8)
    digest.update(found.positions.tobytes())
    return digest.hexdigest()
