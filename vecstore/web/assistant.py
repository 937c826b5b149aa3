"""Tools for assistants (Model Context Protocol): the library's own calls, over standard input and output.

Reading tools alone, unless writing was allowed when the server was started. Answers are JSON with the fields of
`--json`, thumbnails are pictures. The SDK is the extra `vecstore[mcp]`; importing this module needs it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, TypeVar

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field, StrictInt, ValidationError

from vecstore.errors import VecstoreError
from vecstore.json_text import to_json
from vecstore.results import Operation
from vecstore.search.filters import Filter
from vecstore.store import Store
from vecstore.version import __version__
from vecstore.web.settings import Settings
from vecstore.web.store_pool import StorePool

T = TypeVar("T")

# More than this many results fill an assistant's memory, and more thumbnails cost more than they show.
MOST_RESULTS, MOST_THUMBNAILS = 200, 20
INSTRUCTIONS = (
    "A store of pictures, each with an id such as @12. Look for pictures by words (find) or by a picture (similar), "
    "read what is known of them (facts), look at them (thumbnails). Clusters are groups of similar pictures. "
    "A file is named by its path on the machine of the store."
)

# Answers name clusters and pictures by numbers, so numbers are taken as well, but not True for 1.
Cluster = Annotated[StrictInt | str, Field(description="Its id or its name.")]
K = Annotated[int, Field(ge=1, le=MOST_RESULTS, description="How many at the most.")]
Images = Annotated[
    list[StrictInt | str],
    Field(min_length=1, max_length=MOST_RESULTS, description="Stored ids such as @12, or paths of files."),
]
Shown = Annotated[
    list[StrictInt | str], Field(min_length=1, max_length=MOST_THUMBNAILS, description="Stored ids such as @12.")
]
InCluster = Annotated[StrictInt | str | None, Field(description="Only images of this cluster, by its id or its name.")]
Where = Annotated[
    str | None, Field(description="A condition on facts, such as: rating >= 4 and camera contains 'Canon'.")
]
Call = Callable[[Callable[[Store], Any]], Awaitable[Any]]


def serve(settings: Settings, allow_write: bool) -> None:
    """Answer an assistant on standard input and output until it hangs up."""
    pool = StorePool(settings, 1, "assistant")
    try:
        server(partial(_ask, pool), allow_write).run("stdio")
    finally:
        pool.close()


async def _ask(pool: StorePool, function: Callable[[Store], T]) -> T:
    try:
        return await pool.run(function)
    except VecstoreError as error:  # in one line, with the next step, as on the command line
        raise ToolError(str(error)) from error


class _Server(MCPServer[Any]):
    """The SDK's server, which says in one line what is wrong with arguments, and refuses names that no tool has."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        known = {tool.name: tool.input_schema["properties"] for tool in await self.list_tools()}
        strange = sorted(arguments.keys() - known.get(name, arguments).keys())
        if strange:
            raise ToolError(f"{name} takes no {', '.join(strange)}; it takes {', '.join(known[name]) or 'nothing'}")
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            wrong = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.__cause__.errors())
            raise ToolError(f"{name} cannot take this: {'; '.join(wrong)}") from error


