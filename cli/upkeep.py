"""The commands that look after a store, and the demo."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.options import AsJson, DeviceName, Quiet, StoreDir
from cli.shell import RECLUSTER, open_store

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Look after")


@command()
def index(
    store: StoreDir,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it anew.")] = False,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", help="auto, exact, rabitq or pq.", metavar="KIND", show_default="as recorded, else auto"
        ),
    ] = None,
    target_recall: Annotated[
        float | None,
        typer.Option(
            "--target-recall", help="Recall of ten neighbours to reach.", show_default="as recorded, else 0.99"
        ),
    ] = None,
    memory_budget: Annotated[
        int | None,
        typer.Option(
            "--memory-budget", help="MiB that the index may take; 0: no bound.", min=0, show_default="as recorded"
        ),
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Bring the index up to date and measure it. Adding does so when it is due; what is said here is recorded.

    Example: vecstore index --target-recall 0.999
    """
    budget = None if memory_budget is None else memory_budget << 20
    with open_store(store, device, quiet) as opened, output.working("indexing", quiet):
        made = opened.index(kind=kind, target_recall=target_recall, memory_budget=budget, rebuild=rebuild)
    output.fields(made, as_json)


@command()
def info(store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Print what the store is: sizes, embedder, index, clusters and drift.

    Example: vecstore info
    """
    with open_store(store, device, quiet) as opened:
        found = opened.info()
    output.fields(found, as_json)
    if found.recluster and not quiet:
        output.notice(RECLUSTER)


@command()
def demo(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(help="Where to put the demo's pictures and store; new or empty.", metavar="[FOLDER]")
    ] = Path("demo"),
    device: DeviceName = "auto",
) -> None:
    """Take the whole tour on pictures that it makes itself: add, find similar, cluster, add more.

    Example: vecstore demo
    """
    from cli.tour import take_tour

    program = context.find_root().command
    take_tour(folder, device, run=lambda arguments: program.main(arguments, standalone_mode=False))
