"""The HTTP API: each route is one call of the library, with the same names and the same results as `--json`."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vecstore.defaults import MINUS_WEIGHT
from vecstore.errors import BadInput, NotFound, StoreBusy, WeightsUnavailable
from vecstore.results import (
    Cluster,
    Clustering,
    ClusteringCost,
    Cut,
    Explanation,
    Facets,
    Failure,
    Found,
    Group,
    Info,
    Member,
    Membership,
    Neighbour,
    NewFiles,
    Page,
    RemoveReport,
    StoredImage,
    StoreMap,
    Tag,
    TreeNode,
)
from vecstore.search.filters import Filter
from vecstore.sources.decoding import Encoded
from vecstore.sources.paths import absolute
from vecstore.store import Store
from vecstore.views import map_layout, palette
from vecstore.views.thumbnails import MEDIA_TYPE
from vecstore.web.filters import MOST_NAME, ImageFilters
from vecstore.web.jobs import Job, Jobs
from vecstore.web.metrics import Metrics
from vecstore.web.responses import answer
from vecstore.web.security import Token
from vecstore.web.settings import Settings, is_within
from vecstore.web.store_pool import StorePool, identity
from vecstore.words.own_words import MOST_WORDS

T = TypeVar("T")

MOST_RESULTS = 10_000
# Of a folder that is named to be added: how long its files are counted before it is said what was found until then.
COUNT_SECONDS = 4.0
MOST_PICTURES = 20
# Pictures that are received at once.
MOST_UPLOADS = 4
COOKIE_SECONDS = 90 * 24 * 3600
# An id never stands for another picture, but another store can be served at the same address: `v` tells them apart.
FOREVER, ASK_AGAIN = "private, max-age=31536000, immutable", "private, no-cache"

Id = Annotated[int, Path(ge=0, lt=1 << 63, description="A stored image's id, 12 for `@12`.")]
ClusterId = Annotated[int, Path(ge=0, lt=1 << 63, description="A cluster's id.")]
Ids: TypeAlias = Annotated[list[Annotated[int, Field(ge=0, lt=1 << 63)]], Field(max_length=100)]
In = Annotated[str | None, Query(max_length=MOST_NAME, description="Only images of this selection.")]
NotIn = Annotated[str | None, Query(max_length=MOST_NAME, description="No images of this selection.")]
Texts: TypeAlias = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=10)]
K = Annotated[int, Query(ge=1, le=MOST_RESULTS, description="How many at the most.")]


class Strict(BaseModel):
    """A body; a key that is not known is a mistake, and told."""

    model_config = ConfigDict(extra="forbid")


class Filters(ImageFilters):
    """Which images may be found, as the options of `vecstore find` say it."""

    k: int = Field(10, ge=1, le=MOST_RESULTS)
    min_score: float | None = Field(None, ge=-1, le=1)
    sort: Literal["score", "taken", "size", "path"] | None = None


class Conditions(Filters):
    """Which images may be found, as the options of `vecstore similar` say it."""

    exact: bool = False


class Listed(ImageFilters):
    """Which images a list has, and in which order, as `Store.browse` takes it."""

    word: str | None = Field(None, max_length=200)


class Ordered(Listed):
    """A list in an order, and in groups."""

    order: Literal["newest", "oldest", "taken", "size", "path", "typical", "odd"] = "newest"
    group: Literal["day", "month", "folder", "camera", "place", "cluster"] | None = None


class PartOfList(Ordered):
    """A part of a list, by the position of its first image."""

    start: int = Field(0, ge=0, lt=1 << 62)
    k: int = Field(100, ge=1, le=1_000)

    @property
    def is_at_hand(self) -> bool:
        """Whether it takes no list to be made."""
        asked = self.model_dump(exclude={"start", "k", "order"}, exclude_none=True)
        return not asked and self.order in ("newest", "oldest")


class Faceted(Listed):
    """What to count. under: the folder whose folders are counted; by default the deepest that has all images."""

    under: str | None = Field(None, min_length=1, max_length=4096)


class Words(Filters):
    """What pictures show, and which images may be found, as the options of `vecstore find` say it."""

    q: str = Field(min_length=1, max_length=200)
    prompts: Texts = []


class Examples(Conditions):
    """Images, by id, and words to look like, and to look away from; at least one to look like.

    minus_weight: what is looked away from counts so much, beside 1 of the rest.
    """

    images: Ids = []
    minus: Ids = []
    words: Texts = []
    minus_words: Texts = []
    minus_weight: float = Field(MINUS_WEIGHT, ge=0, le=1)
    prompts: Texts = []


class UploadConditions(Examples):
    """More examples beside the picture that is sent. sizes: the bytes of each, if several are sent one behind the
    other."""

    sizes: Annotated[list[Annotated[int, Field(ge=1, lt=1 << 40)]], Field(max_length=MOST_PICTURES)] = []


class WantedPaths(Strict):
    """Pictures and folders of the server's machine."""

    paths: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field(min_length=1, max_length=100)


