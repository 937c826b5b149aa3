"""The blocks of the README and of the other pages: run where that is cheap, else read as the program reads a command.

The tour of the README is run, and says what the page shows, but for digits that depend on the machine.
`tests/test_docs.py` runs the start and the how-tos, `tests/arrays/test_docs.py` the page about Python.
"""

import contextlib
import functools
import io
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import paint
from tests.programs import ROOT
from vecstore.search import conditions
from vecstore.sources.painted import paint_folder

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELLS = ("", "console")
# A command between backticks; one with an ellipsis or names in capitals describes a form.
INLINE = re.compile(r"(?<!`)`(vecstore [a-z]+[^`]*)`(?!`)")


def blocks(page: str, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall((ROOT / page).read_text()) if kind == language]


def commands_of(page: Path) -> list[str]:
    """Return the commands of ours in the blocks of a page and between its words."""
    text = page.read_text()
    lines = [line for kind, block in BLOCK.findall(text) if kind in SHELLS for line in block.splitlines()]
    found = [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?vecstore ", line)]
    prose = BLOCK.sub("", text)
    return found + [" ".join(one.split()) for one in INLINE.findall(prose) if "..." not in one]


@functools.cache
def built() -> Any:
    return get_command(app)


def read_as_the_program_does(line: str) -> None:
    words = shlex.split(re.split(r" (?:\|\||\||>|2>|&&) ", line)[0], comments=True)[1:]
    program = built()
    context = program.make_context("vecstore", list(words), resilient_parsing=True)
    rest = [*context._protected_args, *context.args]
    if not rest:  # of the program itself, such as --version
        return
    command = program.commands[rest[0]]
    inner = type(context)(command, info_name=rest[0], parent=context)
    command.make_parser(inner).parse_args(rest[1:])


def complaint_about(line: str) -> str:
    try:
        read_as_the_program_does(line)
    except Exception as error:
        # Words may name an option alone; what follows it is in a table or a block.
        return "" if str(error).endswith("requires an argument.") else str(error)
    return ""


def test_a_command_or_an_option_that_is_not_there_is_found() -> None:
    assert "No such option: --wrod" in complaint_about("vecstore similar cat.jpg --wrod dog")
    assert complaint_about("vecstore simlar cat.jpg") != ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one_that_the_program_reads(page: Path) -> None:
    refused = [(line, complaint) for line in commands_of(page) if (complaint := complaint_about(line))]
    assert refused == []


def without_measured(text: str) -> list[str]:
    """Return lines without what differs between machines: fractions, rates, which image is the most typical."""
    text = re.sub(r"\d+\.\d+", "#", text)
    return re.sub(r"@\d+|-\d+(?=\.jpg)|(?<=in )\d+ s\b", "#", text).splitlines()


def test_the_tour_of_the_readme_says_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    tour = (ROOT / "README.md").read_text().partition("\n## A tour\n")[2].partition("\n## ")[0]
    lines = [line for kind, text in BLOCK.findall(tour) if kind == "console" for line in text.splitlines()]
    shown = "\n".join(lines).replace("/home/me/vecstore", str(tmp_path)) + "\n"
    said, added = "", 0
    for line in lines:
        if not line.startswith("$ "):
            continue
        words = shlex.split(line)[2:]
        if words[0] == "add":  # the folder is painted before the first, and grows before the third
            added += 1
            if added != 2:
                paint_folder(Path("demo/pictures"), *((0, 20) if added == 1 else (20, 22)))
        done = CliRunner().invoke(app, [word for word in words if word != "--open"])
        assert done.exit_code == 0, f"{line}\n{done.output}"
        said += f"{line}\n{done.stdout}"
    assert without_measured(said) == without_measured(shown)


def test_the_embedder_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(4):
        paint(tmp_path / f"pictures/{seed}.png", seed)
    (code,) = blocks("docs/embedders.md", "python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs/embedders.md", "exec"), {})
    assert printed.getvalue() == "3\n"


def test_blocks_of_settings_are_of_their_language() -> None:
    (settings,) = blocks("docs/embedders.md", "toml")
    assert tomllib.loads(settings)["layout"] == "NCHW"
    (configured,) = blocks("docs/serve.md", "json")
    server = json.loads(configured)["mcpServers"]["photos"]
    read_as_the_program_does(shlex.join([server["command"], *server["args"]]))


def test_the_conditions_of_the_page_are_conditions() -> None:
    found = [line for line in blocks("docs/facts.md", "")[-1].splitlines() if line]
    assert len(found) >= 5
    for line in found:
        assert conditions.parse(line)
