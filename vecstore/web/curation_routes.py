"""The part of the HTTP API that decides about duplicates and acts on files."""

import os
from itertools import islice
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from vecstore.defaults import NEAR_SCORE
from vecstore.errors import BadInput
from vecstore.results import ActReport, Compared, Decision, DuplicateGroup, Operation, UndoReport
from vecstore.storage.catalog.acts import FOLDER
from vecstore.store import Store
from vecstore.web.responses import answer
from vecstore.web.routes import PROBLEMS, Here, Ids, Strict, require_allowed
from vecstore.web.settings import Settings

Rules: TypeAlias = Annotated[list[Annotated[str, Field(min_length=1, max_length=4096)]], Field(max_length=20)]
curation_api = APIRouter(prefix="/api", responses=PROBLEMS)


class Choice(Strict):
    """Which duplicates, and what to keep of them, as the options of `vecstore duplicates` say it."""

    min_score: float = Field(NEAR_SCORE, ge=-1, le=1)
    exact: bool = False
    keep_by: Rules = []


class GroupsAsked(Choice):
    """known: only what comparing found before; a job {"kind": "duplicates"} compares what is new.

    sort: the groups by their first file, or by "score", as `vecstore duplicates --sort`.
    """

    known: bool = False
    sort: Literal["score", "taken", "size", "path"] | None = None
    k: int = Field(100, ge=1, le=1_000)
    start: int = Field(0, ge=0, lt=1 << 63)


class NewDecision(Strict):
    """verdict: as in `vecstore decide`. keep: of "keep", the path of the file to keep."""

    verdict: Literal["different", "both", "keep"]
    images: Ids = Field(min_length=1)
    keep: str | None = Field(None, min_length=1, max_length=4096)


class ActsAsked(Choice):
    """act: "trash", "move:FOLDER", "hardlink", "symlink" or "delete". images: only groups with one of these.

    Without `"dry_run": false` it is only told what would be done.
    """

    act: str = Field(min_length=1, max_length=4096)
    near: bool = False
    images: Ids | None = None
    dry_run: bool = True


class Turn(Strict):
    redo: bool = False


@curation_api.get("/duplicates", response_model=list[DuplicateGroup], tags=["duplicates"])
async def duplicates(server: Here, asked: Annotated[GroupsAsked, Query()]) -> Response:
    """The groups of equal and nearly equal images that are not decided to be apart, the file to keep first."""
    chosen = dict(vars(asked))
    k, start = chosen.pop("k"), chosen.pop("start")
    found = await server.looking.run(lambda store: list(islice(store.duplicate_groups(**chosen), start, start + k)))
    return answer(found)


@curation_api.get("/duplicates/compared", response_model=Compared, tags=["duplicates"])
async def compared(server: Here) -> Response:
    """How many images were compared with each other before; nothing is compared."""
    return answer(await server.looking.run(Store.compared_duplicates))


@curation_api.get("/decisions", response_model=list[Decision], tags=["duplicates"])
async def decisions(server: Here) -> Response:
    """What was decided about duplicates, the latest first."""
    return answer(await server.asking.run(Store.decisions))


@curation_api.post("/decisions", response_model=list[Decision], tags=["duplicates"])
async def decide(server: Here, new: NewDecision) -> Response:
    """Record that images are no duplicates, are all to be kept, or which file is; by content, for good."""
    return answer(await server.write(lambda store: store.decide(*new.images, verdict=new.verdict, keep=new.keep)))


@curation_api.post("/acts", response_model=ActReport, tags=["duplicates"])
async def act(server: Here, asked: ActsAsked) -> Response:
    """Act on duplicates as was decided, or as rules say; a dry run unless that is false. Undo puts files back."""
    chosen = dict(vars(asked))
    dry_run = chosen.pop("dry_run")
    name, _, folder = asked.act.partition(":")
    if "\0" in asked.act:
        raise BadInput("a path cannot hold a NUL character; name a folder of the server's machine")
    if name == "move" and folder:
        require_allowed(server.settings, folder)

    def run(store: Store) -> ActReport:
        planned = store.act_on_duplicates(**chosen)
        for one in planned.acts:
            require_allowed(server.settings, one.path)
        return planned if dry_run else store.act_on_duplicates(**chosen, dry_run=False)

    return answer(await (server.looking.run(run) if dry_run else server.write(run)))


@curation_api.get("/operations", response_model=list[Operation], tags=["store"])
async def operations(server: Here) -> Response:
    """What can be undone or redone, the last first."""
    return answer(await server.asking.run(Store.operations))


@curation_api.post("/undo", response_model=UndoReport, tags=["store"])
async def undo(server: Here, turn: Turn) -> Response:
    """Undo the last operation, or with redo take the last undo back; files that were acted on are put back."""

    def run(store: Store) -> UndoReport:
        _require_undo_allowed(server.settings, store, turn.redo)
        return store.undo(redo=turn.redo)

    return answer(await server.write(run))


def _require_undo_allowed(settings: Settings, store: Store, redo: bool) -> None:
    """Raise HTTPException if undoing would touch files elsewhere than in the folders that the server may use."""
    done = [operation for operation in store.operations() if operation.undone == redo]
    if settings.roots is None or not done:
        return
    operation = done[-1] if redo else done[0]
    for one in store.session.catalog.acts.of_operation(operation.operation):
        if one.act != FOLDER:
            require_allowed(settings, os.fsdecode(one.path))