class Chosen(Strict):
    """Images, by id."""

    images: list[Annotated[int, Field(ge=0, lt=1 << 63)]] = Field(min_length=1, max_length=10_000)


class NewName(Strict):
    """name: "" takes the name away."""

    name: str = Field(max_length=200)


class TokenShown(Strict):
    token: str = Field(max_length=1024)


class AddWork(Strict):
    """Add pictures and folders of the server's machine; sync: also forget what is gone from them."""

    kind: Literal["add", "sync"]
    paths: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field(min_length=1, max_length=100)


class RetryWork(Strict):
    """Try the files again that could not be added."""

    kind: Literal["retry"]


class Way(Strict):
    """How to cluster, as the options of `vecstore cluster` say it."""

    k: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["auto"] | None = None
    method: Literal["kmeans", "hdbscan", "agglomerative", "meanshift", "leiden"] = "kmeans"
    graph: bool = False
    whiten: bool = False
    pca: int | None = Field(None, ge=1, le=100_000)


class CostAsked(Way):
    """tree: the numbers of clusters in each level, such as 20,400, or auto."""

    tree: str | None = Field(None, max_length=100, pattern=r"^(auto|[0-9]{1,8}(,[0-9]{1,8}){0,9})$")


# Names of one's own that clusters are to get by the images' words; None: those that the embedder knows.
OwnNames: TypeAlias = (
    Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1, max_length=MOST_WORDS)]
    | None
)


class ClusterWork(Way):
    """Cluster all images, as `vecstore cluster` does."""

    kind: Literal["cluster"]
    min_size: int | None = Field(None, ge=1, lt=1 << 31)
    resolution: float | None = Field(None, gt=0, le=1e6)
    bandwidth: float | None = Field(None, gt=0, le=1e6)
    tree: Annotated[list[Annotated[int, Field(ge=1, le=10_000_000)]], Field(max_length=10)] | Literal["auto"] | None = (
        None
    )
    name_by_words: bool = False
    words: OwnNames = None
    seed: int = Field(0, ge=0, lt=1 << 63)
    restarts: int | None = Field(None, ge=1, lt=1 << 31)
    warm_start: bool = False
    within: int | None = Field(None, ge=0, lt=1 << 63)


class MapWork(Strict):
    """Bring the map up to date; GET /api/map has it then."""

    kind: Literal["map"]


class CompareWork(Strict):
    """Compare the images that were not compared yet; GET /api/duplicates has what is found."""

    kind: Literal["duplicates"]


class NamesWork(Strict):
    """Suggest names for clusters, and the nodes above them, by the images' words, or by such of one's own."""

    kind: Literal["names"]
    words: OwnNames = None


Work: TypeAlias = Annotated[
    AddWork | RetryWork | ClusterWork | MapWork | CompareWork | NamesWork, Body(discriminator="kind")
]


@dataclass(frozen=True)
class State:
    """What changes when others write to the store. store: tells it from another one at the same address.

    images: how many there are. newest: the newest one's id, None in an empty store. clustering: the current one.
    map: whether one was drawn. map_version: differs after it was drawn again, by whichever program. jobs: those that
    wait or run. failures: files that could not be added. changes: differs after everything that can be undone, and
    after undoing it. read_only: nothing can be changed through this server. uploads: pictures can be sent to it, to be
    kept and added.
    """

    store: str
    images: int
    newest: int | None
    clustering: int | None
    map: bool
    jobs: int
    failures: int
    changes: str
    map_version: str = ""
    read_only: bool = False
    uploads: bool = False


