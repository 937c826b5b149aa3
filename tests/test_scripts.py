"""`scripts/setup`: which Python makes an environment, and when it is rebuilt. The interpreters are stand-ins."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Answers what `scripts/setup` asks, and writes down each environment that it makes.
INTERPRETER = """#!/bin/sh
case "$*" in
  *version_info*) {start} echo "{version}" ;;
  --version) echo "Python {version}" ;;
  *"-m venv"*) echo "{version}" >>made; for folder; do :; done; mkdir -p $folder/bin; cp "$0" $folder/bin/python ;;
esac
"""
Setup = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """Run the script in a checkout with nothing but it, where `python3` is 3.11; say which Python is asked for."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/setup", tmp_path / "scripts/setup")
    for name in ("pyproject.toml", "requirements.lock", "requirements-engines.lock", "requirements-peers.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for name, version in (("python3", "3 11 2"), ("python3.13", "3 13 0")):
        (tmp_path / "bin" / name).write_text(INTERPRETER.format(version=version, start=""))
    (tmp_path / "bin/broken").write_text(INTERPRETER.format(version="", start="exit 127;"))
    for file in (tmp_path / "bin").iterdir():
        file.chmod(0o755)
    for name in ("bash", "dirname", "cat", "cksum", "cp", "mkdir"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "scripts/setup"],
            cwd=tmp_path,
            env={"PATH": str(tmp_path / "bin"), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def made(folder: Path) -> list[str]:
    """The Pythons that environments were made by, in turn."""
    return (folder / "made").read_text().splitlines()


def test_an_environment_is_made_once(setup: Setup, tmp_path: Path) -> None:
    assert [setup().returncode for _ in range(2)] == [0, 0]
    assert made(tmp_path) == ["3 11 2"]


def test_the_python_that_is_asked_for_makes_it(setup: Setup, tmp_path: Path) -> None:
    assert setup(PYTHON="python3.13").returncode == 0
    assert made(tmp_path) == ["3 13 0"]


def test_an_environment_of_another_python_is_made_anew(setup: Setup, tmp_path: Path) -> None:
    setup()
    assert setup(PYTHON="python3.13").returncode == 0
    assert made(tmp_path) == ["3 11 2", "3 13 0"]


def test_an_environment_stays_where_no_python_is_asked_for(setup: Setup, tmp_path: Path) -> None:
    setup(PYTHON="python3.13")
    assert setup().returncode == 0
    assert made(tmp_path) == ["3 13 0"]


def test_an_environment_whose_python_is_gone_is_made_anew(setup: Setup, tmp_path: Path) -> None:
    setup()
    os.remove(tmp_path / ".venv/bin/python")
    assert setup().returncode == 0
    assert made(tmp_path) == ["3 11 2", "3 11 2"]


def test_another_place_leaves_the_first_alone(setup: Setup, tmp_path: Path) -> None:
    setup()
    assert setup(PYTHON="python3.13", VENV=".venv.newest").returncode == 0
    assert [(tmp_path / f"{name}/setup-stamp").exists() for name in (".venv", ".venv.newest")] == [True, True]


@pytest.mark.parametrize("python", ["broken", "/nowhere/python3"])
def test_a_python_that_does_not_start_is_refused_by_name(python: str, setup: Setup, tmp_path: Path) -> None:
    done = setup(PYTHON=python)
    assert (done.returncode, (tmp_path / ".venv").exists()) == (1, False)
    assert done.stderr == f"setup: PYTHON={python} is no Python 3.11 or newer that starts; name another one\n"
