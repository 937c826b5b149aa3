"""What `duplicates` finds of pictures that were altered in known ways, by kind: recall, false groups, time, memory."""

import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from scripts.benchmarks.common import describe_machine, make_photos, peak_memory
from vecstore import Store
from vecstore.search.copies import CopyFinder

TURN = Image.Transpose
SUFFIXES = {"GIF": "gif", "WebP": "webp", "screenshot with bars": "png"}


def _cut(left: float, top: float, right: float, bottom: float) -> Callable[[Image.Image], Image.Image]:
    def cut(image: Image.Image) -> Image.Image:
        width, height = image.size
        return image.crop(
            (round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom)))
        )

    return cut


def _barred(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (image.width, round(image.height * 1.4)))
    canvas.paste(image, (0, round(image.height * 0.2)))
    return canvas


def _screenshot(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (round(image.width * 1.1), round(image.height * 1.5)), (250, 250, 250))
    canvas.paste(image, (round(image.width * 0.05), round(image.height * 0.2)))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, 0, canvas.width, round(image.height * 0.06)), fill=(40, 60, 90))
    draw.text((10, 5), "12:04   Photos", fill="white")
    return canvas


def _written_on(text: str, place: tuple[float, float], part: int) -> Callable[[Image.Image], Image.Image]:
    def write(image: Image.Image) -> Image.Image:
        image = image.copy()
        where = image.width * place[0], image.height * place[1]
        ImageDraw.Draw(image).text(
            where, text, fill="white", stroke_width=1, stroke_fill="black", font_size=max(image.height // part, 8)
        )
        return image

    return write


def _smaller(image: Image.Image) -> Image.Image:
    return image.resize((max(image.width // 4, 1), max(image.height // 4, 1)), Image.Resampling.LANCZOS)


# The first ten are planted; the quality of the JPEG is 88 where none is named.
KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "flipped": ImageOps.flip,
    "turned by a quarter": lambda image: image.transpose(TURN.ROTATE_90),
    "turned by a half": lambda image: image.transpose(TURN.ROTATE_180),
    "grey": lambda image: image.convert("L"),
    "a quarter of the size": _smaller,
    "JPEG at quality 15": lambda image: image,
    "cropped by a tenth on each side": _cut(0.1, 0.1, 0.1, 0.1),
    "letterboxed": _barred,
    "WebP": lambda image: image,
    "GIF": lambda image: image,
    "cropped by a twentieth on each side": _cut(0.05, 0.05, 0.05, 0.05),
    "cropped by a fifth on the left and a tenth below": _cut(0.2, 0, 0, 0.1),
    "cut to a square": lambda image: ImageOps.fit(image, (min(image.size),) * 2),
    "turned by 3 degrees": lambda image: image.rotate(3, Image.Resampling.BICUBIC),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(min(image.size) / 120)),
    "a small caption": _written_on("(c) example.org", (0.55, 0.85), 14),
    "large text across": _written_on("SAMPLE TEXT", (0.08, 0.4), 8),
    "brighter by a third": lambda image: ImageEnhance.Brightness(image).enhance(1.35),
    "darker by a third": lambda image: ImageEnhance.Brightness(image).enhance(0.65),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.5),
    "more saturation": lambda image: ImageEnhance.Color(image).enhance(1.8),
    "squeezed to 256 x 256": lambda image: image.resize((256, 256)),
    "screenshot with bars": _screenshot,
}
PLANTED = tuple(KINDS)[:10]


def main(
    pictures: Annotated[Path, typer.Argument(help="A folder of photos.")],
    photos: Annotated[int, typer.Option(help="Photos of it that are altered, each kind in a store.")] = 21,
    planted: Annotated[int, typer.Option(help="Instead: so many copies, each of another picture, ten kinds.")] = 0,
    total: Annotated[int, typer.Option(help="With --planted: pictures in all; painted if there are less.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Draws the photos.")] = 0,
    embedder: Annotated[str, typer.Option()] = "efficientnet-lite0",
    hashes: Annotated[int, typer.Option(help="Instead: search so many random hashes, and no picture.")] = 0,
) -> None:
    """Print, by kind of alteration, how many copies are in one group with their picture, and the groups of others."""
    describe_machine("numpy", "pillow")
    if hashes:
        _print_hashes(hashes)
        return
    originals = sorted(file for file in pictures.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as scratch:
        if planted:
            if len(originals) < total - planted:
                made = make_photos(Path(scratch) / "made", total - planted, Path(scratch) / "none")
                originals = sorted((Path(scratch) / "made").iterdir())
                print(f"{len(originals):,} pictures {made}")
            chosen = sorted(random.choice(total - planted, planted, replace=False).tolist())
            for number, place in enumerate(chosen):
                _alter(originals[place], Path(scratch) / f"pictures/{place:06}", PLANTED[number % len(PLANTED)])
            for place in {*range(total - planted)} - {*chosen}:
                _alter(originals[place], Path(scratch) / f"pictures/{place:06}", None)
            found = _found(Path(scratch), embedder)
            print(found.of_time)
        else:
            some = [originals[place] for place in random.choice(len(originals), photos, replace=False).tolist()]
            found = Found()
            for number, kind in enumerate(KINDS):
                for place, original in enumerate(some):
                    _alter(original, Path(scratch) / f"{number}/pictures/{place:03}", kind)
                found.add(_found(Path(scratch) / str(number), embedder))
    print(f"{found.groups} groups, of which {found.mixed} with two different pictures\n")
    print("| alteration | copies | found | called |\n|---|---|---|---|")
    for kind in KINDS:
        if found.there[kind]:
            called = ", ".join(f"{name} {n}" for name, n in found.named[kind].most_common(3))
            print(f"| {kind} | {found.there[kind]} | {found.right[kind]} | {called} |")


@dataclass
class Found:
    """By kind: copies, those in one group with their original, and what they are called. of_time: in words."""

    there: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    named: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    groups: int = 0
    mixed: int = 0
    of_time: str = ""

    def add(self, other: "Found") -> None:
        self.there += other.there
        self.right += other.right
        for kind, names in other.named.items():
            self.named[kind] += names
        self.groups += other.groups
        self.mixed += other.mixed


def _alter(original: Path, folder: Path, kind: str | None) -> None:
    """Put a picture into a folder of its own, and, if a kind is named, its altered copy."""
    folder.mkdir(parents=True)
    shutil.copy(original, folder / f"original{original.suffix}")
    if kind is None:
        return
    image = ImageOps.exif_transpose(Image.open(original)).convert("RGB")
    form = {"GIF": "GIF", "WebP": "WEBP", "screenshot with bars": "PNG"}.get(kind, "JPEG")
    quality = {"JPEG at quality 15": 15, "WebP": 50}.get(kind, 88)
    written = folder / f"{kind}.{SUFFIXES.get(kind, 'jpg')}"
    KINDS[kind](image).save(written, form, **({"quality": quality} if form in ("JPEG", "WEBP") else {}))


def _found(scratch: Path, embedder: str) -> Found:
    """Add the pictures of a folder to a store, and return what is found in it."""
    compared: list[int] = []
    finish = CopyFinder.keep

    def counting(finder: CopyFinder) -> None:
        compared.append(finder.n_verified)
        finish(finder)

    result = Found()
    seconds: list[float] = []
    with Store.open(scratch / "store", embedder=embedder, create=True) as store, peak_memory() as peak:
        added = store.add(scratch / "pictures")
        setattr(CopyFinder, "keep", counting)  # noqa: B010
        for _ in range(2):
            started = time.perf_counter()
            found = list(store.duplicates())
            seconds.append(time.perf_counter() - started)
        setattr(CopyFinder, "keep", finish)  # noqa: B010
    result.of_time = (
        f"added in {added.seconds:.0f} s; compared in {seconds[0]:.1f} s, {compared[0]:,} pairs by their pixels; "
        f"again in {seconds[1]:.1f} s, {compared[1]:,} pairs; {peak[0]:.0f} MiB at the peak"
    )
    group_of = {Path(one.path): one.group for one in found}
    folders: dict[int, set[Path]] = defaultdict(set)
    for file, group in group_of.items():
        folders[group].add(file.parent)
    relations = {Path(one.path): one.relation for one in found}
    for file in (scratch / "pictures").rglob("*.*"):
        if file.stem in KINDS:
            original = next(file.parent.glob("original.*"))
            result.there[file.stem] += 1
            if file in group_of and group_of[file] == group_of.get(original):
                result.right[file.stem] += 1
                result.named[file.stem][relations[file] or relations[original]] += 1
    result.groups, result.mixed = len(folders), sum(len(of) > 1 for of in folders.values())
    return result


def _print_hashes(n: int) -> None:
    import faiss

    from indexes.close_hashes import HashTable

    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, n, np.uint64)
    queries = hashes[: min(n, 1 << 16)]
    started = time.perf_counter()
    table = HashTable(hashes)
    print(f"table of {n:,} hashes in {time.perf_counter() - started:.1f} s")
    started = time.perf_counter()
    found = sum(len(one) for one, _, _ in table.near(queries, 8))
    print(f"{(time.perf_counter() - started) / len(queries) * 1e3:.3f} ms a query, {found:,} found")
    flat = faiss.IndexBinaryFlat(64)
    flat.add(hashes.view(np.uint8).reshape(-1, 8))
    several = faiss.IndexBinaryMultiHash(64, 4, 16)
    several.nflip = 1
    several.add(hashes.view(np.uint8).reshape(-1, 8))
    for name, index in (("IndexBinaryFlat", flat), ("IndexBinaryMultiHash(4 x 16 bits, 1 flip)", several)):
        started = time.perf_counter()
        index.range_search(queries[:2_000].view(np.uint8).reshape(-1, 8), 9)
        print(f"{name}: {(time.perf_counter() - started) / 2_000 * 1e3:.3f} ms a query")