@dataclass(frozen=True)
class Palette:
    """How clusters are marked: cluster c has colour c modulo their number and, where colours end, the next shape.

    polygons: (x, y) from -1 to 1, y downwards, of every shape but the circle, whose radius is `circle`.
    """

    colours: tuple[str, ...]
    shapes: tuple[str, ...]
    polygons: Mapping[str, tuple[tuple[float, ...], ...]]
    circle: float


@dataclass(frozen=True)
class ServedStore:
    """A store of this server. url: where its page is, on this server. current: whether it is the one that was asked."""

    name: str
    url: str
    current: bool


@dataclass
class Server:
    """What the routes have in common."""

    settings: Settings
    token: Token
    asking: StorePool
    looking: StorePool
    counting: StorePool
    listing: StorePool
    embedding: StorePool
    writing: StorePool
    jobs: Jobs
    metrics: Metrics
    # The names of the stores that one server has, and this one's.
    names: tuple[str, ...] = ()
    name: str = ""
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_UPLOADS))

    async def write(self, function: Callable[[Store], T]) -> T:
        if self.jobs.is_working:
            raise StoreBusy("a job is writing to the store; try again when it has ended (GET /api/jobs)")
        return await self.writing.run(function)


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


Here = Annotated[Server, Depends(_server)]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in {
        400: "It cannot be done as asked.",
        401: "The token is missing or wrong.",
        403: "Another site's page asked, or it is not allowed.",
        404: "There is no such thing.",
        408: "The body came too slowly.",
        409: "The store was made with another embedder.",
        413: "The body is too large.",
        415: "A kind of body that is not taken.",
        421: "Called by a name that is not the server's.",
        422: "What was sent has not the right form.",
        503: "The store is being written to, or weights are not to be had; try again.",
    }.items()
}
PICTURE: dict[str, Any] = {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}
api = APIRouter(prefix="/api", responses=PROBLEMS)


# Asking


@api.get("/info", response_model=Info, tags=["store"])
async def info(server: Here) -> Response:
    """What the store is: sizes, embedder, index, clusters and drift."""
    return answer(await server.asking.run(Store.info))


@api.get("/stores", response_model=list[ServedStore], tags=["server"])
async def stores(server: Here) -> Response:
    """The stores that this server has, and where the page of each is."""
    root = server.settings.root_path
    return answer([ServedStore(name, f"{root}/s/{quote(name)}/", name == server.name) for name in server.names])


@api.get("/state", response_model=State, tags=["store"])
async def state(server: Here) -> Response:
    """What changes when others write to the store: cheap, to be asked again and again."""
    waiting = sum(not job.is_over for job in server.jobs.all())
    try:
        found = await server.asking.run(partial(_state, server.jobs.map is not None, waiting))
    except NotFound:  # no store yet, but jobs can be there: one of them may be making it
        found = State("", 0, None, None, False, waiting, 0, "")
    settings = server.settings
    return answer(replace(found, read_only=settings.read_only, uploads=settings.uploads is not None))


def _state(has_map: bool, jobs: int, store: Store) -> State:
    newest = store.images(1)
    return State(
        store="-".join(map(str, identity(store.path) or ())),
        images=store.session.catalog.images.count(),
        newest=newest[0].id if newest else None,
        clustering=store.session.catalog.clusterings.current(),
        map=has_map or map_layout.has_stored_map(store.session),
        jobs=jobs,
        failures=store.session.catalog.failures.count(),
        changes=store.session.catalog.operations.state(),
        map_version="-".join(map(str, map_layout.version_of_map(store.session))),
    )


@api.get("/failures", response_model=list[Failure], tags=["store"])
async def failures(server: Here) -> Response:
    """The files that could not be added, and why."""
    return answer(await server.asking.run(Store.failures))


@api.get("/images", response_model=list[StoredImage], tags=["images"])
async def images(
    server: Here,
    k: K = 100,
    before: Annotated[
        int | None, Query(ge=0, lt=1 << 63, description="Only lower ids: the last one of the page before.")
    ] = None,
) -> Response:
    """The images that were added last, the newest first."""
    return answer(await server.asking.run(lambda store: store.images(k, before=before)))