def server(ask: Call, allow_write: bool) -> MCPServer[Any]:
    """Return the server. ask: calls a function with the open store and returns what it does."""
    made: MCPServer[Any] = _Server("vecstore", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING")
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    for tool in _reading(ask):
        made.add_tool(tool, annotations=reads, structured_output=False)
    if allow_write:
        writes = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
        for tool in _writing(ask):
            made.add_tool(tool, annotations=writes, structured_output=False)
    return made


def _reading(ask: Call) -> list[Callable[..., Any]]:
    async def find(text: str, k: K = 10, cluster: InCluster = None, where: Where = None) -> str:
        """Find the pictures that most probably show what words say, such as "dog"; the most probable first."""
        return _json(await ask(lambda store: store.find(text, k=k, cluster=cluster, where=where)))

    async def similar(
        images: Images, k: K = 10, words: Sequence[str] = (), cluster: InCluster = None, where: Where = None
    ) -> str:
        """Find the stored pictures nearest to one picture, or to the mean of several and of words, nearest first.

        The score is the cosine similarity, 1 for the same picture; a stored picture finds itself first.
        """
        found = await ask(lambda store: store.similar(*images, k=k, words=words, cluster=cluster, where=where))
        return _json(found)

    async def clusters() -> str:
        """List the clusters, groups of similar pictures: size, name, and the most typical picture of each."""
        return _json(await ask(lambda store: store.clusters()))

    async def members(cluster: Cluster, k: K = 50) -> str:
        """List the pictures of a cluster, by its id or its name, the most typical first."""
        return _json(await ask(lambda store: list(store.members(cluster))[:k]))

    async def facts(images: Images) -> str:
        """Say what is known of pictures: paths, when, where and with what they were taken, size, rating, keywords."""
        return _json(await ask(lambda store: store.facts(*images)))

    async def list_pictures(where: Where = None, k: K = 50) -> str:
        """List the facts of the pictures that a condition holds of, by id."""
        return _json(await ask(lambda store: list(store.all_facts(Filter.of(where=where), k=k))))

    async def thumbnails(images: Shown) -> list[Any]:
        """Show small versions of pictures, each after a line with its id and path."""
        return await ask(lambda store: _shown(store, images))  # type: ignore[no-any-return]

    async def selections() -> str:
        """List the selections, which are named sets of pictures that people made."""
        return _json(await ask(lambda store: store.selections()))

    async def selected(name: str, k: K = 50) -> str:
        """List the pictures of a selection."""
        return _json(await ask(lambda store: store.selected(name, k)))

    async def info() -> str:
        """Say what the store is: how many pictures, what made their vectors, how many clusters."""
        return _json(await ask(lambda store: store.info()))

    return [find, similar, clusters, members, facts, list_pictures, thumbnails, selections, selected, info]


def _writing(ask: Call) -> list[Callable[..., Any]]:
    own = set[tuple[int, str]]()  # the operations that were made here; those of people are not undone

    async def write(function: Callable[[Store], Any]) -> str:
        def recorded(store: Store) -> Any:
            before = _last(store)
            result = function(store)
            if (last := _last(store)) is not None and last != before:
                own.add((last.operation, last.began))
            return result

        return _json(await ask(recorded))

    async def name_cluster(cluster: Cluster, name: str) -> str:
        """Name a cluster, given by its id or its name. `undo` takes it back."""
        return await write(lambda store: store.name_cluster(cluster, name))

    async def select(name: str, images: Images, remove: bool = False) -> str:
        """Put stored pictures into a selection, which is made if need be, or take them out. `undo` takes it back."""
        return await write(lambda store: store.select(name, *images, remove=remove))

    async def undo() -> str:
        """Undo the last operation, where select or name_cluster made it here. What people did is left to them."""
        return _json(await ask(partial(_undo, own)))

    return [name_cluster, select, undo]


def _last(store: Store) -> Operation | None:
    return next((operation for operation in store.operations() if not operation.undone), None)


def _undo(own: set[tuple[int, str]], store: Store) -> Any:
    last = _last(store)
    if last is not None and (last.operation, last.began) not in own:
        raise ToolError(f"the last operation is {last.kind} {last.what}, which is left to people: `vecstore undo`")
    return store.undo()


def _shown(store: Store, images: Sequence[int | str]) -> list[Any]:
    shown: list[Any] = []
    for image in images:
        found = store.image(image)
        shown.append(to_json({"id": found.id, "path": found.paths[0]}))
        shown.append(Image(data=store.thumbnail(found.id), format="webp"))
    return shown


def _json(result: Any) -> str:
    """Return results as JSON in ASCII, so that names that are no UTF-8 survive as `\\udc80`."""
    return to_json([asdict(one) for one in result] if isinstance(result, list) else asdict(result))
