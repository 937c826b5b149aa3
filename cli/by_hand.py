"""The commands that change clusters by hand."""

from functools import partial
from typing import Annotated

import typer

from cli import output
from cli.clusters import noise_in, print_run
from cli.context import open_store
from cli.options import AsJson, DeviceName, Images, ImagesOrAll, Quiet, Seed, StoreDir

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Cluster")
PIN_COLUMNS = ("id", "cluster", "path")


@command()
def move(
    images: Images,
    store: StoreDir,
    to: Annotated[str, typer.Option("--to", help="A cluster's id or name, or new.", metavar="CLUSTER")],
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Move images to another cluster, or to a new one; they are pinned there.

    Example: vecstore move @12 beach.jpg --to "beach holidays"
    """
    with open_store(store, device, quiet) as opened:
        report = opened.move(*images, to=to)
    if as_json:
        output.as_object(report)
    else:
        output.say(f"moved {report.moved} images to cluster {report.cluster}, pinned there: {report.pinned}")


@command()
def merge(
    clusters: Annotated[
        list[str], typer.Argument(help="Two or more, by id or name; the first keeps both.", metavar="CLUSTER...")
    ],
    store: StoreDir,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Merge several clusters into one. It makes a new clustering; [bold]cluster --use[/] goes back.

    Example: vecstore merge 3 7
    """
    with open_store(store, device, quiet) as opened:
        run = opened.merge_clusters(*clusters)
        n_noise = noise_in(opened, run)
    print_run(run, as_json, n_noise)


@command()
def split(
    cluster: Annotated[str, typer.Argument(help="The cluster's id, or its name.", metavar="CLUSTER")],
    store: StoreDir,
    k: Annotated[int, typer.Option("-k", help="Into how many.", min=2)] = 2,
    seed: Seed = 0,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Split a cluster by k-means; the others keep their images. The part with its pinned images keeps the id.

    Example: vecstore split 3 -k 2
    """
    with open_store(store, device, quiet) as opened, output.working("splitting", quiet):
        run = opened.split_cluster(cluster, k, seed=seed)
        n_noise = noise_in(opened, run)
    print_run(run, as_json, n_noise)


@command()
def pin(
    store: StoreDir,
    images: ImagesOrAll = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Let images stay in their cluster, also through new clusterings. Without IMAGE, list those that are pinned.

    Example: vecstore pin @12 @15
    """
    with open_store(store, device, quiet) as opened:
        found = opened.pin(*images) if images else opened.pins()
    output.rows(found, PIN_COLUMNS, as_json, empty="no image is pinned")


@command()
def unpin(
    images: Images, store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Let the next clustering decide about pinned images again; prints those that were pinned.

    Example: vecstore unpin @12
    """
    with open_store(store, device, quiet) as opened:
        found = opened.unpin(*images)
    output.rows(found, PIN_COLUMNS, as_json, empty="none of them was pinned")