@api.get("/browse", response_model=Page, tags=["images"])
async def browse(server: Here, part: Annotated[PartOfList, Query()]) -> Response:
    """A part of a list of images by position, with the total: of all, or under conditions, in any order."""
    stores = server.asking if part.is_at_hand else server.listing
    return answer(await stores.run(lambda store: store.browse(**vars(part))))


@api.get("/sections", response_model=list[Group], tags=["images"])
async def sections(server: Here, listed: Annotated[Ordered, Query()]) -> Response:
    """The groups of a list in its order, with how many images each has; so each begins where those before it end."""
    return answer(await server.listing.run(lambda store: store.sections(**vars(listed))))


@api.get("/facets", response_model=Facets, tags=["images"])
async def facets(server: Here, listed: Annotated[Faceted, Query()]) -> Response:
    """The folders, clusters, words, months, cameras and places of a list of images, with counts."""
    return answer(await server.counting.run(lambda store: store.facets(**vars(listed))))


@api.get("/palette", response_model=Palette, tags=["clusters"])
async def palette_() -> Response:
    """The colours and shapes of clusters: those of drawn maps and the report."""
    return answer(Palette(palette.COLOURS, palette.SHAPES, palette.POLYGONS, palette.CIRCLE_RADIUS))


@api.get("/images/{id}", response_model=StoredImage, tags=["images"])
async def image(server: Here, id: Id) -> Response:
    """One image: all its paths, its size, its cluster."""
    return answer(await server.asking.run(lambda store: store.image(id)))


@api.get("/images/{id}/words", response_model=list[Tag], tags=["images"])
async def words_of(server: Here, id: Id) -> Response:
    """The best classes of a stored image; none where the store's embedder knows no words."""
    return answer(await server.asking.run(partial(_words_of, id=id)))


def _words_of(store: Store, id: int) -> tuple[Tag, ...]:
    store.image(id)  # raises for one that is not there
    try:
        return store.tag(id)[0].tags
    except (BadInput, WeightsUnavailable):
        return ()


@api.get("/images/{id}/similar", response_model=list[Neighbour], tags=["search"])
async def similar(server: Here, id: Id, conditions: Annotated[Conditions, Query()]) -> Response:
    """The stored images nearest to a stored one, which comes first itself."""
    return answer(await server.asking.run(lambda store: store.similar(id, **vars(conditions))))


@api.get("/find", response_model=list[Found], tags=["search"])
async def find(server: Here, words: Annotated[Words, Query()]) -> Response:
    """The stored images that most probably show what words say: names of classes and of kinds of them, as `dog`.

    An embedder without words, and a word that it does not know, are answered by 400 and what it does know.
    """
    asked = dict(vars(words))
    return answer(await server.asking.run(lambda store: store.find(asked.pop("q"), **asked)))


@api.post("/similar", response_model=list[Neighbour], tags=["search"])
async def similar_to_several(server: Here, examples: Examples) -> Response:
    """The stored images nearest to the mean of several examples, less a quarter of the mean of others."""
    asked = dict(vars(examples))
    return answer(await server.asking.run(lambda store: store.similar(*asked.pop("images"), **asked)))


@api.post(
    "/similar/upload",
    response_model=list[Neighbour],
    tags=["search"],
    openapi_extra={"requestBody": {"required": True, **PICTURE}},
)
async def similar_to_upload(
    server: Here, request: Request, conditions: Annotated[UploadConditions, Query()]
) -> Response:
    """The stored images nearest to the picture that is the body.

    `curl --data-binary @cat.jpg -H Content-Type:image/jpeg` sends it so. It is embedded and forgotten; a stored one is
    found by its content, and comes first itself. Several, one behind the other with `sizes`, are searched by together.
    """
    asked = dict(vars(conditions))
    images, sizes = asked.pop("images"), asked.pop("sizes")

    def similar_to(store: Store, sent: Encoded) -> list[Neighbour]:
        return store.similar(*_parts(sent, sizes), *images, **asked)

    return answer(await _of_upload(server, request, similar_to))


