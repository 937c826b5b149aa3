"""What `duplicates` finds of pictures that were altered in known ways, by kind: recall, false groups, time, memory."""

import json
import shutil
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from scripts.benchmarks import copies_scale
from scripts.benchmarks.common import describe_machine, painted, peak_memory
from vecstore import Store
from vecstore.search.copies import CopyFinder

TURN = Image.Transpose
PEERS = Path(__file__).with_name("copies_peers.py")
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
    pictures: Annotated[list[Path] | None, typer.Argument(help="Folders of photos.", metavar="FOLDER...")] = None,
    photos: Annotated[int, typer.Option(help="Photos of it that are altered, each kind in a store.")] = 21,
    planted: Annotated[int, typer.Option(help="Instead: so many copies, each of another picture, ten kinds.")] = 0,
    total: Annotated[int, typer.Option(help="With --planted: pictures in all; painted if there are less.")] = 10_000,
    quarters: Annotated[
        bool, typer.Option("--quarters", help="With --planted: cut every other photo into four, which get no copy.")
    ] = False,
    peers: Annotated[
        Path | None, typer.Option(metavar="PYTHON", help="A Python with imagededup and czkawka, to be compared with.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the photos.")] = 0,
    embedder: Annotated[str, typer.Option()] = "efficientnet-lite0",
    hashes: Annotated[int, typer.Option(help="Instead: search so many random hashes, and no picture.")] = 0,
    rows: Annotated[
        int, typer.Option(help="Instead: compare so many made-up vectors and hashes, and 1,000 that are added to them.")
    ] = 0,
    dim: Annotated[int, typer.Option(help="With --rows: numbers of a vector.")] = 1280,
) -> None:
    """Print, by kind of alteration, how many copies are in one group with their picture, and the groups of others.

    Example: scripts/bench copies flowers200 --peers peers/bin/python
    """
    describe_machine("numpy", "pillow")
    if hashes or rows:
        copies_scale.print_hashes(hashes) if hashes else copies_scale.print_rows(rows, dim)
        return
    originals = sorted(
        file
        for folder in pictures or []
        for file in folder.rglob("*")
        if file.suffix.lower() in (".jpg", ".jpeg", ".png")
    )
    if not originals:
        raise typer.BadParameter("name a folder of photos, or give --rows or --hashes")
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch)]
        if planted:
            whole = originals[::2] if quarters else originals
            _plant(Path(scratch), whole, originals[1::2] if quarters else [], planted, total, random)
        else:
            some = [originals[place] for place in random.choice(len(originals), photos, replace=False).tolist()]
            folders = [Path(scratch) / str(number) for number in range(len(KINDS))]
            for folder, kind in zip(folders, KINDS, strict=True):
                for place, original in enumerate(some):
                    _alter(original, folder / f"pictures/{place:03}", kind)
        found = {"vecstore": Found()}
        if peers is not None:  # the first, as they are what may fail
            found |= _found_by_peers(peers, [folder / "pictures" for folder in folders])
        for folder in folders:
            found["vecstore"].add(_found(folder, embedder))
        if planted:
            print(found["vecstore"].of_time)
    _print_table(found)


