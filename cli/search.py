"""The commands that ask a store about its images."""

from functools import partial
from typing import Annotated, Any

import typer

from cli import output
from cli.context import open_store
from cli.options import AsJson, Count, DeviceName, Images, ImagesOrAll, Quiet, StoreDir, WeightsFile
from vecstore.results import NEAR_SCORE

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Ask")


@command()
def similar(
    store: StoreDir,
    images: ImagesOrAll = None,
    every: Annotated[
        bool, typer.Option("--all", help="The nearest others of every stored image: the k-NN graph.")
    ] = False,
    k: Count = 10,
    minus: Annotated[
        list[str] | None, typer.Option("--minus", help="An image to subtract; may be repeated.", metavar="IMAGE")
    ] = None,
    cluster: Annotated[int | None, typer.Option("--cluster", help="Only images of this cluster.")] = None,
    not_cluster: Annotated[int | None, typer.Option("--not-cluster", help="No images of this cluster.")] = None,
    path: Annotated[
        str | None,
        typer.Option("--path", help="Only images with a path that matches, as in a .gitignore.", metavar="GLOB"),
    ] = None,
    added_after: Annotated[
        str | None,
        typer.Option(
            "--added-after",
            help="Only images added since 2026-05-31, 2026-05-31T18:30, or 7d (h, d, w) ago.",
            metavar="WHEN",
        ),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Only scores of at least this.", min=-1, max=1)
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare every vector, whatever the index.")] = False,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the stored images nearest to IMAGE, nearest first; several images are averaged.

    The score is the cosine similarity, 1 for the same picture. A stored image finds itself first, but not with --all.

    Example: vecstore similar cat.jpg -k 5 --path 'holiday/'

    The graph of the whole store: vecstore similar --all --json
    """
    if not images and not every:
        raise typer.BadParameter("name an IMAGE, or --all for every stored one", param_hint="IMAGE...")
    if every and (images or minus):
        raise typer.BadParameter("it asks for every stored image; leave IMAGE and --minus out", param_hint="--all")
    chosen: dict[str, Any] = {
        "k": k,
        "cluster": cluster,
        "not_cluster": not_cluster,
        "path": path,
        "added_after": added_after,
        "min_score": min_score,
        "exact": exact,
    }
    columns, empty = ("rank", "score", "id", "cluster", "path"), "nothing fits these conditions"
    with open_store(store, device, quiet, weights=weights) as opened:
        if every:
            output.rows(opened.neighbours(**chosen), ("query", *columns), as_json, empty, no_table=True)
            return
        found = opened.similar(*images or (), minus=minus or (), **chosen)
        output.rows(found, columns, as_json, empty)
        if not quiet:
            missing = opened.count_without_file(hit.id for hit in found)
            output.tell_of_missing(missing, len(found), "files found")


@command()
def duplicates(
    store: StoreDir,
    min_score: Annotated[
        float, typer.Option("--min-score", help="Of an image with the one to keep.", min=-1, max=1)
    ] = NEAR_SCORE,
    exact: Annotated[bool, typer.Option("--exact", help="Only the same content under several paths.")] = False,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print groups of equal and nearly equal images. The first of a group, of the most pixels, is the one to keep.

    Every other is a file of the same content (copy), or of at least --min-score with the one to keep (near). Nothing
    is gained by deleting what else is listed: link, same file, archived, missing, unreadable.

    Example: vecstore duplicates --min-score 0.98
    """
    with open_store(store, device, quiet) as opened:
        with output.working("comparing", quiet):
            found = opened.duplicates(min_score=min_score, exact=exact)
        output.rows(found, ("group", "kind", "score", "id", "path"), as_json, empty="no duplicates")


@command()
def outliers(
    store: StoreDir, k: Count = 10, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Print the images that are far from every centroid of the current clustering, farthest first.

    Example: vecstore outliers -k 20
    """
    with open_store(store, device, quiet) as opened:
        found = opened.outliers(k)
    output.rows(found, ("id", "distance", "path"), as_json, empty="every clustered image was removed")


@command()
def which(
    images: Images,
    store: StoreDir,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the cluster that each image belongs to; one that is not stored is embedded and assigned, not added.

    Example: vecstore which new.jpg @12
    """
    with open_store(store, device, quiet, weights=weights) as opened:
        found = opened.which(*images)
    output.rows(found, ("cluster", "distance", "id", "path"), as_json, empty="")
