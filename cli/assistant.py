"""The command that lets assistants use the store."""

import importlib.util
from functools import partial
from typing import Annotated

import typer

from cli.options import DeviceName, StoreDir
from vecstore.errors import BadInput

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Look")


@command()
def mcp(
    store: StoreDir,
    allow_write: Annotated[
        bool, typer.Option("--allow-write", help="Also let it name clusters, select pictures, and undo that.")
    ] = False,
    device: DeviceName = "auto",
) -> None:
    """Let an assistant search and look at the store, by the Model Context Protocol on standard input and output.

    An assistant's program starts it (docs/serve.md). It changes nothing, unless --allow-write is given.

    Example: vecstore mcp --store photos.store
    """
    if importlib.util.find_spec("mcp") is None:
        raise BadInput("the SDK that assistants are answered with is not installed; `pip install 'vecstore[mcp]'`")
    from vecstore.web.assistant import serve
    from vecstore.web.settings import Settings

    settings = Settings(store=store, device=device, read_only=not allow_write)
    with settings.open():  # what is wrong with it is reported now
        pass
    try:
        serve(settings, allow_write)
    except KeyboardInterrupt:  # how a server is meant to end
        pass
