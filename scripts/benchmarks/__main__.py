"""scripts/bench: the benchmarks, one command each."""

import importlib
import sys

import typer

from cli.wording import TidyGroup

NAMES = (
    "cluster",
    "copies",
    "costs",
    "decoders",
    "directions",
    "drift",
    "duplicates",
    "engines",
    "facts",
    "find",
    "growth",
    "import",
    "index",
    "ingest",
    "methods",
    "page",
    "pins",
    "precision",
    "preprocessing",
    "quality",
    "restarts",
    "search",
    "serve",
    "thumbnails",
    "tree",
    "words",
)

MODULES = {"import": "import_vectors"}  # Python's own word

app = typer.Typer(
    cls=TidyGroup, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__
)


@app.callback()
def _of_commands() -> None:
    """The benchmarks, one command each."""


# The others import what they compare with, and peak memory is the asked one's alone.
asked = sys.argv[1:2]
for name in asked if {*asked} & {*NAMES} else NAMES:
    app.command(name)(importlib.import_module(f"scripts.benchmarks.{MODULES.get(name, name)}").main)
app(prog_name="scripts/bench")
