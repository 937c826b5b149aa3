"""The man page, the completions and the page of options: every command and option is in them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.docsite import manual
from scripts.docsite.assemble import as_page


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manual")
    manual.write(folder)
    return folder


def test_every_command_and_option_is_in_the_man_page_and_on_the_page(made: Path) -> None:
    roff, page = (made / "vecstore.1").read_text(), (made / "help.md").read_text()
    described = manual.commands()
    assert {"add", "similar", "serve", "doctor", "mcp"} <= {one.name for one in described}
    missing = [
        f"{one.name} {option.term}"
        for one in described
        for option in one.options
        if f".B {option.term}".replace("-", r"\-") not in roff or f"`{option.term}`".replace("|", r"\|") not in page
    ]
    assert missing == []
    assert "[bold]" not in roff + page


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not on this machine")
def test_the_man_page_is_roff_without_warnings(made: Path) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", made / "vecstore.1"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


@pytest.mark.parametrize("shell", manual.SHELLS)
def test_completions_are_scripts_of_their_shell(shell: str, made: Path) -> None:
    script = made / f"completions/vecstore.{shell}"
    assert "_VECSTORE_COMPLETE" in script.read_text()
    if shutil.which(shell):
        assert subprocess.run([shell, "-n", script], check=False).returncode == 0


def test_a_notebook_becomes_a_page_with_its_outputs_and_its_title_first() -> None:
    page = as_page(Path(__file__).parents[1] / "docs/notebooks/tour.ipynb")
    assert page.startswith("# A tour from Python\n")
    assert "```text\n36 added, then 0 added and 36 known\n```" in page
    assert "![](data:image/png;base64,iVBOR" in page
    assert "<th>score</th>" in page
    assert page.count('src="data:image/webp;base64,') == 3


def test_the_reference_reads_what_a_docstring_says_of_each_parameter() -> None:
    pytest.importorskip("griffe")
    from scripts.docsite.docstrings import as_numpydoc

    text = "It does.\n\nParameters\n----------\nk: how many.\n    At the most.\n\nRaises\n------\nNotFound, BadInput"
    assert as_numpydoc(text) == (
        "It does.\n\nParameters\n----------\nk\n    how many.\n    At the most.\n\nRaises\n------\nNotFound\nBadInput"
    )
