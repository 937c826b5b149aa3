"""The command that serves the store to browsers and other programs."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.options import AsJson, DeviceName, EmbedderName, Quiet, StoreDir, WeightsFile
from vecstore.errors import BadInput

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Look")


@command()
def serve(
    ctx: typer.Context,
    store: StoreDir,
    stores: Annotated[
        list[str] | None,
        typer.Argument(help="Stores to serve together, with a switch; instead of --store.", metavar="STORE..."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="The address to bind to; others than this machine's own need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="0: any free one.", min=0, max=65535)] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="VECSTORE_TOKEN",
            help="What every request has to show.",
            show_default="none on this machine's own addresses, else one is made and printed",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", help="A name that it may be called by, behind a proxy; may be repeated.", metavar="NAME"
        ),
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            "--root",
            help="A folder that pictures may be added from; may be repeated.",
            metavar="FOLDER",
            show_default="any on this machine's own addresses, else none",
        ),
    ] = None,
    uploads: Annotated[
        Path | None,
        typer.Option(
            "--uploads",
            help="A folder that pictures dropped on the page are kept in, and added from.",
            metavar="FOLDER",
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option("--root-path", help="The path that a proxy has it below, such as /photos.", metavar="PATH")
    ] = "",
    max_upload: Annotated[int, typer.Option("--max-upload", help="MiB of a picture that is sent.", min=1)] = 64,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Only show and search: nothing can be changed through it.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    embedder: EmbedderName = None,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Serve stores: a page to look at them, search them and name clusters, and an HTTP API (/docs). Ctrl-C ends it.

    Only this machine can reach it, unless --host says otherwise.

    Example: vecstore serve --open
    """
    from vecstore.web.serve import listening_on, serve, url
    from vecstore.web.settings import Settings

    source = ctx.get_parameter_source("store")
    if stores and source is not None and source.name == "COMMANDLINE":
        raise BadInput(f"stores are named twice, by --store {store} and as {stores[0]}; name all of them in one way")
    first = Settings.safe(
        host=host,
        token=token or None,
        roots=tuple(root) if root else None,
        store=(stores or [store])[0],
        hosts=tuple(allow_host or ()),
        embedder=embedder,
        weights=weights,
        device=device,
        max_upload_bytes=max_upload << 20,
        read_only=read_only,
        root_path=root_path.rstrip("/"),
        uploads=uploads,
    )
    served = [first, *(replace(first, store=other) for other in (stores or [])[1:])]
    for settings in served:
        with settings.open(create=True):  # what is wrong with it is reported now
            pass
    with listening_on(first, port) as listening:
        made = first.token is not None and not token
        page = url(first, listening) + (f"#token={first.token}" if made else "")
        if as_json:
            output.object_of(url=url(first, listening), token=first.token if made else None, store=str(first.store))
        else:
            print(page, flush=True)
            if not quiet:
                output.notice("Ctrl-C ends it" + ("; the token after # is shown only here" if made else ""))
        if open_page:
            typer.launch(page)
        try:
            serve(served, listening)
        except KeyboardInterrupt:  # how a server is meant to end
            pass
