"""Puts the pages of the site together: docs/ as it is, the README and its like, what help and docstrings say.

python -m scripts.docsite.assemble FOLDER
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from scripts.docsite import manual

ROOT = Path(__file__).parents[2]
FRONT = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "SECURITY.md": "SECURITY.md"}
FRONT["CHANGELOG.md"] = "CHANGELOG.md"
API = """# Python

`Store` is the whole public face; results are frozen dataclasses with the fields of `--json`.

::: vecstore.store.Store

## Results

::: vecstore.results
    options:
      show_root_heading: false
      show_root_toc_entry: false

## Errors

::: vecstore.errors
    options:
      show_root_heading: false
      show_root_toc_entry: false
"""


def assemble(folder: Path) -> None:
    """Write all pages into a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    for name, page in FRONT.items():
        text = (ROOT / name).read_text()
        # Links of the top folder lead into docs/, which is the top of the site; a licence is text beside the page.
        text = re.sub(r"\]\(docs/", "](", text).replace("](vecstore/words/WORDNET-LICENSE)", "](WORDNET-LICENSE.txt)")
        (folder / page).write_text(re.sub(r"(\]\(notebooks/\w+)\.ipynb\)", r"\1.md)", text))
    shutil.copy(ROOT / "vecstore/words/WORDNET-LICENSE", folder / "WORDNET-LICENSE.txt")
    for written in folder.rglob("*.md"):
        text = written.read_text()
        written.write_text(text.replace("](../README.md", "](index.md").replace("](../SECURITY.md", "](SECURITY.md"))
    manual.write(folder)
    shutil.rmtree(folder / "completions")
    (folder / "vecstore.1").unlink()
    (folder / "api.md").write_text(API)
    for notebook in (folder / "notebooks").glob("*.ipynb"):
        notebook.with_suffix(".md").write_text(as_page(notebook))
        notebook.unlink()


def as_page(notebook: Path) -> str:
    """Return a notebook, with the outputs that are in it, as Markdown."""
    import nbformat

    lines = [f"*This page is the notebook `docs/notebooks/{notebook.name}`, with its outputs.*", ""]
    for number, cell in enumerate(nbformat.read(notebook, as_version=4).cells):  # type: ignore[no-untyped-call]
        if cell.cell_type == "markdown":
            lines += [cell.source, ""]
            if number == 0:  # the title is first on a page
                lines = [*lines[2:], *lines[:2]]
        else:
            lines += ["```python", cell.source, "```", ""]
            for output in cell.outputs:
                lines += _output(output)
    return "\n".join(lines)


def _output(output: Any) -> list[str]:
    if output.output_type == "stream":
        return ["```text", output.text.rstrip("\n"), "```", ""]
    if "image/png" in output.get("data", {}):
        return [f"![](data:image/png;base64,{''.join(output.data['image/png'].split())})", ""]
    if "text/html" in output.get("data", {}):  # a table; an empty line would end it in Markdown
        return ["\n".join(line for line in output.data["text/html"].splitlines() if line.strip()), ""]
    text = output.get("data", {}).get("text/plain")
    return ["```text", text, "```", ""] if text else []


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
