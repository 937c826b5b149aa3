"""The start, the how-tos and the notebooks: every block runs, in their order, on pictures painted for it.

A command that needs what a test has not (a Milvus, a service manager, a registry, a container) or that never ends is
checked for its name and its options instead.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import paint
from vecstore.embedders import registry

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / "start.md", *sorted((DOCS / "howto").glob("*.md"))]
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = ("milvus://", "--watch", "vecstore plan")
NOT_OURS = {"uv", "pip", "pipx", "systemctl", "journalctl", "docker", "install"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with Photos, train and test in it: three labels each; one picture of test is in train too."""
    for place, first in (("Photos", 0), ("train", 0), ("test", 50)):
        for number, label in enumerate(("beach", "city", "forest")):
            for seed in range(3):
                paint(tmp_path / place / label / f"{seed}.png", first + 10 * number + seed)
    paint(tmp_path / "test/beach/leak.png", 0)
    paint(tmp_path / "train/beach/copy.png", 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VECSTORE_STORE", str(tmp_path / "first.store"))
    monkeypatch.chdir(tmp_path)
    # What a reader gets when no embedder is named, without its weights.
    monkeypatch.setitem(registry.BUILT_IN, "resnet50", "tests.conftest:open_tiny")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_runs(page: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = BLOCK.findall(page.read_text())
    assert blocks
    for language, text in blocks:
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(text, str(page), "exec"), {})
        elif language == "console":
            for line in text.splitlines():
                assert line.startswith("$ "), f"a line that is no command: {line}"
                run(line[2:].partition(" #")[0], monkeypatch)


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a line as a shell does, or check it; everything but what follows `||` has to succeed."""
    command, may_fail, _ = line.partition(" || ")
    words = [os.path.expanduser(word) for word in shlex.split(command)]
    if words[0] == "export":
        monkeypatch.setenv(*words[1].split("=", 1))
    elif words[0] == "mv":
        subprocess.run(words, check=True)
    elif words[0] in NOT_OURS:
        pass
    elif any(mark in command for mark in ELSEWHERE):
        assert_is_known(words)
    else:
        assert words[0] == "vecstore", line
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code in ((0, 1) if may_fail else (0,)), f"{line}\n{done.output}"


def assert_is_known(words: list[str]) -> None:
    program: Any = get_command(app)
    known = {spelling for one in program.commands[words[1]].params for spelling in one.opts}
    assert {word for word in words[2:] if word.startswith("-")} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_that_a_page_names_is_there(page: Path) -> None:
    program: Any = get_command(app)
    named = set(re.findall(r"`vecstore ([a-z]+)", page.read_text()))
    assert named - program.commands.keys() == set()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_notebooks_run_as_they_are(notebook: Path, tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    read = nbformat.read(notebook, as_version=4)
    environment = {**os.environ, "PYTHONPATH": str(DOCS.parent), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", RUN_NOTEBOOK, notebook], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (read.nbformat, nbclient.__name__, done.returncode) == (4, "nbclient", 0), done.stderr[-2000:]


def test_the_tour_shows_ten_things_with_their_outputs() -> None:
    nbformat = pytest.importorskip("nbformat")
    cells = nbformat.read(DOCS / "notebooks/tour.ipynb", as_version=4).cells
    heads = [number for number, cell in enumerate(cells) if re.match(r"## \d+\.", cell.source)]
    assert [cells[head].source.split(".")[0] for head in heads] == [f"## {number}" for number in range(1, 11)]
    assert all(cells[head + 1].outputs for head in heads)


# In a process of its own, as Jupyter's libraries warn of what is theirs.
RUN_NOTEBOOK = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
"""
