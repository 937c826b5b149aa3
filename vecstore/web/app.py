"""The app: routes, page, documentation and metrics, behind the guard."""

import mimetypes
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from vecstore.errors import BadInput, NotFound, VecstoreError
from vecstore.sources.paths import shown
from vecstore.store import Store
from vecstore.version import __version__
from vecstore.web.curation_routes import curation_api
from vecstore.web.fact_routes import facts
from vecstore.web.jobs import Jobs
from vecstore.web.map_routes import map_api
from vecstore.web.metrics import Counted, Metrics
from vecstore.web.page import STATIC, html
from vecstore.web.responses import on_http_error, on_invalid, on_store_error
from vecstore.web.routes import Server, api
from vecstore.web.security import SecurityMiddleware, Token
from vecstore.web.selection_routes import api as selection_api
from vecstore.web.settings import Settings
from vecstore.web.store_pool import StorePool
from vecstore.web.sub_path import Site, SubPath
from vecstore.web.upload_routes import uploads

SWAGGER_UI = Path(str(files("fastapi_swagger"))) / "resources"
# Threads that answer: a few more than processors, so that a slow question holds up no quick one.
ASKING_THREADS = min((os.cpu_count() or 1) + 2, 16)
LOOKING_THREADS = 4
DESCRIPTION = (
    "A store of pictures: find similar ones, cluster them all. The names are those of the command line's `--json`."
)


mimetypes.add_type("application/manifest+json", ".webmanifest")


def create_site(stores: Sequence[Settings]) -> ASGIApp:
    """Return the ASGI app that serves stores, the first at the top and each below `/s/NAME/`.

    Their settings differ in the store alone. Raises BadInput for none.
    """
    if not stores:
        raise BadInput("no store is named to serve; name one at least")
    names = _names_of(stores)
    apps = {name: create_app(settings, names, name) for name, settings in zip(names, stores, strict=True)}
    first, *others = apps.values()
    first.state.others = others  # which its lifespan ends too
    site: ASGIApp = Site(apps) if others else first
    return SubPath(site, stores[0].root_path) if stores[0].root_path else site


def _names_of(stores: Sequence[Settings]) -> tuple[str, ...]:
    """Return a name for each store, of its folder; a number tells two of one name apart."""
    names: list[str] = []
    for settings in stores:
        name = shown(os.fsencode(settings.folder.name)).replace("/", "-") or "store"
        same = sum(name == other or other.startswith(f"{name}-") for other in names)
        names.append(f"{name}-{same + 1}" if name in names else name)
    return tuple(names)


def create_app(settings: Settings, names: tuple[str, ...] = (), name: str = "") -> FastAPI:
    """Return the ASGI app that serves a store. It opens the store when it is first asked; close it by its lifespan.

    names: of all stores of the server. name: of this one.
    """
    metrics = Metrics()
    app = FastAPI(
        title="vecstore",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.server = Server(
        settings=settings,
        token=Token(settings.token),
        asking=StorePool(settings, ASKING_THREADS, "asking"),
        looking=StorePool(settings, LOOKING_THREADS, "looking"),
        # One: it keeps what it counts from, and counting a large store holds up no other question.
        counting=StorePool(settings, 1, "counting"),
        # One: it keeps the lists that it made, each once.
        listing=StorePool(settings, 1, "listing"),
        # One: its network takes every processor, and is in memory once.
        embedding=StorePool(settings, 1, "embedding"),
        writing=StorePool(settings, 1, "writing"),
        jobs=Jobs(settings, metrics.count_job),
        metrics=metrics,
        names=names,
        name=name,
    )
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(VecstoreError, on_store_error)
    app.include_router(selection_api)
    app.include_router(api)
    app.include_router(curation_api)
    app.include_router(facts)
    app.include_router(uploads)
    app.include_router(map_api)
    _add_pages(app)
    app.mount("/static/swagger", StaticFiles(directory=SWAGGER_UI), name="swagger")
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(SecurityMiddleware, settings=settings)
    app.add_middleware(Counted, metrics=metrics)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    for one in (app, *getattr(app.state, "others", ())):
        server: Server = one.state.server
        server.jobs.close()
        for stores in (
            server.asking,
            server.looking,
            server.counting,
            server.listing,
            server.embedding,
            server.writing,
        ):
            stores.close()


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(html(), headers={"Cache-Control": "no-cache"})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return FileResponse(STATIC / "docs.html", headers={"Cache-Control": "no-cache"})

    @app.get("/healthz", response_class=PlainTextResponse, tags=["server"])
    async def healthz() -> str:
        """Whether the server answers."""
        return "ok\n"

    @app.get("/metrics", response_class=PlainTextResponse, tags=["server"])
    async def metrics(request: Request) -> Response:
        """Figures for Prometheus."""
        server: Server = request.app.state.server
        try:
            images, failures = await server.asking.run(_counts)
        except NotFound:
            images = failures = 0
        return Response(server.metrics.text(images, failures), media_type="text/plain; version=0.0.4; charset=utf-8")


def _counts(store: Store) -> tuple[int, int]:
    return store.session.catalog.images.count(), store.session.catalog.failures.count()


def _described(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description, with what an error is and how the token is shown."""
    if app.openapi_schema is None:
        described = FastAPI.openapi(app)
        parts = described["components"]
        parts["schemas"]["Problem"] = {
            "type": "object",
            "required": ["detail"],
            "properties": {"detail": {"type": "string", "description": "What was found, and the next step."}},
        }
        parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
    return app.openapi_schema or {}
