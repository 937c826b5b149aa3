"""The command that lists the embedders."""

from functools import partial

import typer

from cli import output
from cli.options import AsJson

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Scale")


@command()
def embedders(as_json: AsJson = False) -> None:
    """List the embedders that can be used here, what each needs, and whether that is there.

    Example: vecstore embedders
    """
    from vecstore.embedders import overview

    columns = ("name", "dim", "words", "available", "needs")
    output.rows(overview.embedders(), columns, as_json, "no embedders")
