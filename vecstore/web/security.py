"""What stands before every request: who may ask, from where, how much they may send, and how slowly.

A page of another site can make a browser send requests here. So a request is refused

- that calls this server by a name that is not its own (DNS rebinding: another site's name that leads here);
- that a browser says another site has caused, unless it is a person following a link;
- that could change something and came as a form, the one kind of body that other sites can send without asking first;
- that does not show the token, where there is one;
- that could change anything, where the server is for reading alone.

And every answer tells the browser to run nothing but this server's own scripts, and to let no other site embed it.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import socket
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vecstore.web.responses import refusal
from vecstore.web.settings import Settings
from vecstore.web.sub_path import inner_path

MAX_JSON_BYTES = 1 << 20
# Something of a body has to come within these seconds, and all of it in these and what it takes at the least rate: who
# sends a byte now and then, for ever, would keep a place that others wait for.
BODY_SECONDS, LEAST_BYTES_PER_SECOND = 60, 16 << 10
READING = frozenset({"GET", "HEAD"})
# Sent with a body, and changing nothing.
READING_PATHS = frozenset({"/api/similar", "/api/similar/upload", "/api/which/upload", "/api/login", "/api/logout"})
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
# Reached without the token: the page itself, which holds nothing of the store, and what it logs in with.
OPEN_PATHS = frozenset({"/", "/healthz", "/api/login", "/docs", "/openapi.json"})
CONTENT_SECURITY_POLICY = "; ".join(
    [
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"),
        # blob: the picture that is being searched by, which is nowhere but in the browser. data: Swagger UI's icons.
        *(
            "manifest-src 'self'",
            "img-src 'self' blob: data:",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ),
    ]
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Token:
    """The token of a server, or that it has none."""

    def __init__(self, token: str | None) -> None:
        self._key = token.encode() if token is not None else None

    def is_shown(self, headers: Headers) -> bool:
        """Say whether a request shows the token, in its header or as the cookie of a login."""
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(shown.strip()):
            return True
        return self._key is None or hmac.compare_digest(self._cookie_in(headers), self.cookie_value)

    def is_token(self, text: str) -> bool:
        """Say whether the text is the token, in a time that does not tell how much of it is right."""
        return self._key is None or hmac.compare_digest(text.encode(), self._key)

    @property
    def is_needed(self) -> bool:
        return self._key is not None

    @property
    def cookie_name(self) -> str:
        """One name for each token: browsers do not tell the ports of a host apart."""
        return f"vecstore-{self._derived('name')[:8]}"

    @property
    def cookie_value(self) -> str:
        """What a login leaves with the browser; the token cannot be worked out from it."""
        return self._derived("session")

    def _derived(self, use: str) -> str:
        return hmac.new(self._key or b"", use.encode(), hashlib.sha256).hexdigest()

    def _cookie_in(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie_name)
        except CookieError:
            return ""
        return found.value if found is not None and found.value.isascii() else ""


class SecurityMiddleware:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._settings = settings
        self._token = Token(settings.token)
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in settings.hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there is no websocket here
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store" if inner_path(scope).startswith("/api/") else "no-cache")
            await send(message)

        try:
            self._check(scope)
        except HTTPException as error:
            await refusal(error)(scope, receive, send_guarded)
            return
        await self.app(scope, self._bounded(scope, receive), send_guarded)

    def _check(self, scope: Scope) -> None:
        headers, path, method = Headers(scope=scope), inner_path(scope), scope["method"]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own_name(hosts[0]):
            raise HTTPException(
                421, f"this server is not called {', '.join(hosts) or 'nothing'}; start it with --allow-host for a name"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower():
            raise HTTPException(403, "another site's pages may not use this server")
        site = headers.get("sec-fetch-site", "none")
        follows_link = method in READING and headers.get("sec-fetch-mode") == "navigate" and path in ("/", "/docs")
        if site not in ("same-origin", "none") and not follows_link:
            raise HTTPException(403, "another site's pages may not use this server")
        if method not in READING and headers.get("content-type", "").partition(";")[0].strip().lower() in FORMS:
            raise HTTPException(415, "forms are not taken; send application/json, or a picture's bytes")
        if not (path in OPEN_PATHS or path.startswith("/static/") or self._token.is_shown(headers)):
            raise HTTPException(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})
        if self._settings.read_only and method not in READING and path not in READING_PATHS:
            raise HTTPException(403, "nothing can be changed here; this server was started with --read-only")

    def _is_own_name(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if not name or "@" in host or "/" in host:
            return False
        try:  # an address is no name that another site could let lead here
            ipaddress.ip_address(name)
            return True
        except ValueError:
            return name in self._names

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Return what receives the body, and no more of it than it may have, nor slower. Raises HTTPException."""
        headers = Headers(scope=scope)
        is_json = headers.get("content-type", "").startswith("application/json")
        most = MAX_JSON_BYTES if is_json else self._settings.max_upload_bytes
        received, is_whole = 0, False
        began: float | None = None  # when the body was first asked for: until then it waits for its turn

        async def bounded() -> Message:
            nonlocal received, is_whole, began
            if is_whole:  # what follows is that the client has gone, whenever that may be
                return await receive()
            now = time.monotonic()
            began = now if began is None else began
            left = began + received / LEAST_BYTES_PER_SECOND - now
            try:
                async with asyncio.timeout(BODY_SECONDS + min(left, 0)):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(
                    408,
                    f"the body did not come: {received:,} bytes in {time.monotonic() - began:.0f} seconds",
                    {"Connection": "close"},
                ) from error
            received += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if received > most:
                raise HTTPException(413, f"the body is larger than the limit of {most:,} bytes")
            return message

        return bounded