def _plant(
    scratch: Path, whole: list[Path], cut: list[Path], planted: int, total: int, random: np.random.Generator
) -> None:
    """Put pictures into folders of their own, and a copy beside some; of those that are cut, each quarter is one."""
    n_originals = total - planted
    n_whole = min(len(whole), n_originals)
    if planted > n_whole:
        raise typer.BadParameter(f"{planted:,} copies are planted of {n_whole:,} photos; name more, or plant less")
    chosen = {place: number for number, place in enumerate(sorted(random.choice(n_whole, planted, False).tolist()))}
    for place in range(n_whole):
        kind = PLANTED[chosen[place] % len(PLANTED)] if place in chosen else None
        _alter(whole[place], scratch / f"pictures/{place:06}", kind)
    n_quarters = min(4 * len(cut), n_originals - n_whole)
    for number in range(n_quarters):
        image = ImageOps.exif_transpose(Image.open(cut[number // 4])).convert("RGB")
        across, down = number % 2 / 2, number // 2 % 2 / 2
        _write(_cut(across, down, 0.5 - across, 0.5 - down)(image), scratch / f"pictures/{n_whole + number:06}")
    n_painted = n_originals - n_whole - n_quarters
    for number in range(n_painted):
        _write(painted(number), scratch / f"pictures/{n_whole + n_quarters + number:06}")
    print(f"{n_whole:,} photos, {n_quarters:,} quarters of others, {n_painted:,} painted; {planted:,} copies")


def _write(image: Image.Image, folder: Path) -> None:
    folder.mkdir(parents=True)
    image.save(folder / "original.jpg", quality=90)


def _print_table(found: dict[str, "Found"]) -> None:
    ours, others = found["vecstore"], [one for name, one in found.items() if name != "vecstore"]
    for name, one in found.items():
        print(f"{name}: {one.groups} groups, of which {one.mixed} with two different pictures; {one.cpu:.0f} s of CPU")
    names = "".join(f" {name} |" for name in found if name != "vecstore")
    print(f"\n| alteration | copies | found | called |{names}\n|---|---|---|---|{'---|' * len(others)}")
    for kind in KINDS:
        if ours.there[kind]:
            called = ", ".join(f"{name} {n}" for name, n in ours.named[kind].most_common(3))
            theirs = "".join(f" {one.right[kind]} |" for one in others)
            print(f"| {kind} | {ours.there[kind]} | {ours.right[kind]} | {called} |{theirs}")


@dataclass
class Found:
    """By kind: copies, those in one group with their original, and what they are called. cpu: seconds of all threads.

    of_time: in words.
    """

    there: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    named: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    groups: int = 0
    mixed: int = 0
    cpu: float = 0
    of_time: str = ""

    def add(self, other: "Found") -> None:
        self.there += other.there
        self.right += other.right
        for kind, names in other.named.items():
            self.named[kind] += names
        self.groups += other.groups
        self.mixed += other.mixed
        self.cpu += other.cpu
        self.of_time = other.of_time

    def take_in(self, pictures: Path, groups: Iterable[Iterable[Path]], relations: Mapping[Path, str]) -> None:
        """Count what is in one group with its original, of the altered copies in a folder."""
        group_of: dict[Path, int] = {}
        for number, group in enumerate(groups):
            files = [*group]
            group_of.update(dict.fromkeys(files, number))
            self.groups += 1
            self.mixed += len({file.parent for file in files}) > 1
        for file in pictures.rglob("*.*"):
            if file.stem in KINDS:
                original = next(file.parent.glob("original.*"))
                self.there[file.stem] += 1
                if file in group_of and group_of[file] == group_of.get(original):
                    self.right[file.stem] += 1
                    self.named[file.stem][relations.get(file) or relations.get(original, "")] += 1


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
    began = time.process_time()
    with Store.open(scratch / "store", embedder=embedder, create=True) as store, peak_memory() as peak:
        added = store.add(scratch / "pictures")
        setattr(CopyFinder, "keep", counting)  # noqa: B010
        for _ in range(2):
            started = time.process_time()
            found = list(store.duplicates())
            seconds.append(time.process_time() - started)
        setattr(CopyFinder, "keep", finish)  # noqa: B010
    result.cpu = time.process_time() - began - seconds[1]
    result.of_time = (
        f"added in {added.seconds:.0f} s of the clock; compared in {seconds[0]:.1f} s of CPU, {compared[0]:,} pairs by "
        f"their pixels; again in {seconds[1]:.1f} s, {compared[1]:,} pairs; {peak[0]:.0f} MiB at the peak"
    )
    groups: dict[int, list[Path]] = defaultdict(list)
    for one in found:
        groups[one.group].append(Path(one.path))
    result.take_in(scratch / "pictures", groups.values(), {Path(one.path): one.relation for one in found})
    return result


def _found_by_peers(python: Path, folders: list[Path]) -> dict[str, Found]:
    """Return what the programs in another Python find in the folders: groups of what they take for duplicates."""
    found: dict[str, Found] = defaultdict(Found)
    ran = subprocess.run([python, PEERS, *folders], stdout=subprocess.PIPE, text=True, check=True)
    for line in map(json.loads, ran.stdout.splitlines()):
        groups = _joined([(Path(one), Path(other)) for one, other in line["pairs"]])
        found[line["name"]].take_in(Path(line["folder"]), groups, {})
        found[line["name"]].cpu += line["seconds"]
    return dict(found)


def _joined(pairs: list[tuple[Path, Path]]) -> list[set[Path]]:
    """Return the files that are held together by pairs."""
    group_of: dict[Path, set[Path]] = {}
    for one, other in pairs:
        joined = group_of.get(one, {one}) | group_of.get(other, {other})
        group_of.update(dict.fromkeys(joined, joined))
    return [*{id(group): group for group in group_of.values()}.values()]
