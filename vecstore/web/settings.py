"""How a server is set up, and what is refused before it starts. Loads nothing heavy."""

import ipaddress
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from vecstore.engines.address import place_of
from vecstore.errors import BadInput

if TYPE_CHECKING:
    from vecstore.store import Store

MAX_UPLOAD_BYTES = 64 << 20
# A token is compared in constant time, so its length alone is what guessing has to overcome.
LEAST_TOKEN = 16
ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
# What the server's own paths begin with.
OWN_NAMES = frozenset({"api", "static", "docs", "openapi.json", "healthz", "metrics", "s"})


@dataclass(frozen=True)
class Settings:
    """store: its folder or URI, as for `Store.open`; it need not be there yet. host: the address to bind to.

    token: what every request has to show; None: nothing, which only this machine's own address allows.
    hosts: names, beside IP addresses and localhost, that requests may call the server by. roots: folders that pictures
    may be added from; None: any. embedder, weights: of a store that its first add makes. device: as `Store.open` takes.
    max_upload_bytes: of a picture to search by. read_only: nothing may be changed through the server. root_path: below
    which path a proxy has the server, "" for at its top. uploads: the folder that pictures may be sent to, None for
    none; one of the roots, or in one, where there are any.
    """

    store: str | Path
    host: str = "127.0.0.1"
    token: str | None = None
    hosts: tuple[str, ...] = ()
    roots: tuple[Path, ...] | None = None
    embedder: str | None = None
    weights: Path | None = None
    device: str = "auto"
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    read_only: bool = False
    root_path: str = ""
    uploads: Path | None = None

    def __post_init__(self) -> None:
        if self.root_path and not ROOT_PATH.fullmatch(self.root_path):
            raise BadInput(f"{self.root_path!r} is no path for a server to be below; give one such as /photos")
        if self.root_path.split("/")[1:2] in ([name] for name in OWN_NAMES):
            raise BadInput(f"{self.root_path} cannot be told from the server's own paths; choose another one")
        if self.uploads is not None:
            self._require_uploads(self.uploads)
        if self.token is None and not is_local(self.host):
            raise BadInput(f"{self.host} can be reached from other machines; a server there needs a token")
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            raise BadInput(
                f"the token has {len(self.token)} characters; it needs at least {LEAST_TOKEN} (without one, another "
                "address than this machine's own gets one made for it)"
            )
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise BadInput("the token has spaces, or characters that are not ASCII, which a header cannot carry")

    def _require_uploads(self, folder: Path) -> None:
        if self.read_only:
            raise BadInput("a server for reading alone takes no files; leave --uploads or --read-only out")
        if not folder.is_dir():
            raise BadInput(f"{folder} is no folder that pictures can be sent to; make it first, or name another")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise BadInput(f"{folder} cannot be written to, and pictures are to be sent to it; name another folder")
        if self.roots is not None and not is_within(os.fsencode(folder), self.roots):
            raise BadInput(f"{folder} is in no folder that pictures may be added from; name one with --root")

    def open(self, create: bool = False, wait: float | None = None) -> "Store":
        """Open the store, as `Store.open` does."""
        from vecstore.store import Store

        options: dict[str, Any] = {"embedder": self.embedder, "weights": self.weights, "device": self.device}
        return Store.open(self.store, **options, create=create, wait=wait)

    @property
    def folder(self) -> Path:
        """The folder that the store's catalog is in."""
        return place_of(self.store)[0]

    @classmethod
    def safe(cls, *, host: str, token: str | None, roots: tuple[Path, ...] | None, **more: Any) -> Self:
        """Return settings that are safe for the address: elsewhere than on this machine's own there is a token, made
        here if none is given, and pictures are added from nowhere but the roots that are named."""
        if not is_local(host):
            token, roots = token or secrets.token_urlsafe(32), roots or ()
        return cls(host=host, token=token, roots=roots, **more)


def is_within(path: bytes, roots: tuple[Path, ...]) -> bool:
    """Say whether a path is in one of some folders; links are followed first."""
    real = os.path.realpath(path)
    tops = (os.path.realpath(os.fsencode(root)) for root in roots)
    return any(os.path.commonpath([real, top]) == top for top in tops)


def is_local(host: str) -> bool:
    """Say whether only programs of this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # other names may lead anywhere
        return host == "localhost"
