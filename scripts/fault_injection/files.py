"""Files of all formats, mutated and twisted: each is added or a failure with its reason, and costs no other.

Beside them lie sound pictures, which must all be added. The program itself adds each folder, in a process whose memory
is measured; nothing may end in a traceback, and a reason is one line. Times go beyond what the clocks of file systems,
and 64 bits of nanoseconds, can say.
"""

import contextlib
import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pillow_heif
from PIL import Image

from scripts.fault_injection.children import Ended, call, say
from scripts.fault_injection.damage import damaged
from scripts.fault_injection.runs import Run
from scripts.fault_injection.scenario import Pool, run_command
from vecstore.sources.painted import KINDS, paint
from vecstore.store import Store

FILES, BATCH, SOUND = 20_000, 500, 10
MAX_PEAK_MIB = 1536
# A batch takes seconds on a machine at rest; it may wait for others.
TIMEOUT_SECONDS = 600
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "HEIF", "AVIF", "ICO", "PPM", "JPEG2000", "TGA")
SUFFIXES = (".png", ".jpg", ".gif", ".webp", ".tif", ".bmp", ".heic", ".avif", ".ico", ".ppm", ".jp2", ".tga")
# Of files that are no picture by their content, or one that is not decoded.
OTHER_SUFFIXES = (".dng", ".cr2", ".crw", ".x3f", ".exr", ".hdr", ".jxl", ".svg", ".psd", "")
YEAR_NS = 31_556_952 * 10**9
# 1901, before 1677 and after 2262, which 64 bits of nanoseconds cannot hold, the last moment of 64 bits of seconds.
ABSURD_TIMES = (-69 * YEAR_NS, -300 * YEAR_NS, -(1 << 63) - 1, 293 * YEAR_NS, 1 << 63, 900 * YEAR_NS, (1 << 63) * 10**9)


def torture(run: Run, pool: Pool) -> None:
    """Add as many files as `run.n_files` says, a folder at a time, and look what became of each."""
    sources = _sources()
    store, folder = run.scratch / "store", run.scratch / "files"
    n_left = run.n_files or FILES
    while n_left > 0 and run.goes_on():
        n_files = min(BATCH, n_left)
        n_left -= n_files
        folder.mkdir()
        twisted = [_write_twisted(folder, number, sources, run.random) for number in range(n_files)]
        sound = [_write_sound(folder, number, run.random) for number in range(SOUND)]
        ended = call(_add, folder, store, timeout=TIMEOUT_SECONDS)
        if _judge(run, ended, folder):
            _judge_each(run, store, twisted, sound)
        shutil.rmtree(folder)
        shutil.rmtree(store, ignore_errors=True)


def _add(folder: Path, store: Path) -> None:
    """In a child: add a folder, and say at what memory the process was at the most."""
    try:
        run_command(["add", str(folder), "--store", str(store), "--embedder", "hsv"])
    finally:
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        say(("peak", int(status["VmHWM"].split()[0]) >> 10))


def _judge(run: Run, ended: Ended, folder: Path) -> bool:
    """Say whether the program went through the folder."""
    peaks = [thing[1] for thing in ended.said if isinstance(thing, tuple)]
    run.counts["MiB at the most"] = max(run.counts["MiB at the most"], *peaks, 0)
    went_through = bool(peaks) and ended.status in (0, 1) and not ended.error and "Traceback" not in ended.err
    if not went_through:
        kept = shutil.copytree(folder, f"build/torture/{folder.name}-{run.seed}", dirs_exist_ok=True)
        run.found(f"add: exit {ended.status}, files kept in {kept}: {(ended.error or ended.err)[-1500:]}")
    if max(peaks, default=0) > MAX_PEAK_MIB:
        run.found(f"add: {max(peaks)} MiB at the most; the limit is {MAX_PEAK_MIB}")
    return went_through


def _judge_each(run: Run, store: Path, twisted: list[Path], sound: list[Path]) -> None:
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(Store.open(store))
        except Exception as error:
            run.found(f"no store came of the files: {error}")
            return
        reasons = {os.fsencode(failure.path): failure.reason for failure in opened.failures()}
        added = {
            path for path in map(bytes, (*twisted, *sound)) if opened.session.catalog.paths.known(path) is not None
        }
    for path in twisted:
        run.counts["files"] += 1
        run.counts["added"] += bytes(path) in added
        run.counts["failures"] += bytes(path) in reasons
        if (bytes(path) in added) == (bytes(path) in reasons):
            run.found(f"{path.name}: neither added nor a failure, or both")
    for name, reason in reasons.items():
        if not reason.strip() or "\n" in reason or "Traceback" in reason:
            run.found(f"{os.fsdecode(name)}: no reason of one line: {reason!r}")
    for path in sound:
        if bytes(path) not in added:
            run.found(f"{path.name}: a sound picture is not added: {reasons.get(bytes(path))}")


