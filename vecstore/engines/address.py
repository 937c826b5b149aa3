"""Where a store is: a folder, or a URI that names an engine and, by default or expressly, a companion folder.

A URI never holds credentials: it is shown in messages, recorded in the store, and kept in a shell's history.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

import platformdirs

from vecstore.errors import BadInput
from vecstore.sources.paths import AnyPath, absolute

PLAIN, TLS, LITE = "milvus", "milvuss", "milvus+lite"
DEFAULT_PORT = 19530
# What Milvus takes for the name of a collection, and of a database.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
# A milvus-lite file is one store's own, so its collection needs no name of the user's.
LITE_COLLECTION = "vecstore"
OPTIONS = {
    PLAIN: {"companion", "database", "secure", "ca", "server_name", "shards"},
    TLS: {"companion", "database", "ca", "server_name", "shards"},
    LITE: {"companion"},
}


@dataclass(frozen=True)
class Address:
    """A Milvus collection. shown: the URI for people and the catalog. endpoint: as the client wants it.

    companion: the folder of the catalog and the rows. ca: of a file of certificates to trust, None: the system's.
    server_name: that the server's certificate is of, where that is not the host's. shards: of a new collection.
    """

    shown: str
    endpoint: str
    collection: str
    companion: Path
    database: str = "default"
    ca: str | None = None
    server_name: str | None = None
    shards: int = 1
    is_lite: bool = False

    @classmethod
    def parse(cls, uri: str) -> "Address":
        """Return what a URI names. Raises BadInput, without repeating a password that may be in it."""
        parts, options = _split(uri)
        return _lite(parts, options) if parts.scheme == LITE else _server(parts, options)


def place_of(store: AnyPath) -> tuple[Path, Address | None]:
    """Return the folder of a store's catalog, and where its vectors are searched, None for in this process.

    store: a folder or a URI. Raises BadInput.
    """
    if re.match(r"milvus[a-z+]*:", os.fsdecode(store)) is None:
        return Path(os.fsdecode(absolute(store))), None
    address = Address.parse(os.fsdecode(store))
    return address.companion, address


def _split(uri: str) -> tuple[SplitResult, dict[str, str]]:
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError as error:
        raise BadInput(f"the store's URI cannot be read ({error}); write it as milvus://HOST:PORT/NAME") from error
    if parts.username is not None or parts.password is not None:
        raise BadInput(
            f"the URI of the store on {parts.hostname} holds a user or a password, which would be shown and recorded; "
            "leave them out, and set $VECSTORE_MILVUS_TOKEN"
        )
    if parts.scheme not in OPTIONS:
        raise BadInput(
            f"no engine is called {parts.scheme}:; choose one of {', '.join(f'{name}:' for name in OPTIONS)}"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted({*options} - OPTIONS[parts.scheme]):
        known = ", ".join(sorted(OPTIONS[parts.scheme]))
        raise BadInput(f"{unknown[0]!r} is not an option of a {parts.scheme}: store; the options are {known}")
    return parts, options


def _server(parts: SplitResult, options: dict[str, str]) -> Address:
    name, database = parts.path.strip("/"), options.get("database", "default")
    if not parts.hostname or not NAME.fullmatch(name) or not NAME.fullmatch(database):
        raise BadInput(
            f"{parts.scheme}://{parts.netloc}{parts.path} names no store; write it as milvus://HOST:PORT/NAME, "
            "with a name of letters, digits and _ that begins with no digit"
        )
    shards = options.get("shards", "1")
    if not re.fullmatch(r"[1-9][0-9]?", shards):
        raise BadInput(f"{shards!r} is not a number of shards from 1 to 99; give one, such as shards=2")
    is_secure = parts.scheme == TLS or options.get("secure", "false") == "true"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port or DEFAULT_PORT
    folder = f"{parts.hostname.replace(':', '_')}-{port}"
    default = platformdirs.user_data_path("vecstore") / "milvus" / folder / database / name
    ca = options.get("ca")
    return Address(
        shown=f"{TLS if is_secure else PLAIN}://{host}:{port}/{name}"
        + (f"?database={database}" if database != "default" else ""),
        endpoint=f"{'https' if is_secure else 'http'}://{host}:{port}",
        collection=name,
        companion=_folder(options.get("companion")) or default,
        database=database,
        ca=os.fsdecode(absolute(ca)) if ca is not None else None,
        server_name=options.get("server_name"),
        shards=int(shards),
    )


def _lite(parts: SplitResult, options: dict[str, str]) -> Address:
    if parts.netloc or not parts.path.endswith(".db"):
        raise BadInput(f"a {LITE}: store is a file that ends in .db; write it as {LITE}:///FOLDER/FILE.db")
    file = Path(os.fsdecode(absolute(parts.path)))
    return Address(
        shown=f"{LITE}://{file}",
        endpoint=str(file),
        collection=LITE_COLLECTION,
        companion=_folder(options.get("companion")) or file.with_suffix(".companion"),
        is_lite=True,
    )


def _folder(option: str | None) -> Path | None:
    return Path(os.fsdecode(absolute(option))) if option else None
