"""The command that says what is slow or missing on this machine."""

from functools import partial

import typer

from cli import output
from cli.options import AsJson, DeviceName, Quiet, StoreDir

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Look after")


@command()
def doctor(store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Say what is slow or missing on this machine, and what to do about it. Exit code 1 if something is.

    --quiet prints only that. The store need not be there yet; with `--device cpu` no GPU is looked for.

    Example: vecstore doctor
    """
    from vecstore.engines.address import place_of
    from vecstore.maintenance.doctor import diagnose

    checks = [one for one in diagnose(place_of(store)[0], device) if not (quiet and one.ok)]
    if as_json:
        output.rows(checks, (), as_json, empty="")
    else:
        for one in checks:
            print(f"{'ok' if one.ok else 'look':4}  {one.check:11}  {one.found}")
            if one.advice:
                print(f"{'':17}  {one.advice}")
    if not all(one.ok for one in checks):
        raise typer.Exit(1)