def _parts(sent: Encoded, sizes: list[int]) -> list[Encoded]:
    """Return the pictures that were sent one behind the other. Raises BadInput if their sizes are not these."""
    if not sizes:
        return [sent]
    if sum(sizes) != len(sent.data):
        raise BadInput(f"the sizes add up to {sum(sizes):,} bytes, and {len(sent.data):,} were sent; name those of all")
    ends = list(itertools.accumulate(sizes))
    return [Encoded(sent.data[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


@api.post(
    "/which/upload",
    response_model=Membership,
    tags=["clusters"],
    openapi_extra={"requestBody": {"required": True, **PICTURE}},
)
async def which_upload(server: Here, request: Request) -> Response:
    """The cluster that the picture in the body belongs to; it is embedded and assigned, not added."""
    return answer(await _of_upload(server, request, lambda store, sent: store.which(sent)[0]))


async def _of_upload(server: Server, request: Request, function: Callable[[Store, Encoded], T]) -> T:
    """Return what the function makes of the picture in the body; only so many are in memory at once.

    Raises HTTPException for one that is too large, or does not come in time.
    """
    most, declared = server.settings.max_upload_bytes, request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:  # not even begun
        raise HTTPException(413, f"the picture is larger than the limit of {most:,} bytes")
    async with server.uploads:
        sent = Encoded(await request.body())
        return await server.embedding.run(lambda store: function(store, sent))


@api.get("/images/{id}/cluster", response_model=Membership, tags=["clusters"])
async def which(server: Here, id: Id) -> Response:
    """The cluster that a stored image belongs to."""
    return answer((await server.asking.run(lambda store: store.which(id)))[0])


Level = Annotated[int | None, Query(ge=1, le=1_000, description="Of a tree, the nodes of this level; 1 is the top.")]
Parent = Annotated[int | None, Query(ge=0, lt=1 << 63, description="Of a tree, what is below this node.")]


@api.get("/clusters", response_model=list[Cluster] | list[TreeNode], tags=["clusters"])
async def clusters(server: Here, level: Level = None, parent: Parent = None) -> Response:
    """The clusters of the current clustering, largest first; with level or parent the nodes of its tree."""
    if level is None and parent is None:
        return answer(await server.asking.run(Store.clusters))
    return answer(await server.asking.run(lambda store: store.tree(level, below=parent)))


@dataclass(frozen=True)
class TreeLevels:
    """levels: how many nodes with images each level of the tree has, the top first; none if there is no tree."""

    levels: tuple[int, ...]


@api.get("/tree", response_model=TreeLevels, tags=["clusters"])
async def tree_levels(server: Here) -> Response:
    """How deep the current clustering's tree is, and how many nodes each level has."""
    return answer(TreeLevels(await server.asking.run(Store.tree_levels)))


@api.get("/clusters/cut", response_model=list[Cut], tags=["clusters"])
async def cut(server: Here, k: Annotated[int, Query(ge=1, le=1_000_000)]) -> Response:
    """The k clusters that the tree is cut into, largest first; nothing is trained, and nothing changes."""
    return answer(await server.asking.run(lambda store: store.cut_tree(k)))


@api.get("/clusters/{id}/path", response_model=list[TreeNode], tags=["clusters"])
async def tree_path(server: Here, id: ClusterId) -> Response:
    """The way from the top of the tree down to a cluster or node."""
    return answer(await server.asking.run(lambda store: store.tree_path(id)))


@api.get("/clusters/{id}/explanation", response_model=Explanation, tags=["clusters"])
async def explain(
    server: Here,
    id: ClusterId,
    images: Annotated[int, Query(ge=0, le=100, description="At the boundary to each neighbour.")] = 5,
    samples: Annotated[int, Query(ge=0, le=50, description="How often it is trained again.")] = 10,
) -> Response:
    """What separates a cluster from its nearest neighbours, how firm it is, and which images may leave it."""
    return answer(await server.asking.run(lambda store: store.explain(id, images=images, samples=samples)))


@api.get("/clusters/{id}/members", response_model=list[Member], tags=["clusters"])
async def members(
    server: Here,
    id: ClusterId,
    k: K = 100,
    start: Annotated[int, Query(ge=0, lt=1 << 63, description="How many to pass over.")] = 0,
    farthest: Annotated[bool, Query(description="The odd ones first.")] = False,
    in_selection: In = None,
    not_in_selection: NotIn = None,
) -> Response:
    """A cluster's images, most typical first."""
    chosen = Filter(in_selection=in_selection, not_in_selection=not_in_selection)
    asked = server.asking.run(lambda store: store.members(id, k, farthest=farthest, start=start, conditions=chosen))
    return answer(await asked)


@api.get("/outliers", response_model=list[Member], tags=["clusters"])
async def outliers(server: Here, k: K = 100, in_selection: In = None, not_in_selection: NotIn = None) -> Response:
    """The images that are farthest from every centroid, these first."""
    chosen = Filter(in_selection=in_selection, not_in_selection=not_in_selection)
    return answer(await server.asking.run(lambda store: store.outliers(k, conditions=chosen)))


@api.get("/clusterings", response_model=list[Clustering], tags=["clusters"])
async def clusterings(server: Here) -> Response:
    """All clusterings that were made, the first first."""
    return answer(await server.asking.run(Store.clusterings))


@api.get("/clusterings/cost", response_model=ClusteringCost, tags=["clusters"])
async def clustering_cost(server: Here, way: Annotated[CostAsked, Query()]) -> Response:
    """About what a clustering takes on two cores: a job of this kind can be started after it was seen."""
    asked = vars(way).copy()
    tree = asked.pop("tree")
    levels = tree if tree in (None, "auto") else [int(n) for n in tree.split(",")]
    return answer(await server.asking.run(lambda store: store.cluster_cost(tree=levels, **asked)))


# Looking


@api.get("/map", response_model=StoreMap, tags=["images"])
async def map_(server: Here) -> Response:
    """Where every image lies on a plane, near those it is like, with the cluster that it is in now."""
    kept: StoreMap | dict[str, Any] | None = await server.asking.run(lambda store: map_layout.stored_map(store.session))
    kept = kept or server.jobs.map  # of a store that could not keep its own
    if kept is None:
        raise NotFound('there is no map yet; POST /api/jobs {"kind": "map"} draws one')
    return answer(kept)


@api.get("/images/{id}/thumbnail", response_class=Response, responses={200: PICTURE}, tags=["images"])
async def thumbnail(
    server: Here, request: Request, id: Id, v: str = "", size: Literal["small", "large"] = "small"
) -> Response:
    """A WebP of at most 320 pixels on the longer side, upright; large: of at most 960.

    v: anything; with it, browsers need not ask again.
    """
    known = request.headers.get("if-none-match", "")
    tag, data = await server.looking.run(partial(_thumbnail, id=id, size=size, known=known))
    headers = {"ETag": tag, "Cache-Control": FOREVER if v else ASK_AGAIN}
    return Response(status_code=304, headers=headers) if data is None else Response(data, 200, headers, MEDIA_TYPE)


@api.get("/images/{id}/original", response_class=Response, responses={200: PICTURE}, tags=["images"])
async def original(server: Here, id: Id) -> Response:
    """The picture itself, as long as its file still holds it; formats that no browser shows come as a JPEG."""
    found = await server.looking.run(lambda store: store.original(id))
    headers = {
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(found.name, safe='')}",
        # Opened by itself it is a document: one that may do nothing at all.
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "Cache-Control": ASK_AGAIN,
    }
    return Response(found.data, media_type=found.media_type, headers=headers)


def _thumbnail(store: Store, id: int, size: str, known: str) -> tuple[str, bytes | None]:
    """Return a thumbnail's tag, and the thumbnail itself unless its tag is among the known ones."""
    tag = f'"{_sha256(store, id).hex()}-{size}"'
    try:
        return tag, None if tag in known else store.thumbnail(id, size)
    except BadInput as error:  # what was asked is right; the file is what has become another
        raise NotFound(str(error)) from error


def _sha256(store: Store, id: int) -> bytes:
    if not store.session.catalog.images.is_alive(id):
        store.image(id)  # raises, and says what there is
    return store.session.catalog.images.sha256_of(id) or b""


# Writing


@api.delete("/images/{id}", response_model=RemoveReport, tags=["images"])
async def remove(server: Here, id: Id) -> Response:
    """Forget an image with all its paths; the files stay where they are."""
    return answer(await server.write(lambda store: store.remove(id)))


@api.post("/remove", response_model=RemoveReport, tags=["images"])
async def remove_several(server: Here, chosen: Chosen) -> Response:
    """Forget several images with all their paths, all or none; the files stay where they are."""
    return answer(await server.write(lambda store: store.remove(*chosen.images)))


@api.patch("/clusters/{id}", response_model=Cluster | TreeNode, tags=["clusters"])
async def name_cluster(server: Here, id: ClusterId, new: NewName) -> Response:
    """Name a cluster. It keeps the name as long as it keeps its id, also through new clusterings.

    Naming it again as it is called says that a doubtful name is true.
    """
    return answer(await server.write(lambda store: store.name_cluster(id, new.name)))


@api.post("/clusterings/{number}/use", response_model=Clustering, tags=["clusters"])
async def use_clustering(server: Here, number: Annotated[int, Path(ge=1, lt=1 << 63)]) -> Response:
    """Go back to an earlier clustering."""
    await server.write(lambda store: store.use_clustering(number))
    runs = await server.asking.run(Store.clusterings)
    return answer(next(run for run in runs if run.clustering == number))


# Jobs


@api.post("/preview", response_model=NewFiles, tags=["jobs"])
async def preview(server: Here, wanted: WantedPaths) -> Response:
    """How many files an add would look at, and how many of them are new: counted for some seconds, and nothing read."""
    for path in wanted.paths:
        require_allowed(server.settings, path)
    count = partial(_count_new, paths=wanted.paths)
    try:
        return answer(await server.looking.run(count))
    except NotFound:
        if identity(server.settings.folder) is not None:  # it is a path that is not there
            raise
    return answer(await asyncio.to_thread(_count_for_new_store, server.settings, count))


def _count_new(store: Store, paths: list[str]) -> NewFiles:
    return store.count_new(*paths, seconds=COUNT_SECONDS)


def _count_for_new_store(settings: Settings, count: Callable[[Store], NewFiles]) -> NewFiles:
    with settings.open(create=True) as store:  # which is made by its first add alone
        return count(store)


@api.get("/jobs", response_model=list[Job], tags=["jobs"])
async def jobs(server: Here) -> Response:
    """The jobs of this server, the newest first."""
    return answer(server.jobs.all())


@api.post("/jobs", response_model=Job, status_code=202, tags=["jobs"])
async def start_job(server: Here, request: Request, work: Work) -> Response:
    """Add pictures, or run k-means, in the background, one job after the other; its own address says how far it is."""
    if isinstance(work, AddWork):
        for path in work.paths:
            require_allowed(server.settings, path)
    job = server.jobs.start(work.model_dump())
    return answer(job, 202, {"Location": f"{request.scope.get('root_path', '')}/api/jobs/{job.id}"})


@api.get("/jobs/{number}", response_model=Job, tags=["jobs"])
async def job(server: Here, number: Annotated[int, Path(ge=1)]) -> Response:
    """How far a job is, and in the end its result."""
    return answer(server.jobs.get(number))


@api.delete("/jobs/{number}", response_model=Job, tags=["jobs"])
async def cancel_job(server: Here, number: Annotated[int, Path(ge=1)]) -> Response:
    """Call a job off. One that runs commits what it has done; ask for it again to see it end."""
    return answer(server.jobs.cancel(number))


def require_allowed(settings: Settings, path: str) -> None:
    """Raise HTTPException unless files at this path may be read, and acted on; links are followed first."""
    if "\0" in path:
        raise BadInput("a path cannot hold a NUL character; name a file or a folder of the server's machine")
    if settings.roots is None:
        return
    if is_within(absolute(path), settings.roots):
        return
    raise HTTPException(403, "only files in the folders that the server was started with (--root) may be used")


# Logging in


@api.post("/login", status_code=204, tags=["token"])
async def login(server: Here, request: Request, shown: TokenShown) -> Response:
    """Exchange the token for a cookie, for browsers."""
    if not server.token.is_token(shown.token):
        raise HTTPException(401, "the token is wrong", {"WWW-Authenticate": "Bearer"})
    done = Response(status_code=204)
    if server.token.is_needed:
        done.set_cookie(
            server.token.cookie_name,
            server.token.cookie_value,
            max_age=COOKIE_SECONDS,
            path=server.settings.root_path or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
    return done


@api.post("/logout", status_code=204, tags=["token"])
async def logout(server: Here) -> Response:
    """Take the cookie back."""
    done = Response(status_code=204)
    done.delete_cookie(
        server.token.cookie_name, path=server.settings.root_path or "/", httponly=True, samesite="strict"
    )
    return done
