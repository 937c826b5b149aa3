"""Single acts on files: nothing is overwritten, and only regular files count."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vecstore.curation import file_acts

CONTENT = b"a picture"
SHA256 = hashlib.sha256(CONTENT).digest()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").write_bytes(CONTENT)
    return tmp_path / "source"


@pytest.mark.parametrize(
    "act",
    [
        lambda source, target: file_acts.move(bytes(source), bytes(target), SHA256, bytes(target) + b".draft"),
        lambda source, target: file_acts.copy(bytes(source), bytes(target), SHA256, bytes(target) + b".draft"),
        lambda source, target: file_acts.link(bytes(source), bytes(target)),
    ],
)
def test_what_came_to_be_at_the_target_is_not_overwritten(
    act: Callable[[Path, Path], None], source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"another")
    with pytest.raises(FileExistsError):
        act(source, target)
    assert (source.read_bytes(), target.read_bytes()) == (CONTENT, b"another")


def test_a_copy_of_another_content_never_takes_its_place(source: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="another content than on record"):
        file_acts.restore_copy(bytes(tmp_path / "new"), bytes(source), bytes(32), bytes(tmp_path / "draft"), 0o644, 0)
    assert sorted(os.listdir(tmp_path)) == ["source"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_only_a_regular_file_has_a_content(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    os.mkfifo(tmp_path / "pipe")
    assert file_acts.look(bytes(source)).sha256 == SHA256
    for name in ("link", "pipe", "", "nothing"):
        with pytest.raises(OSError):  # noqa: PT011 - which one is the system's to say
            file_acts.look(bytes(tmp_path / name))
        assert not file_acts.holds(bytes(tmp_path / name), SHA256)


def test_a_file_of_the_same_content_that_was_there_survives_a_move_that_never_began(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_bytes(CONTENT)
    assert not file_acts.settle_move(bytes(source), bytes(target), SHA256, bytes(tmp_path / "draft"))
    assert (source.read_bytes(), target.read_bytes()) == (CONTENT, CONTENT)
