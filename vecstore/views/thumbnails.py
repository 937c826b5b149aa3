"""Thumbnails: small pictures of stored images in two sizes, made once, kept in the cache folder under their sha256.

Keyed by content, so that a copy, a renamed file and a second store need no other, and one that is kept is right
whatever became of the file. Written beside and renamed; several threads and processes may use the folder at once. It is
bounded in bytes: the least recently used go first.
"""

import io
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

from vecstore.errors import BadInput, NotFound
from vecstore.image_ref import ImageRef, require_stored
from vecstore.ingest.pipeline import Progress, ordered
from vecstore.ingest.sync import OnProgress
from vecstore.results import ThumbnailReport
from vecstore.session import Session
from vecstore.sources import archives, decoding
from vecstore.sources.paths import cache_dir, on_disk, shown
from vecstore.storage.durable_files import replacing_in_cache

log = logging.getLogger(__name__)

MAX_MEGABYTES = 512
# What a sweep leaves, and after how much of its own writing a process looks at what others wrote: parts of the bound.
SWEPT_TO, OWN_PART = 7 / 8, 1 / 16


@dataclass(frozen=True)
class Size:
    """side: pixels of the longer side at most. suffix: of its file, behind the content's sha256."""

    side: int
    suffix: str


SIZES = {"small": Size(320, ".webp"), "large": Size(960, "-960.webp")}
SMALL = SIZES["small"]
MEDIA_TYPE = "image/webp"
# The fastest method: the next ones take a third more time for 5 % less room. Of 320 x 263 pixels, a WebP has 19 kB in
# 3.8 ms, and a JPEG of the same error 24 kB in 0.7 ms.
QUALITY, METHOD = 80, 0


def bytes_allowed() -> int:
    """Return how many bytes all thumbnails may take: `$VECSTORE_THUMBNAILS_MB`, else 512 MB. Raises BadInput."""
    said = os.environ.get("VECSTORE_THUMBNAILS_MB", "").strip() or str(MAX_MEGABYTES)
    if not (said.isascii() and said.isdigit() and len(said) <= 12 and int(said) > 0):
        raise BadInput(f"VECSTORE_THUMBNAILS_MB is {said!r}; give a number of megabytes, such as {MAX_MEGABYTES}")
    return int(said) * 1_000_000


