"""Pictures elsewhere: in object stores and on web servers (`s3://`, `gs://`, `https://`), listed and read by fsspec.

The path of one is its address. Its state is its size and what its server says of the content: an etag or checksum, else
a time. So one that is as it was is not read again. fsspec is imported when an address is asked for.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vecstore.errors import BadInput, NotFound
from vecstore.sources.content import MAX_FILE_BYTES, Content, looks_like_picture_by_name
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import shown
from vecstore.sources.unreadable import Unreadable

# What tells one content from another, the best first, in the spellings of fsspec's file systems.
VERSIONS = ("ETag", "etag", "md5Hash", "md5", "checksum", "Content-MD5", "Digest", "generation")
TIMES = ("LastModified", "Last-Modified", "last_modified", "updated", "mtime", "modified", "created")


def _unread() -> bytes:
    raise Unreadable("the file was not opened")


@dataclass(frozen=True)
class RemoteFile(FileStamp):
    """A file elsewhere. mtime_ns: a number made of its version, which is another when its content is."""

    fetch: Callable[[], bytes] = _unread

    def read(self) -> Content:
        """Return its content. Raises Unreadable."""
        if self.size > MAX_FILE_BYTES:
            raise Unreadable(f"the file has {self.size:,} bytes; the limit is {MAX_FILE_BYTES:,}")
        try:
            data = self.fetch()
        except Unreadable:
            raise
        except Exception as error:  # whatever the client of that server raises: this one file is not to be had
            raise Unreadable(f"cannot be read from its server: {_in_one_line(error)}") from error
        return Content(data, hashlib.sha256(data).digest(), self.size, self.mtime_ns)


def pictures(address: str) -> Iterator[RemoteFile]:
    """Yield the pictures at or below an address, by name. Raises NotFound, and BadInput if fsspec cannot open it."""
    try:
        import fsspec
    except ImportError as error:
        raise BadInput(f"reading {address} needs fsspec; install vecstore[remote]") from error
    named = shown(os.fsencode(address))
    try:
        system, root = fsspec.core.url_to_fs(address)
        system.invalidate_cache()  # of an earlier import by this process
        found = system.find(root, detail=True) or {root: system.info(root)}
    except ImportError as error:
        raise BadInput(f"{named} cannot be opened: {_in_one_line(error)}; install vecstore[remote]") from error
    except ValueError as error:
        raise BadInput(f"{named} cannot be opened: {_in_one_line(error)}") from error
    except FileNotFoundError as error:
        raise NotFound(f"there is nothing at {named}, or its server does not answer; name another address") from error
    except Exception as error:  # whatever the client of that server raises
        raise NotFound(f"{named} cannot be listed: {_in_one_line(error)}") from error
    for name in sorted(found):
        path = os.fsencode(system.unstrip_protocol(name))
        if looks_like_picture_by_name(path):
            yield _stamped(system, name, path, found[name])


def _stamped(system: Any, name: str, path: bytes, said: dict[str, Any]) -> RemoteFile:
    if _version(said) is None:  # a list of links has names alone
        try:
            said = {**said, **system.info(name)}
        except Exception:  # told as a failure of this file, when it is read
            said = {}
    version = hashlib.sha256(repr(_version(said)).encode()).digest()
    return RemoteFile(
        path, int(said.get("size") or 0), int.from_bytes(version[:7]), lambda: bytes(system.cat_file(name))
    )


def _version(said: dict[str, Any]) -> Any:
    return next((said[key] for key in (*VERSIONS, *TIMES) if said.get(key) is not None), None)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or repr(error)
