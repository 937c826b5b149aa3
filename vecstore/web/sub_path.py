"""Where a server is below a path of its site: `--root-path` behind a proxy, and several stores in one server.

To the apps inside, what was asked for is always the path behind `root_path` (`inner_path`). The page asks for
everything by addresses relative to its own, so that it need not know where it is.
"""

from collections.abc import Mapping
from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

BEFORE_NAME = "/s/"


def inner_path(scope: Scope) -> str:
    """Return the path that was asked for, as the app itself has it."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and f"{path}/".startswith(f"{root}/") else path


class SubPath:
    """Puts an app below a path, whether a proxy passes the path on or has taken it away."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self._root = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if scope["path"] == self._root:
            await RedirectResponse(f"{self._root}/", 307)(scope, receive, send)
            return
        below = scope["path"].startswith(f"{self._root}/")
        path = scope["path"] if below else self._root + scope["path"]
        await self.app({**scope, "path": path, "root_path": self._root}, receive, send)


class Site:
    """The apps of several stores, each below `/s/NAME/`; the first is also at the top."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = dict(apps)
        self._first = next(iter(self._apps.values()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = inner_path(scope) if scope["type"] == "http" else ""
        for name, app in self._apps.items():
            top, root = f"{BEFORE_NAME}{name}", scope.get("root_path", "")
            if path == top:
                await RedirectResponse(f"{root}{quote(top)}/", 307)(scope, receive, send)
                return
            if path.startswith(f"{top}/"):
                await app({**scope, "root_path": f"{root}{top}"}, receive, send)
                return
        await self._first(scope, receive, send)