class Thumbnails:
    """The thumbnails of one folder, made when they are asked for."""

    def __init__(self, folder: Path | None = None, max_bytes: int | None = None) -> None:
        """folder: `thumbnails` in the cache folder if none is named. max_bytes: of all files in it together, by default
        `bytes_allowed()`.

        Every process that writes at the same time can exceed the bound by a sixteenth.
        """
        self.folder = folder if folder is not None else cache_dir() / "thumbnails"
        self.max_bytes = bytes_allowed() if max_bytes is None else max_bytes
        self._counting = threading.Lock()
        self._left = 0.0  # bytes to write until the folder is looked at

    def of(self, path: bytes, sha256: bytes, size: Size = SMALL) -> bytes:
        """Return the thumbnail of an image, a WebP of at most 320 pixels on the longer side unless a size is named, as
        `decoding.decode` shows it, without metadata.

        path: of a file or of a member of an archive. sha256: of its content, as the store knows it. A thumbnail that is
        kept is returned without a look at the file. One that cannot be kept (a full disk) is returned all the same.
        Raises NotFound if the file is gone, decoding.Unreadable if it cannot be read or has changed.
        """
        kept = self._kept(sha256, size)
        if kept is not None:
            return kept
        thumbnail = _made(path, sha256, [size])[size]
        try:
            self._keep(self._file(sha256, size), thumbnail)
        except OSError as error:
            log.info("the thumbnail of %s is not kept: %s", shown(path), error.strerror)
        return thumbnail

    def make(self, path: bytes, sha256: bytes, sizes: Sequence[Size]) -> dict[Size, int]:
        """Make and keep thumbnails of an image from one decoding; return their bytes.

        Raises what `of` does, and OSError if one cannot be kept.
        """
        made = _made(path, sha256, sizes)
        for size, thumbnail in made.items():
            self._keep(self._file(sha256, size), thumbnail)
        return {size: len(thumbnail) for size, thumbnail in made.items()}

    def of_any(self, paths: Sequence[bytes], sha256: bytes, size: Size = SMALL) -> bytes:
        """Return the thumbnail of an image, made from the first of its paths that still has it.

        paths: at least one. Raises what `of` does of the first of them if none has.
        """
        for path in paths:
            with suppress(NotFound, decoding.Unreadable):
                return self.of(path, sha256, size)
        return self.of(paths[0], sha256, size)  # its error is the one to tell

    def sizes_kept(self, sha256: bytes, sizes: Iterable[Size]) -> dict[Size, int]:
        """Return the bytes of those thumbnails of an image that are kept; they count as used now."""
        found = {}
        for size in sizes:
            thumbnail = self._kept(sha256, size)
            if thumbnail is not None:
                found[size] = len(thumbnail)
        return found

    def _file(self, sha256: bytes, size: Size) -> Path:
        return self.folder / sha256.hex()[:2] / f"{sha256.hex()}{size.suffix}"

    def _kept(self, sha256: bytes, size: Size) -> bytes | None:
        file = self._file(sha256, size)
        with suppress(OSError):
            thumbnail = file.read_bytes()
            if _is_whole(thumbnail):  # not cut off by a power cut
                os.utime(file)  # used now; file systems rarely keep the time of access
                return thumbnail
        return None

    def _keep(self, file: Path, thumbnail: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing_in_cache(file) as written:
            written.write(thumbnail)
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
    wanted = _size(size)
    paths, sha256 = paths_and_content(session, ref)
    try:
        return thumbnails.of_any(paths, sha256, wanted)
    except decoding.Unreadable as error:
        raise BadInput(f"{shown(paths[0])}: {error}") from error


def make_thumbnails(
    session: Session,
    refs: Sequence[ImageRef],
    thumbnails: Thumbnails,
    names: Sequence[str],
    on_progress: OnProgress | None,
) -> ThumbnailReport:
    """Make the thumbnails that are missing; see `Store.make_thumbnails`."""
    started, sizes = time.monotonic(), [_size(name) for name in names]
    with session.catalog.reading():
        rows = [require_stored(session, ref) for ref in refs] or session.catalog.images.alive_rows()[::-1]
    # More would push out what this very run has made, or found.
    most = thumbnails.max_bytes * SWEPT_TO
    made = kept = failed = held = done = 0
    is_full = False
    n_threads = os.cpu_count() or 1
    with ThreadPoolExecutor(n_threads) as pool:
        work = partial(_make_missing, thumbnails, sizes)
        for sizes_made, found in ordered(pool, work, _files(session, rows), lambda: 2 * n_threads):
            done += 1
            made, kept = made + sizes_made, kept + len(found) - sizes_made
            failed += len(found) < len(sizes)
            held += sum(found.values())
            if on_progress is not None:
                on_progress(Progress(done, len(rows), failed))
            if held > most:
                is_full = done < len(rows)
                break
    return ThumbnailReport(done, made, kept, failed, len(rows) - done, held, is_full, time.monotonic() - started)


def _files(session: Session, rows: Iterable[int]) -> Iterator[tuple[list[bytes], bytes]]:
    """Yield where each image was seen, and the sha256 of its content; of those that were removed meanwhile no path."""
    for row in rows:
        with session.catalog.reading():
            yield session.catalog.paths.of(row), session.catalog.images.sha256_of(row) or b""


def _make_missing(
    thumbnails: Thumbnails, sizes: Sequence[Size], image: tuple[list[bytes], bytes]
) -> tuple[int, dict[Size, int]]:
    """Return how many thumbnails of an image were made, and the bytes of those that there are now."""
    paths, sha256 = image
    found = thumbnails.sizes_kept(sha256, sizes)
    missing = [size for size in sizes if size not in found]
    for path in paths if missing else ():
        with suppress(NotFound, decoding.Unreadable):
            return len(missing), found | thumbnails.make(path, sha256, missing)
    return 0, found


def _size(name: str) -> Size:
    if name not in SIZES:
        raise BadInput(f"{name!r} is not a size of thumbnails; choose one of {', '.join(SIZES)}")
    return SIZES[name]


def paths_and_content(session: Session, ref: ImageRef) -> tuple[list[bytes], bytes]:
    """Return where a stored image was seen, and the sha256 of its content. Raises NotFound."""
    with session.catalog.reading():
        row = require_stored(session, ref)
        return session.catalog.paths.of(row), session.catalog.images.sha256_of(row) or b""


def fit_to_box(thumbnail: bytes, width: int, height: int) -> Image.Image:
    """Return a thumbnail scaled to fit into a box."""
    with Image.open(io.BytesIO(thumbnail), formats=["WEBP"]) as picture:
        return ImageOps.contain(picture.convert("RGB"), (width, height), Image.Resampling.LANCZOS)


def squared(thumbnail: bytes, side: int) -> Image.Image:
    """Return the middle of a thumbnail as a square."""
    with Image.open(io.BytesIO(thumbnail), formats=["WEBP"]) as picture:
        return ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS)


def _picture(path: bytes, sha256: bytes, side: int) -> Image.Image:
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
    # It stays at least `side` in both directions, which a JPEG of 12 megapixels does at a half or an eighth.
    return decoding.decode(content.data, at_least=(side // 2, side // 2), name=path)


def _made(path: bytes, sha256: bytes, sizes: Sequence[Size]) -> dict[Size, bytes]:
    """Return thumbnails of an image in several sizes, from one decoding."""
    picture = _picture(path, sha256, max(size.side for size in sizes))
    made: dict[Size, bytes] = {}
    last: tuple[tuple[int, int], bytes] | None = None
    for size in sorted(sizes, key=lambda one: -one.side):
        picture.thumbnail((size.side, size.side))
        if last is None or picture.size != last[0]:  # a small picture is the same in all sizes
            last = picture.size, _encoded(picture)
        made[size] = last[1]
    return made


def _is_whole(thumbnail: bytes) -> bool:
    return thumbnail.startswith(b"RIFF") and int.from_bytes(thumbnail[4:8], "little") + 8 == len(thumbnail)


def _encoded(picture: Image.Image) -> bytes:
    picture.info.clear()  # Pillow would write some of it
    written = io.BytesIO()
    picture.save(written, "WEBP", quality=QUALITY, method=METHOD)
    return written.getvalue()
