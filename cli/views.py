"""The commands that draw: contact sheets, the map, the curve of the choice of k, and the report."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.context import open_store
from cli.options import (
    AsJson,
    Conditions,
    DeviceName,
    ImagesOrAll,
    InSelection,
    KeepBy,
    Quiet,
    Seed,
    StoreDir,
    WeightsFile,
    as_filter,
    in_a_folder,
    with_groups,
)
from vecstore.errors import BadInput, VecstoreError
from vecstore.sources.paths import shown

if TYPE_CHECKING:
    from vecstore.results import Drawing

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Look")

Open = Annotated[bool, typer.Option("--open", help="Show it when it is done.")]
Inline = Annotated[
    str | None,
    typer.Option("--inline", help="Show a PNG in this terminal too: auto, kitty, iterm2 or sixel.", metavar="PROTOCOL"),
]


@command()
@with_groups
def sheet(
    store: StoreDir,
    chosen: InSelection,
    cluster: Annotated[
        str | None,
        typer.Argument(help="The cluster's id or name; without one, a row for every cluster.", metavar="CLUSTER"),
    ] = None,
    similar: Annotated[
        str | None, typer.Option("--similar", help="The images nearest to this one, with scores.", metavar="IMAGE")
    ] = None,
    representatives: Annotated[
        bool, typer.Option("--representatives", help="The most typical image of every cluster.")
    ] = False,
    k: Annotated[
        int | None,
        typer.Option("-k", help="How many images.", min=1, show_default="60; similar 30; of each of all clusters 6"),
    ] = None,
    farthest: Annotated[bool, typer.Option("--farthest", help="The odd ones first, not the typical ones.")] = False,
    file: Annotated[
        Path, typer.Option("--output", "-o", help="The PNG to write.", metavar="FILE", callback=in_a_folder)
    ] = Path("sheet.png"),
    open_it: Open = False,
    inline: Inline = None,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw a contact sheet: of a cluster, of all, of a selection (--in), or of what is similar to an image.

    Example: vecstore sheet 3 -o beaches.png

    What is similar, with scores: vecstore sheet --similar cat.jpg
    """
    from vecstore.views.contact_sheets import write_sheet

    _require_showable(inline, as_json, file)
    with open_store(store, device, quiet, weights=weights) as opened, output.working("drawing", quiet):
        made = opened.sheet(
            cluster, similar=similar, representatives=representatives, k=k, farthest=farthest, **vars(chosen)
        )
        written = write_sheet(made, opened.thumbnail, file)
    _present(written, as_json, open_it, inline)


@command("map")
def map_(
    store: StoreDir,
    file: Annotated[
        Path, typer.Argument(help="The .png, .svg or .html to write.", metavar="[FILE]", callback=in_a_folder)
    ] = Path("map.png"),
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Arrange all images again.")] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of a new map; another seed rebuilds it.", min=0, show_default="0")
    ] = None,
    level: Annotated[
        int | None, typer.Option("--level", help="Of a tree, draw the clusters of this level, 1 being the top.", min=1)
    ] = None,
    cut: Annotated[
        int | None, typer.Option("--cut", help="Of a tree, draw it cut into so many clusters.", metavar="K", min=1)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Place every image, not the 20,000 alone that are drawn; the page shows all.")
    ] = False,
    open_it: Open = False,
    inline: Inline = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw a map of the store: images near each other are alike, colours and shapes are the clusters.

    Images added later are placed among the others, which stay where they are. An .html can be zoomed into.

    Example: vecstore map photos.html --open
    """
    from vecstore.views.map_rendering import require_suffix, write_map

    require_suffix(file)
    _require_showable(inline, as_json, file)
    with open_store(store, device, quiet) as opened, output.working("arranging", quiet):
        found = opened.map(rebuild=rebuild, seed=seed, level=level, cut=cut, everything=everything)
        write_map(found, found.clusters(), opened.thumbnail, file)
    from vecstore.results import Drawing

    _present([Drawing(str(file), len(found.points), found.images)], as_json, open_it, inline)


@command()
def elbow(
    store: StoreDir,
    file: Annotated[
        Path, typer.Argument(help="The .png or .svg to write.", metavar="[FILE]", callback=in_a_folder)
    ] = Path("elbow.png"),
    max_k: Annotated[
        int | None,
        typer.Option("--max-k", help="The greatest k to try.", min=2, show_default="100, or a tenth of the images"),
    ] = None,
    within: Annotated[
        str | None, typer.Option("--within", help="Only the images of this cluster.", metavar="CLUSTER")
    ] = None,
    seed: Seed = 0,
    open_it: Open = False,
    inline: Inline = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw loss and silhouette against the number of clusters, and say which number is chosen, and why.

    Example: vecstore elbow curve.png
    """
    from vecstore.views.plots import draw_elbow, require_suffix

    require_suffix(file)
    _require_showable(inline, as_json, file)
    with open_store(store, device, quiet) as opened, output.working("sweeping over k", quiet):
        found = opened.elbow(seed=seed, max_k=max_k, within=within)
        draw_elbow(found, file)
    if as_json:
        output.as_object(found, file=str(file))
    else:
        print(f"k is {found.k}: {found.reason}")
        print(f"the curve is in {shown(os.fsencode(file))}")
    _show(file, open_it, inline)


