"""How a server is set up, and what is refused before it starts. Loads nothing heavy."""

import ipaddress
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
    which path a proxy has the server, "" for at its top.
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

    def __post_init__(self) -> None:
        if self.root_path and not ROOT_PATH.fullmatch(self.root_path):
            raise BadInput(f"{self.root_path!r} is no path for a server to be below; give one such as /photos")
        if self.root_path.split("/")[1:2] in ([name] for name in OWN_NAMES):
            raise BadInput(f"{self.root_path} cannot be told from the server's own paths; choose another one")
        if self.token is None and not is_local(self.host):
            raise BadInput(f"{self.host} can be reached from other machines; a server there needs a token")
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            raise BadInput(
                f"the token has {len(self.token)} characters; it needs at least {LEAST_TOKEN} (without one, another "
                "address than this machine's own gets one made for it)"
            )
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise BadInput("the token has spaces, or characters that are not ASCII, which a header cannot carry")

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


def is_local(host: str) -> bool:
    """Say whether only programs of this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # other names may lead anywhere
        return host == "localhost"
