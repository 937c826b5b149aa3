"""Thumbnails: what they look like, that they are made once, and that their folder stays within its bound."""

import io
import os
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import paint
from vecstore.errors import BadInput, NotFound
from vecstore.sources.decoding import Unreadable
from vecstore.store import Store
from vecstore.views import thumbnails as module
from vecstore.views.thumbnails import Thumbnails, bytes_allowed


@pytest.fixture
def thumbnails(tmp_path: Path) -> Thumbnails:
    return Thumbnails(tmp_path / "thumbnails")


def made_of(thumbnails: Thumbnails, path: Path) -> Image.Image:
    return Image.open(io.BytesIO(thumbnails.of(bytes(path), sha256(path.read_bytes()).digest())))


def files_in(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def noise(path: Path, seed: int) -> Path:
    """A picture that hardly compresses."""
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (200, 200, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("size", "expected"),
    [((800, 400), (320, 160)), ((400, 800), (160, 320)), ((40, 30), (40, 30)), ((9000, 3), (320, 1))],
)
def test_the_longer_side_is_320_pixels_at_most(
    thumbnails: Thumbnails, tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert made_of(thumbnails, paint(tmp_path / "a.png", 0, size)).size == expected


def test_the_orientation_is_applied_and_metadata_is_left_behind(thumbnails: Thumbnails, tmp_path: Path) -> None:
    picture = Image.new("RGB", (60, 40), "red")
    picture.paste("blue", (0, 0, 60, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise
    exif[0x010E] = "secret place"
    picture.save(tmp_path / "a.jpg", quality=95, exif=exif, comment=b"secret word", dpi=(300, 300))
    thumbnail = made_of(thumbnails, tmp_path / "a.jpg")
    assert thumbnail.size == (40, 60)
    red, _, blue = thumbnail.convert("RGB").getpixel((35, 30))
    assert blue > 200 > 50 > red  # what was above is on the right
    kept = files_in(thumbnails.folder)[0].read_bytes()
    assert b"secret" not in kept
    assert b"Exif" not in kept


def test_transparency_is_laid_on_white(thumbnails: Thumbnails, tmp_path: Path) -> None:
    Image.new("RGBA", (50, 50), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert min(made_of(thumbnails, tmp_path / "a.png").convert("RGB").getpixel((25, 25))) > 250


def test_it_is_made_once_and_served_when_the_file_is_gone(thumbnails: Thumbnails, tmp_path: Path) -> None:
    path = paint(tmp_path / "a.png", 0)
    content = sha256(path.read_bytes()).digest()
    first = thumbnails.of(bytes(path), content)
    path.unlink()
    assert thumbnails.of(bytes(path), content) == first


def test_a_damaged_one_is_made_anew(thumbnails: Thumbnails, tmp_path: Path) -> None:
    path = paint(tmp_path / "a.png", 0)
    first = thumbnails.of(bytes(path), sha256(path.read_bytes()).digest())
    (kept,) = files_in(thumbnails.folder)
    kept.write_bytes(first[:100])
    assert thumbnails.of(bytes(path), sha256(path.read_bytes()).digest()) == first
    assert kept.read_bytes() == first


def test_a_member_of_an_archive_has_one(thumbnails: Thumbnails, tmp_path: Path) -> None:
    content = paint(tmp_path / "a.png", 0).read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inner/a.png", content)
    member = bytes(tmp_path / "a.zip!/inner/a.png")
    assert Image.open(io.BytesIO(thumbnails.of(member, sha256(content).digest()))).size == (32, 24)


def test_a_file_that_is_gone_is_not_found(thumbnails: Thumbnails, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="gone.png is gone"):
        thumbnails.of(bytes(tmp_path / "gone.png"), b"\0" * 32)
    with pytest.raises(NotFound, match="is gone"):
        thumbnails.of(bytes(tmp_path / "gone.zip!/a.png"), b"\0" * 32)


def test_a_file_of_another_content_is_refused(thumbnails: Thumbnails, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="the file has changed"):
        thumbnails.of(bytes(paint(tmp_path / "a.png", 0)), b"\0" * 32)


def test_a_folder_that_cannot_be_written_to_costs_only_the_keeping(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = paint(tmp_path / "a.png", 0)
    assert Thumbnails(tmp_path / "file").of(bytes(path), sha256(path.read_bytes()).digest())


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    paths = [noise(tmp_path / f"{seed}.png", seed) for seed in range(12)]
    contents = [sha256(path.read_bytes()).digest() for path in paths]
    size = len(Thumbnails(tmp_path / "measured").of(bytes(paths[0]), contents[0]))
    thumbnails = Thumbnails(tmp_path / "thumbnails", max_bytes=size * 6)
    for age, (path, content) in enumerate(zip(paths, contents, strict=True)):
        thumbnails.of(bytes(path), content)
        for file in files_in(thumbnails.folder):  # times of modification are coarse on some file systems
            if file.stem in (content.hex(), contents[0].hex()):
                os.utime(file, (0, age if file.stem == content.hex() else 0))
        thumbnails.of(bytes(paths[0]), contents[0])  # used all the time
        paths[0].unlink(missing_ok=True)  # so that it cannot be rebuilt
        assert sum(file.stat().st_size for file in files_in(thumbnails.folder)) <= size * 6
    kept = {file.stem for file in files_in(thumbnails.folder)}
    assert contents[0].hex() in kept
    assert contents[1].hex() not in kept
    assert contents[11].hex() in kept


def test_threads_may_ask_for_the_same_at_once(thumbnails: Thumbnails, tmp_path: Path) -> None:
    path = noise(tmp_path / "a.png", 0)
    content = sha256(path.read_bytes()).digest()
    together = threading.Barrier(8)

    def ask(_: int) -> bytes:
        together.wait()
        return thumbnails.of(bytes(path), content)

    with ThreadPoolExecutor(8) as pool:
        assert len({*pool.map(ask, range(8))}) == 1
    assert len(files_in(thumbnails.folder)) == 1


def test_one_that_goes_while_they_are_counted_hides_none_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thumbnails = Thumbnails(tmp_path / "thumbnails", max_bytes=1_500)
    folder = thumbnails.folder / "ab"
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / name).write_bytes(bytes(1000))
    scan = os.scandir

    def scan_and_lose_one(path: str) -> Any:
        entries = scan(path)
        if os.fspath(path) == str(folder):
            with entries:
                found = list(entries)
            os.unlink(found[0].path)
            return nullcontext(found)
        return entries

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scan_and_lose_one)
        thumbnails._sweep()
    assert sum(file.stat().st_size for file in files_in(folder)) <= thumbnails.max_bytes


# Made ahead


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store of six pictures, of which one is smaller than any thumbnail, with a cache of its own."""
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path / "cache"))
    for seed in range(5):
        paint(tmp_path / "pictures" / f"{seed}.jpg", seed, (1200, 900))
    paint(tmp_path / "pictures" / "tiny.png", 9, (60, 40))
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as opened:
        opened.add(tmp_path / "pictures")
        yield opened


def test_all_are_made_ahead_in_both_sizes_and_only_once(store: Store, tmp_path: Path) -> None:
    seen: list[int] = []
    first = store.make_thumbnails(on_progress=lambda progress: seen.append(progress.done))
    assert (first.images, first.made, first.kept, first.failed, first.left, first.is_full) == (6, 12, 0, 0, 0, False)
    assert seen == [1, 2, 3, 4, 5, 6]
    assert first.bytes == sum(file.stat().st_size for file in files_in(tmp_path / "cache/thumbnails"))
    for file in (tmp_path / "pictures").iterdir():
        file.unlink()  # what was made is what is shown
    for image in store.images():
        for size, side in (("small", 320), ("large", 960)):
            shown = Image.open(io.BytesIO(store.thumbnail(image.id, size)))
            assert (shown.format, max(shown.size)) == ("WEBP", min(side, image.width))
    again = store.make_thumbnails()
    assert (again.made, again.kept, again.failed, again.bytes) == (0, 12, 0, first.bytes)


def test_a_large_picture_is_decoded_once_for_both_sizes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = module.decoding.decode
    monkeypatch.setattr(module.decoding, "decode", lambda data, **asked: decoded.append(1) or decode(data, **asked))
    assert store.make_thumbnails(0).made == 2
    assert len(decoded) == 1


def test_one_that_cannot_be_made_is_counted_and_the_others_are_made(store: Store, tmp_path: Path) -> None:
    (tmp_path / "pictures/1.jpg").unlink()
    paint(tmp_path / "pictures/2.jpg", 77)
    report = store.make_thumbnails(sizes=["small"])
    assert (report.images, report.made, report.failed) == (6, 4, 2)


def test_making_ahead_ends_where_it_would_push_out_its_own(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    for seed in range(60):
        paint(tmp_path / "more" / f"{seed}.png", seed, (160, 120))
    store.add(tmp_path / "more")
    whole = store.make_thumbnails(*range(6, 66), sizes=["small"]).bytes
    bound = whole * 3 // 4
    store._thumbnails = Thumbnails(tmp_path / "cache/other", max_bytes=bound)
    first = store.make_thumbnails(sizes=["small"])
    assert (first.is_full, first.kept, first.made) == (True, 0, first.images)
    assert 30 < first.images == 66 - first.left
    assert len(files_in(tmp_path / "cache/other")) >= first.made  # nothing had to go
    assert first.bytes < bound
    again = store.make_thumbnails(sizes=["small"])
    assert (again.is_full, again.made, again.kept) == (True, 0, again.images)


def test_the_room_for_thumbnails_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bytes_allowed() == 512_000_000
    monkeypatch.setenv("VECSTORE_THUMBNAILS_MB", "20000")
    assert Thumbnails().max_bytes == 20_000_000_000
    for wrong in ("0", "-1", "1.5", "many", "٣", "9" * 5_000):
        monkeypatch.setenv("VECSTORE_THUMBNAILS_MB", wrong)
        with pytest.raises(BadInput, match="give a number of megabytes"):
            bytes_allowed()


def test_a_size_that_is_none_is_refused_before_anything_is_made(store: Store) -> None:
    with pytest.raises(BadInput, match="'huge' is not a size of thumbnails; choose one of small, large"):
        store.make_thumbnails(sizes=["small", "huge"])
    assert files_in(store._thumbnails.folder) == []
