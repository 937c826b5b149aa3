"""Rules: which file of a group they keep, and why."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from tests.conftest import paint
from vecstore.curation import keep_rules
from vecstore.curation.keep_rules import Candidate
from vecstore.errors import BadInput
from vecstore.sources.painted import paint as painted
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(open_store: Callable[..., Store], tmp_path: Path) -> Store:
    """small.png in two folders, and a larger picture like it as PNG, BMP and TIFF: older, newer, and through a link."""
    folder = tmp_path / "pictures"
    large = paint(folder / "a/large.png", 1, (64, 48))
    paint(folder / "a/small.png", 1)
    (folder / "originals").mkdir()
    shutil.copyfile(folder / "a/small.png", folder / "originals/small.png")
    for name in ("large.bmp", "large.tiff"):
        Image.open(large).save(folder / "a" / name)
    for second, path in enumerate(sorted(folder.rglob("*.*")), start=1):
        os.utime(path, (second, second))
    made = open_store()
    made.add(folder)
    return made


@pytest.mark.parametrize(
    ("rules", "kept", "why"),
    [
        (["pixels", "oldest"], "a/large.bmp", "pixels 64 x 48, oldest, 1970-01-01"),
        (["bytes"], "a/large.tiff", "bytes 9,"),
        (["newest"], "originals/small.png", "newest, 1970-01-01"),
        (["format:tif,png"], "a/large.tiff", "format tiff"),
        (["format:png", "pixels"], "a/large.png", "format png, pixels 64 x 48"),
        (["folder:{folder}/originals,{folder}/a"], "originals/small.png", "folder {folder}/originals"),
        (["path:**/originals/*"], "originals/small.png", "path **/originals/*"),
        (["not-link", "folder:{folder}"], "a/large.bmp", "no rule made a difference"),
    ],
)
def test_a_group_is_kept_by_the_first_rules_that_make_a_difference(
    rules: list[str], kept: str, why: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pictures"
    keep = next(store.duplicates(keep_by=[rule.format(folder=folder) for rule in rules]))
    assert (keep.kind, keep.path) == ("keep", str(folder / kept))
    assert str(keep.why).startswith(why.format(folder=folder))


def test_every_other_image_has_its_best_file_and_copies_of_it(store: Store, tmp_path: Path) -> None:
    found = store.duplicates(keep_by=["format:tiff", f"folder:{tmp_path}/pictures/originals"])
    kinds = {str(Path(file.path).relative_to(tmp_path / "pictures")): (file.kind, file.why) for file in found}
    assert kinds == {
        "a/large.tiff": ("keep", "format tiff"),
        "a/large.bmp": ("near", None),
        "a/large.png": ("near", None),
        "originals/small.png": ("near", f"folder {tmp_path}/pictures/originals"),
        "a/small.png": ("copy", None),
    }


def test_a_file_that_changed_is_neither_kept_nor_called_a_copy(store: Store, tmp_path: Path) -> None:
    changed = tmp_path / "pictures/originals/small.png"
    state = changed.stat()
    changed.write_bytes(bytes(state.st_size))
    os.utime(changed, ns=(state.st_mtime_ns, state.st_mtime_ns))
    found = list(store.duplicates(keep_by=[f"folder:{changed.parent}"]))
    assert [(file.kind, Path(file.path).name) for file in found if file.kind in ("keep", "copy")] == [
        ("keep", "large.bmp")
    ]


def test_the_sharper_picture_is_kept(open_store: Callable[..., Store], tmp_path: Path) -> None:
    sharp = painted("city", 1)
    (tmp_path / "in").mkdir()
    sharp.filter(ImageFilter.GaussianBlur(2)).save(tmp_path / "in/a.png")
    sharp.save(tmp_path / "in/b.png")
    store = open_store()
    store.add(tmp_path / "in")
    keep = next(store.duplicates(min_score=0.8, keep_by=["sharpness"]))
    assert (Path(keep.path).name, str(keep.why)[:10]) == ("b.png", "sharpness ")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("best", "'best' is not a rule for what to keep; there are pixels, bytes, oldest, "),
        ("", "'' is not a rule for what to keep; "),
        ("pixels:3", "the rule 'pixels' takes no value; leave ':3' out"),
        ("format", "the rule 'format' needs a value, as in 'format:png,tiff,jpeg'"),
        ("format:png,word", "'word' is not a format that a rule knows; there are png, tiff, "),
        ("folder:,", "the rule 'folder:,' names no folder; "),
        ("path:[z-a]", "'\\[z-a\\]' is not a path pattern; "),
    ],
)
def test_a_rule_that_cannot_be_is_told_before_anything_is_compared(rule: str, message: str, store: Store) -> None:
    with pytest.raises(BadInput, match=f"^{message}"):
        store.duplicates(keep_by=[rule])


@given(st.lists(st.tuples(*[st.integers(1, 3)] * 3), min_size=1, max_size=6), st.permutations(["pixels", "bytes"]))
def test_what_is_kept_is_the_greatest_by_the_rules_in_order(
    sizes: list[tuple[int, int, int]], names: list[str]
) -> None:
    def state(size: int) -> os.stat_result:
        return os.stat_result((0o100644, 0, 0, 1, 0, 0, size, 0, 0, 0))

    files = [
        Candidate(number, b"/%d" % number, width, height, state(size))
        for number, (width, height, size) in enumerate(sizes)
    ]
    measure = {"pixels": lambda file: file.width * file.height, "bytes": lambda file: file.state.st_size}
    kept, _ = keep_rules.best(files, keep_rules.parse(names))
    assert kept.id == max(files, key=lambda file: ([measure[name](file) for name in names], -file.id)).id


def test_the_pixels_of_bars_are_not_counted() -> None:
    state = os.stat_result((0o100644, 0, 0, 1, 0, 0, 10, 0, 0, 0))
    boxed, whole = Candidate(0, b"/0", 90, 90, state, has_bars=True), Candidate(1, b"/1", 60, 90, state)
    assert keep_rules.best([boxed, whole], keep_rules.parse(["pixels"]))[0] == whole
