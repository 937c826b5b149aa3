"""Pictures that are sent to be kept: each is whole in the folder of uploads, under a name of its own, or not there.

A picture is written beside its place, decoded, synced, and linked to its name: what is there is never overwritten.
What a kill leaves of one begins with `._`, which no scan takes for a picture, and goes with a later upload.
"""

import errno
import hashlib
import os
import re
import shutil
import time
import unicodedata
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool

from vecstore.errors import BadInput
from vecstore.sources import decoding
from vecstore.storage.durable_files import sync_directory, translate_os_errors

DRAFT = "._upload-"
STALE_SECONDS = 24 * 3600
# Room on the disk that an upload leaves to others.
LEAST_FREE_BYTES = 256 << 20
# A file system's limit is 255 bytes, of which a number and a suffix take some.
MOST_NAME_BYTES, MOST_TAKEN = 200, 10_000
# What a file system says that knows no hard links: FAT, and some of a network.
NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
# Of names that say no kind of picture, by what the content is.
SUFFIX_OF = {"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp"}
SUFFIX_OF |= {"image/avif": ".avif", "image/bmp": ".bmp", "image/x-icon": ".ico"}
# What no path of any system may hold, or what would turn text around on a page.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³]) *(\.|$)")


@dataclass(frozen=True)
class Upload:
    """A picture that was sent. path: where it is. bytes: of the file. is_new: it was not there, by name and content."""

    path: str
    bytes: int
    is_new: bool


async def receive(folder: Path, name: str, body: AsyncIterator[bytes], expected: int) -> Upload:
    """Return where the picture is kept that the body holds. expected: its bytes, as far as that was said, else 0.

    Raises BadInput for what is no picture that can be decoded, and for a disk without room; nothing is left of it then,
    nor of a body that ends too early.
    """
    wanted = safe_name(name)
    with translate_os_errors(folder), _draft(folder) as (draft, file):
        _require_room(folder, expected)
        sha256 = hashlib.sha256()
        written = 0
        async for chunk in body:
            sha256.update(chunk)
            written += len(chunk)
            _require_room(folder, len(chunk))
            await run_in_threadpool(file.write, chunk)
        await run_in_threadpool(_finish, file)
        path, is_new = await run_in_threadpool(_keep, draft, folder, wanted, sha256.digest())
    return Upload(str(path), written, is_new)


def safe_name(name: str) -> str:
    """Return a file name that is safe on any system, for one that a browser says.

    >>> safe_name("../../etc/passwd"), safe_name("C:\\\\My Photos\\\\a|b?.jpg"), safe_name("..."), safe_name("con.png")
    ('passwd', 'a_b_.jpg', 'picture', '_con.png')
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    made = _UNSAFE.sub("_", last).strip(" .")
    stem, suffix = os.path.splitext(made)
    suffix = suffix if len(suffix.encode()) <= 20 else ""
    while len((stem + suffix).encode()) > MOST_NAME_BYTES:
        stem = stem[:-1]
    made = (stem.rstrip(" .") + suffix) if stem.rstrip(" .") else f"picture{suffix}"
    return f"_{made}" if _DEVICES.match(made) else made


def _keep(draft: Path, folder: Path, name: str, sha256: bytes) -> tuple[Path, bool]:
    """Return where a written draft is kept, and whether it was not there before."""
    content = draft.read_bytes()
    try:
        decoding.decode(content, at_least=(64, 64), name=os.fsencode(name))
    except decoding.Unreadable as error:
        raise BadInput(f"{name} is not kept: {error}") from error
    stem, suffix = os.path.splitext(name)
    if not decoding.has_picture_suffix(os.fsencode(name)):
        kind = SUFFIX_OF.get(decoding.media_type(content, os.fsencode(name)) or "")
        if kind is None:
            raise BadInput(f"{name} is not kept: its name says no kind of picture; give it a suffix such as .heic")
        stem, suffix = name, kind
    for number in range(1, MOST_TAKEN):
        path = folder / (f"{stem}{suffix}" if number == 1 else f"{stem} ({number}){suffix}")
        try:
            _name(draft, path)
        except FileExistsError:
            if _holds(path, len(content), sha256):
                return path, False
            continue
        sync_directory(folder)
        return path, True
    raise BadInput(f"{name} is not kept: {MOST_TAKEN:,} files of this name are there already; call it otherwise")


def _name(draft: Path, path: Path) -> None:
    """Give a draft its name. Raises FileExistsError if anything has that."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))  # reserved: a rename overwrites
        os.replace(draft, path)


def _holds(path: Path, size: int, sha256: bytes) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size != size:
            return False
        return hashlib.sha256(path.read_bytes()).digest() == sha256
    except OSError:
        return False


def _finish(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _draft(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield a new file, which is gone afterwards: what is kept has another name by then."""
    _remove_stale(folder)
    draft = folder / f"{DRAFT}{uuid.uuid4().hex}"
    try:
        with open(draft, "xb") as file:
            yield draft, file
    finally:
        with suppress(OSError):
            draft.unlink()


def _remove_stale(folder: Path) -> None:
    for item in os.scandir(folder):
        with suppress(OSError):
            if item.name.startswith(DRAFT) and time.time() - item.stat(follow_symlinks=False).st_mtime > STALE_SECONDS:
                os.unlink(item.path)


def _require_room(folder: Path, n_bytes: int) -> None:
    if shutil.disk_usage(folder).free < n_bytes + LEAST_FREE_BYTES:
        raise BadInput("the disk of the folder for uploads has too little room left; free some first")