@command()
@with_groups
def report(
    store: StoreDir,
    conditions: Conditions,
    file: Annotated[Path, typer.Argument(help="The page to write.", metavar="[FILE]", callback=in_a_folder)] = Path(
        "report.html"
    ),
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            help="Also what is new, moved, born and gone since 2026-05-31, 7d ago (h, d, w), or a clustering.",
            metavar="WHEN",
        ),
    ] = None,
    level: Annotated[
        int | None, typer.Option("--level", help="Of a tree, with the clusters of this level, 1 being the top.", min=1)
    ] = None,
    keep_by: KeepBy = None,
    open_it: Open = False,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a report as one page: numbers, clusters, map, choice of k, duplicates, odd pictures, failures.

    It needs no network. With conditions it is about the images alone that these hold of.

    Example: vecstore report photos.html --since 7d
    """
    with open_store(store, device, quiet) as opened, output.working("reporting", quiet):
        chosen = as_filter(conditions)
        written = opened.report(file, since=since, conditions=chosen, level=level, keep_by=keep_by or ())
    _present([written], as_json, open_it, None)


@command("thumbnails")
def thumbnails_(
    store: StoreDir,
    images: ImagesOrAll = None,
    every: Annotated[bool, typer.Option("--all", help="Of every stored image, the newest first.")] = False,
    size: Annotated[
        list[str] | None,
        typer.Option("--size", help="small (320 pixels) or large (960).", metavar="SIZE", show_default="both"),
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make the thumbnails of the page, reports and sheets in advance; else each is made when it is first seen.

    Those that are there are passed over, so that it resumes where it was interrupted. All thumbnails of all stores
    take 512 MB at the most, or the megabytes that $VECSTORE_THUMBNAILS_MB names; the newest images come first.

    Example: vecstore thumbnails --all
    """
    if bool(images) == every:
        raise typer.BadParameter("name images, or --all for every stored one", param_hint="IMAGE...")
    with open_store(store, device, quiet) as opened, output.progress_bar(quiet) as on_progress:
        report = opened.make_thumbnails(*images or (), sizes=size or ("small", "large"), on_progress=on_progress)
    if as_json:
        output.as_object(report)
    else:
        output.say(
            f"made {report.made:,} thumbnails in {report.seconds:.1f} s; {report.kept:,} were there; "
            f"together {output.size_of(report.bytes)}"
        )
    if report.failed and not quiet:
        output.notice(f"{report.failed:,} images have none: their files are gone, changed or not readable")
    if report.is_full and not quiet:
        output.notice(
            f"the room for thumbnails is full, and {report.left:,} images are left; "
            "name more megabytes in $VECSTORE_THUMBNAILS_MB, here and for `vecstore serve`"
        )


def _require_showable(inline: str | None, as_json: bool, file: Path) -> None:
    """Raise BadInput, before anything is drawn, if what is asked for cannot be shown in a terminal."""
    if inline is None:
        return
    if as_json:
        raise BadInput("a picture among the JSON is of no use to a program; leave --inline or --json out")
    from vecstore.views.terminal_images import require_terminal

    require_terminal(file, inline)


def _present(written: "Sequence[Drawing]", as_json: bool, open_it: bool, inline: str | None) -> None:
    for drawing in written:
        if as_json:
            output.as_object(drawing)
        else:
            verb = "is" if drawing.images == 1 else "are"
            output.say(f"{drawing.images:,} of {drawing.of:,} images {verb} in {shown(os.fsencode(drawing.file))}")
    for drawing in written[: None if inline else 1]:
        _show(Path(drawing.file), open_it and drawing is written[0], inline)


def _show(file: Path, open_it: bool, inline: str | None) -> None:
    if inline is not None:
        from vecstore.views.terminal_images import escapes

        sys.stdout.flush()
        sys.stdout.buffer.write(escapes(file, inline))
        sys.stdout.flush()
    if open_it:
        import webbrowser

        if not webbrowser.open(file.absolute().as_uri()):
            raise VecstoreError(f"no program here shows {shown(os.fsencode(file))}, which is written; open it yourself")
