"""The command that lists the embedders."""

from functools import partial
from typing import Annotated

import typer

from cli import logs, output
from cli.options import AsJson, Quiet

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Scale")


@command()
def embedders(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these, such as timm:resnet18.", metavar="[NAME...]")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure the speed of those that can be used, some seconds each.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the embedders that can be used here, what each needs, whether that is there, and how fast each was here.

    Example: vecstore embedders timm:vit_small_patch14_dinov2 --json
    """
    logs.for_people.aloud = not quiet
    from vecstore.embedders import overview

    columns = ("name", "dim", "words", "available", "needs", "speed")
    with output.working("measuring", quiet or not measure):
        lines = overview.embedders(names or (), measure)
    output.rows(lines, columns, as_json, "no embedders")
