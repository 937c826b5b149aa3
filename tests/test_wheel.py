"""The wheel that people install: every file of the packages is in it, the table of words too."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOOK_UP = "from vecstore.words import vocabulary as v; print(v.__file__, len(v.vocabulary().classes_of['dog']))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as the build backend makes it; without a network, so not in an environment of its own."""
    builders = pytest.importorskip("hatchling.builders.wheel")
    built = builders.WheelBuilder(str(ROOT)).build(
        directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"]
    )
    return Path(next(iter(built)))


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    ours = {
        file.relative_to(ROOT).as_posix()
        for package in ("vecstore", "cli", "indexes")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == ours


def test_words_are_looked_up_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    done = subprocess.run(
        [sys.executable, "-c", LOOK_UP], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{wheel}/vecstore/words/vocabulary.py 121\n"