# The files


def _sources() -> list[tuple[str, bytes]]:
    """Return sound files of all formats, small ones, with the suffix of each."""
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x9003] = 6, "a maker", "2001:01:01 00:00:00"
    found = []
    for seed, (kind, suffix) in enumerate(zip(FORMATS, SUFFIXES, strict=True)):
        picture = paint([*KINDS][seed % len(KINDS)], seed).resize((64, 48))
        ways: tuple[tuple[Image.Image, dict[str, object]], ...] = (
            (picture, {}),
            (picture, {"exif": exif.tobytes()}),
            (picture.convert("L"), {}),
            (picture.convert("P"), {}),
            (picture, {"progressive": True, "compression": "tiff_lzw", "lossless": True}),
            (picture, {"save_all": True, "append_images": [picture.rotate(90)]}),
        )
        for image, options in ways:
            with io.BytesIO() as file, contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                image.save(file, kind, **options)
                found.append((suffix, file.getvalue()))
    return found


def _write_twisted(folder: Path, number: int, sources: list[tuple[str, bytes]], random: Random) -> Path:
    suffix, content = random.choice(sources)
    for _ in range(random.choice((1, 1, 2, 3))):
        content = random.choice(TWISTS)(content, random) or b"\0"
    if random.random() < 0.1:
        suffix = random.choice(SUFFIXES + OTHER_SUFFIXES)
    # Without a suffix, a file that no longer begins like a picture is rightly passed over; the name asks for it here.
    path = folder / f"{number}{suffix or '.img.png'}"
    path.write_bytes(content)
    if random.random() < 0.1:
        with contextlib.suppress(OSError, OverflowError):  # not every file system can say every time
            os.utime(path, ns=(0, random.choice(ABSURD_TIMES)))
    return path


def _write_sound(folder: Path, number: int, random: Random) -> Path:
    path = folder / f"sound-{number}.png"
    image = paint([*KINDS][number % len(KINDS)], random.randrange(1 << 30)).resize((32, 24))
    image.save(path)
    return path


def _damaged(content: bytes, random: Random) -> bytes:
    return damaged(content, random)[0]


def _cut(content: bytes, random: Random) -> bytes:
    return content[: -random.choice((1, 2, 3, 8, 64, 500))]


def _with_trailer(content: bytes, random: Random) -> bytes:
    return content + random.choice((random.randbytes(300), bytes(5000), b"\xff\xda" * 200, content, b"\n"))


def _of_absurd_size(content: bytes, random: Random) -> bytes:
    """Overwrite the width and height, wherever the numbers of this small picture stand."""
    sizes = [random.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)) for _ in range(2)]
    for form in (">HH", "<HH", ">II", "<II"):
        limit = 0xFFFF if "H" in form else 0xFFFFFFFF
        new = struct.pack(form, *(min(size, limit) for size in sizes))
        for before in ((64, 48), (48, 64)):
            content = content.replace(struct.pack(form, *before), new, 1)
    return content


def _with_absurd_exif(content: bytes, random: Random) -> bytes:
    """Overwrite the entries of a TIFF directory: type, count and value, as EXIF blocks have them too."""
    start = max(content.find(b"II*\0"), content.find(b"MM\0*"))
    if start < 0:
        return _damaged(content, random)
    found = bytearray(content)
    for _ in range(random.randrange(1, 4)):
        at = start + 10 + 12 * random.randrange(8) + random.choice((0, 2, 4, 8))
        found[at : at + 4] = random.choice((b"\xff" * 4, bytes(4), b"\0\0\0\x80", b"\x0c\0\x05\0", random.randbytes(4)))
    return bytes(found)


def _with_bad_chunk(content: bytes, random: Random) -> bytes:
    """Put a chunk into a PNG that is damaged or overlong; other formats get a segment or bytes of the kind."""
    body = random.choice(
        (b"Comment\0" + b"x" * 50, b"k\0\0" + zlib.compress(bytes(2 << 20)), random.randbytes(20), b"")
    )
    if content.startswith(b"\x89PNG"):
        kind = random.choice((b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"pHYs", b"tRNS", b"abCd", b"acTL", b"fcTL"))
        checksum = zlib.crc32(kind + body) ^ random.choice((0, 1))
        chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
        at = random.choice((33, len(content) - 12))
        return content[:at] + chunk + content[at:]
    if content.startswith(b"\xff\xd8"):
        segment = bytes((0xFF, random.choice((0xE1, 0xE2, 0xED, 0xEE, 0xFE)))) + struct.pack(
            ">H", 2 + len(body[:60000])
        )
        return content[:2] + segment + body[:60000] + content[2:]
    at = random.randrange(len(content))
    return content[:at] + body[:200] + content[at:]


TWISTS: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(_damaged, _damaged, _cut, _with_trailer),
    *(_of_absurd_size, _with_absurd_exif, _with_bad_chunk),
)
