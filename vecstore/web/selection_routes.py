"""The HTTP API of what people decide: selections, and clusters changed by hand.

A cluster is split by a job, as k-means is run by one: POST /api/jobs with `within`.
"""

from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from vecstore.results import Clustering, MoveReport, Pin, Selected, SelectionInfo, SelectReport
from vecstore.store import Store
from vecstore.web.filters import MOST_NAME, ClusterRef
from vecstore.web.responses import answer
from vecstore.web.routes import PROBLEMS, ClusterId, Here, K, Strict

# Of one request: what a person marks on a page.
MOST_IMAGES, MOST_CLUSTERS = 10_000, 100

Name = Annotated[str, Path(max_length=MOST_NAME, description="The selection's name.")]
Names: TypeAlias = Annotated[list[Annotated[str, Field(max_length=MOST_NAME)]], Field(max_length=100)]
ManyIds: TypeAlias = Annotated[list[Annotated[int, Field(ge=0, lt=1 << 63)]], Field(max_length=MOST_IMAGES)]


class SelectionChange(Strict):
    """What to put into a selection, or with `remove` to take out, as `vecstore select` says it; images by id."""

    images: ManyIds = []
    remove: bool = False
    union: Names = []
    intersect: Names = []
    minus: Names = []


class SomeImages(Strict):
    """Images, by id."""

    images: ManyIds = Field(min_length=1)


class PinChange(SomeImages):
    """Images to pin, or with `remove` to unpin."""

    remove: bool = False


class Merger(Strict):
    """Clusters to make one of, by id or name; the first keeps both."""

    clusters: list[ClusterRef] = Field(min_length=2, max_length=MOST_CLUSTERS)


api = APIRouter(prefix="/api", responses=PROBLEMS)


@api.get("/selections", response_model=list[SelectionInfo], tags=["selections"])
async def selections(server: Here) -> Response:
    """The selections, by name."""
    return answer(await server.asking.run(Store.selections))


@api.get("/selections/{name:path}", response_model=list[Selected], tags=["selections"])
async def selected(
    server: Here,
    name: Name,
    k: K = 100,
    start: Annotated[int, Query(ge=0, lt=1 << 63, description="How many to pass over.")] = 0,
) -> Response:
    """The images of a selection, by id."""
    return answer(await server.asking.run(lambda store: store.selected(name, k, start=start)))


@api.post("/selections/{name:path}", response_model=SelectReport, tags=["selections"])
async def select(server: Here, name: Name, change: SelectionChange) -> Response:
    """Put images into a selection, which is made if need be, or take them out; or put selections together."""
    asked: dict[str, Any] = dict(vars(change))
    return answer(await server.write(lambda store: store.select(name, *asked.pop("images"), **asked)))


@api.delete("/selections/{name:path}", response_model=SelectReport, tags=["selections"])
async def delete_selection(server: Here, name: Name) -> Response:
    """Delete a selection; its images stay."""
    return answer(await server.write(lambda store: store.delete_selection(name)))


@api.get("/pins", response_model=list[Pin], tags=["clusters"])
async def pins(server: Here) -> Response:
    """The images that are pinned to their cluster."""
    return answer(await server.asking.run(Store.pins))


@api.post("/pins", response_model=list[Pin], tags=["clusters"])
async def change_pins(server: Here, change: PinChange) -> Response:
    """Pin images to the cluster that they are in, or unpin them; the answer is those that are, or were."""
    return answer(await server.write(lambda store: (store.unpin if change.remove else store.pin)(*change.images)))


@api.post("/clusters", response_model=MoveReport, tags=["clusters"])
async def new_cluster(server: Here, chosen: SomeImages) -> Response:
    """Make a new cluster of images, in a clustering of its own."""
    return answer(await server.write(lambda store: store.move(*chosen.images, to="new")))


@api.post("/clusters/merge", response_model=Clustering, tags=["clusters"])
async def merge(server: Here, merger: Merger) -> Response:
    """Make one cluster of several, in a clustering of its own."""
    made = await server.write(lambda store: store.merge_clusters(*merger.clusters))
    runs = await server.asking.run(Store.clusterings)
    return answer(next(run for run in runs if run.clustering == made.clustering))


@api.post("/clusters/{id}/images", response_model=MoveReport, tags=["clusters"])
async def move(server: Here, id: ClusterId, chosen: SomeImages) -> Response:
    """Move images to a cluster; they are pinned there."""
    return answer(await server.write(lambda store: store.move(*chosen.images, to=id)))
