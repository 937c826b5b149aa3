"""The commands for collections that outgrow one machine."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.context import open_store
from cli.options import AsJson, DeviceName, EmbedderName, Precision, Quiet, StoreDir, WeightsFile

if TYPE_CHECKING:
    from vecstore.results import Plan

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Scale")


@command()
def migrate(
    source: Annotated[str, typer.Argument(help="A store: its folder, or milvus://HOST:PORT/NAME.", metavar="SRC")],
    destination: Annotated[str, typer.Argument(help="Where to, likewise; nothing may be there.", metavar="DEST")],
    compare_all: Annotated[
        bool, typer.Option("--compare-all", help="Compare every vector of the new engine, not a sample.")
    ] = False,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Copy a store to another engine or folder, with its ids, paths, clusterings and names, and verify the copy.

    The source stays as it is. Killed or interrupted, the same command goes on where it was.

    Example: vecstore migrate ~/photos.store milvus://localhost:19530/photos
    """
    with open_store(source, device, quiet) as opened, output.progress_bar(quiet) as on_progress:
        report = opened.migrate(destination, compare_all=compare_all, on_progress=on_progress)
    output.fields(report, as_json)


@command()
def embed(
    destination: Annotated[str, typer.Argument(help="The new store: a folder, or a URI.", metavar="DEST")],
    store: StoreDir,
    embedder: Annotated[str, typer.Option("--embedder", "-e", help="What makes the vectors of the new store.")],
    weights: WeightsFile = None,
    precision: Precision = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a store of another embedder from the pictures of a store, with the names of its clusters.

    No folder is scanned: the pictures are the files that the store knows. Interrupted, the same command resumes.

    Example: vecstore embed ~/lite2.store --embedder efficientnet-lite0
    """
    with open_store(store, device, quiet) as opened, output.progress_bar(quiet) as on_progress:
        report = opened.embed_into(
            destination, embedder=embedder, weights=weights, precision=precision, on_progress=on_progress
        )
    output.fields(report, as_json)


# More than there are, and few enough for every figure of a plan to be a number.
MOST_IMAGES, MOST_MACHINES = 10**15, 10**6


def _number(text: str) -> int:
    try:
        number = int(float(text))
    except (ValueError, OverflowError):
        number = 0
    if not 1 <= number <= MOST_IMAGES:
        raise typer.BadParameter(f"{text!r} is not a number from 1 to {MOST_IMAGES:.0e}, such as 1000000 or 1e8")
    return number


@command()
def plan(
    images: Annotated[
        int, typer.Option("--images", "-n", help="How many, 1e8 for instance.", parser=_number, metavar="N")
    ],
    machines: Annotated[int, typer.Option("--machines", help="Like this one.", min=1, max=MOST_MACHINES)] = 1,
    k: Annotated[
        int | None,
        typer.Option(
            "-k", help="Clusters.", min=1, max=MOST_IMAGES, show_default="the square root of N, 10,000 at most"
        ),
    ] = None,
    embedder: EmbedderName = None,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say what a collection of N images will take: bytes, memory and hours, from rates measured here for ten seconds.

    Example: vecstore plan --images 1e8 --machines 10 --embedder efficientnet-lite0
    """
    from vecstore.maintenance import capacity

    with output.working("measuring", quiet):
        rates, dim = capacity.measure(embedder, weights, device)
    made = capacity.plan(images, dim, rates, machines, k)
    if as_json:
        output.as_object(made)
    else:
        _print(made)


def _print(made: "Plan") -> None:
    for name, value in asdict(made).items():
        text = (
            output.size_of(value)
            if name.endswith("bytes")
            else f"{value:,.1f}"
            if isinstance(value, float)
            else f"{value:,}"
        )
        print(f"{name:23}  {text}")
