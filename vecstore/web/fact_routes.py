"""The HTTP API of facts: what is known of images, how many there are of each month or camera, and the odd ones."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from vecstore.results import Group, ImageFacts, Oddity
from vecstore.web.filters import ImageFilters
from vecstore.web.responses import answer
from vecstore.web.routes import MOST_RESULTS, PROBLEMS, Here, Id

facts = APIRouter(prefix="/api", responses=PROBLEMS, tags=["facts"])


class Listing(ImageFilters):
    """Which images to list, and in which order."""

    k: int = Field(100, ge=1, le=MOST_RESULTS)
    sort: Literal["taken", "size", "path"] | None = None


class Odd(ImageFilters):
    """Which odd images to list."""

    k: int = Field(100, ge=1, le=MOST_RESULTS)
    kind: list[Literal["dark", "bright", "blurred", "blank", "tiny", "odd shape"]] = []


@facts.get("/facts", response_model=list[ImageFacts])
async def all_facts(server: Here, asked: Annotated[Listing, Query()]) -> Response:
    """What is known of the images that conditions hold of: what their files say, and what their pixels say."""
    return answer(
        await server.asking.run(lambda store: list(store.all_facts(asked.as_filter(), sort=asked.sort, k=asked.k)))
    )


@facts.get("/images/{id}/facts", response_model=ImageFacts)
async def facts_of(server: Here, id: Id) -> Response:
    """What is known of one image."""
    return answer((await server.asking.run(lambda store: store.facts(id)))[0])


@facts.get("/facts/by/{group}", response_model=list[Group])
async def count_by(
    server: Here,
    group: Literal["folder", "day", "month", "camera", "place", "cluster"],
    asked: Annotated[ImageFilters, Query()],
) -> Response:
    """How many images there are of each folder, day, month, camera, place or cluster."""
    return answer(await server.counting.run(lambda store: store.count_by(group, asked.as_filter())))


@facts.get("/oddities", response_model=list[Oddity])
async def oddities(server: Here, asked: Annotated[Odd, Query()]) -> Response:
    """The dark, bright, blurred, nearly blank, tiny and oddly shaped images, the oddest of each kind first."""
    return answer(
        await server.asking.run(
            lambda store: list(store.oddities(*asked.kind, conditions=asked.as_filter()))[: asked.k]
        )
    )
