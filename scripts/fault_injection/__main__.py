"""scripts/torture: kill stores, fail their disks, damage their files, crowd and fuzz them, and say what they lost."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from cli.wording import tidy
from scripts.fault_injection import acts, damage, faults, files, fuzz, interposer, kills, writers
from scripts.fault_injection.runs import Run, scratch_folder
from scripts.fault_injection.scenario import Pool, load_everything

TORTURES = {
    "kills": kills.torture,
    "faults": faults.torture,
    "damage": damage.torture,
    "writers": writers.torture,
    "fuzz": fuzz.torture,
    "files": files.torture,
    "acts": acts.torture,
}


def main(
    which: Annotated[list[str] | None, typer.Argument(help=", ".join(TORTURES), metavar="TORTURE...")] = None,
    seconds: Annotated[float | None, typer.Option(help="For how long, shared among the tortures.")] = None,
    rounds: Annotated[int | None, typer.Option(help="How many rounds of each.")] = None,
    n_files: Annotated[
        int, typer.Option("--files", min=1, help="How many files the torture `files` adds.")
    ] = files.FILES,
    seed: Annotated[
        int | None, typer.Option(help="Where all chance comes from.", show_default="another each time")
    ] = None,
) -> None:
    """Torture stores, print what they lost, and exit 1 if there is anything.

    Example: scripts/torture kills --rounds 200 --seed 1
    """
    interposer.start_again_with_it()
    names = [*TORTURES] if which in (None, [], ["all"]) else which or []
    for name in names:
        if name not in TORTURES:
            raise typer.BadParameter(f"no torture is called {name!r}; there are {', '.join(TORTURES)} and all")
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    load_everything()
    pool = Pool.paint()
    runs = []
    for name in names:
        with scratch_folder(name) as folder:
            run = Run(name, seed, Path(folder), seconds and seconds / len(names), rounds, n_files)
            TORTURES[name](run, pool)
            print(run.summary(), flush=True)
            runs.append(run)
    raise typer.Exit(any(run.findings for run in runs))


if __name__ == "__main__":
    program = typer.Typer(add_completion=False)
    program.command()(main)
    command = typer.main.get_command(program)
    tidy(command)
    command(prog_name="scripts/torture")
