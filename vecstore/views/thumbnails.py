"""Thumbnails: small pictures of stored images in two sizes, made once, kept in the cache folder under their sha256.

Keyed by content, so that a copy, a renamed file and a second store need no other, and one that is kept is right
whatever became of the file. Written beside and renamed; several threads and processes may use the folder at once. It is
bounded in bytes: the least recently used go first.
"""

import io
import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from vecstore.errors import BadInput, NotFound
from vecstore.image_ref import ImageRef, require_stored
from vecstore.session import Session
from vecstore.sources import archives, decoding
from vecstore.sources.paths import cache_dir, on_disk, shown
from vecstore.storage.durable_files import replacing_in_cache

log = logging.getLogger(__name__)

SIDE = 320
QUALITY = 85
MAX_BYTES = 512 << 20
# What a sweep leaves, and after how much of its own writing a process looks at what others wrote: parts of the bound.
SWEPT_TO, OWN_PART = 7 / 8, 1 / 16
_BEGINNING, _END = b"\xff\xd8", b"\xff\xd9"  # of a JPEG


@dataclass(frozen=True)
class Size:
    """side: pixels of the longer side at most. suffix: of its file, behind the content's sha256."""

    side: int
    suffix: str
    media_type: str


# Small ones are in reports and sheets too, which want JPEG. WebP takes a third less room, and four times the time.
SIZES = {"small": Size(SIDE, ".jpg", "image/jpeg"), "large": Size(960, "-960.webp", "image/webp")}
SMALL = SIZES["small"]
WEBP_QUALITY, WEBP_METHOD = 80, 2


class Thumbnails:
    """The thumbnails of one folder, made when they are asked for."""

    def __init__(self, folder: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        """folder: `thumbnails` in the cache folder if none is named. max_bytes: of all files in it together.

        Every process that writes at the same time can exceed the bound by a sixteenth.
        """
        self.folder = folder if folder is not None else cache_dir() / "thumbnails"
        self.max_bytes = max_bytes
        self._counting = threading.Lock()
        self._left = 0.0  # bytes to write until the folder is looked at

    def of(self, path: bytes, sha256: bytes, size: Size = SMALL) -> bytes:
        """Return the thumbnail of an image, a JPEG of at most 320 pixels on the longer side unless a size is named, as
        `decoding.decode` shows it, without metadata.

        path: of a file or of a member of an archive. sha256: of its content, as the store knows it. A thumbnail that is
        kept is returned without a look at the file. One that cannot be kept (a full disk) is returned all the same.
        Raises NotFound if the file is gone, decoding.Unreadable if it cannot be read or has changed.
        """
        kept = self.folder / sha256.hex()[:2] / f"{sha256.hex()}{size.suffix}"
        with suppress(OSError):
            thumbnail = kept.read_bytes()
            if _is_whole(thumbnail):  # not cut off by a power cut
                os.utime(kept)  # used now; file systems rarely keep the time of access
                return thumbnail
        thumbnail = _encoded(_picture(path, sha256, size), size)
        try:
            self._keep(kept, thumbnail)
        except OSError as error:
            log.info("the thumbnail %s is not kept: %s", kept, error.strerror)
        return thumbnail

    def of_any(self, paths: Sequence[bytes], sha256: bytes, size: Size = SMALL) -> bytes:
        """Return the thumbnail of an image, made from the first of its paths that still has it.

        paths: at least one. Raises what `of` does of the first of them if none has.
        """
        for path in paths:
            with suppress(NotFound, decoding.Unreadable):
                return self.of(path, sha256, size)
        return self.of(paths[0], sha256, size)  # its error is the one to tell

    def _keep(self, kept: Path, thumbnail: bytes) -> None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing_in_cache(kept) as file:
            file.write(thumbnail)
        with self._counting:
            self._left -= len(thumbnail)
            if self._left < 0:
                self._sweep()

    def _sweep(self) -> None:
        """Remove the least recently used until the size is below the bound, and compute when to sweep next."""
        found = []
        with os.scandir(self.folder) as folders:
            names = [folder.path for folder in folders]
        for name in names:
            with suppress(NotADirectoryError, FileNotFoundError), os.scandir(name) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # removed by another process meanwhile
                        state = entry.stat(follow_symlinks=False)
                        found.append((state.st_mtime_ns, state.st_size, entry.path))
        held = sum(size for _, size, _ in found)
        if held > self.max_bytes:
            for _, size, path in sorted(found):
                if held <= self.max_bytes * SWEPT_TO:
                    break
                with suppress(FileNotFoundError):
                    os.unlink(path)
                held -= size
        self._left = min(self.max_bytes - held, self.max_bytes * OWN_PART)


def thumbnail(session: Session, ref: ImageRef, thumbnails: Thumbnails, size: str = "small") -> bytes:
    """Return the thumbnail of a stored image; see `Store.thumbnail`."""
    if size not in SIZES:
        raise BadInput(f"{size!r} is not a size of thumbnails; choose one of {', '.join(SIZES)}")
    paths, sha256 = paths_and_content(session, ref)
    try:
        return thumbnails.of_any(paths, sha256, SIZES[size])
    except decoding.Unreadable as error:
        raise BadInput(f"{shown(paths[0])}: {error}") from error


def paths_and_content(session: Session, ref: ImageRef) -> tuple[list[bytes], bytes]:
    """Return where a stored image was seen, and the sha256 of its content. Raises NotFound."""
    with session.catalog.reading():
        row = require_stored(session, ref)
        return session.catalog.paths.of(row), session.catalog.images.sha256_of(row) or b""


def fit_to_box(thumbnail: bytes, width: int, height: int) -> Image.Image:
    """Return a thumbnail scaled to fit into a box."""
    with Image.open(io.BytesIO(thumbnail), formats=["JPEG"]) as picture:
        return ImageOps.contain(picture.convert("RGB"), (width, height), Image.Resampling.LANCZOS)


def squared(thumbnail: bytes, side: int) -> Image.Image:
    """Return the middle of a thumbnail as a square."""
    with Image.open(io.BytesIO(thumbnail), formats=["JPEG"]) as picture:
        return ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS)


def _picture(path: bytes, sha256: bytes, size: Size) -> Image.Image:
    try:
        content = archives.read_path(path)
    except FileNotFoundError as error:
        raise NotFound(f"{shown(path)} is gone; `vecstore sync` its folder") from error
    except decoding.Unreadable as error:
        if not os.path.lexists(on_disk(path)):
            raise NotFound(f"{shown(path)} is gone; `vecstore sync` its folder") from error
        raise
    if content.sha256 != sha256:
        raise decoding.Unreadable("the file has changed; run `vecstore sync` on its folder")
    return decoding.decode(content.data, at_least=(size.side, size.side), name=path)


def _is_whole(thumbnail: bytes) -> bool:
    if thumbnail.startswith(b"RIFF"):
        return int.from_bytes(thumbnail[4:8], "little") + 8 == len(thumbnail)
    return thumbnail.startswith(_BEGINNING) and thumbnail.endswith(_END)


def _encoded(picture: Image.Image, size: Size) -> bytes:
    picture.thumbnail((size.side, size.side))
    if size is SMALL:
        return decoding.encoded(picture, QUALITY)
    picture.info.clear()  # Pillow would write some of it
    written = io.BytesIO()
    picture.save(written, "WEBP", quality=WEBP_QUALITY, method=WEBP_METHOD)
    return written.getvalue()
