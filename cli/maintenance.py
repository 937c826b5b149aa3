"""The commands that look after a store, and the demo."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.context import RECLUSTER, open_store
from cli.options import AsJson, DeviceName, Quiet, StoreDir, WeightsFile, in_a_folder
from vecstore.errors import BadInput, StoreDamaged, VecstoreError
from vecstore.exchange.formats import EXPORTS
from vecstore.sources.paths import shown

if TYPE_CHECKING:
    from vecstore.results import UndoReport

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Look after")
# Acts that make a file beside another one, which undoing removes; and all acts on files.
MADE_BESIDE = ("copy", "link")
ACTS_ON_FILES = ("trash", "move", "hardlink", "symlink", "delete", *MADE_BESIDE)


@command()
def index(
    store: StoreDir,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Rebuild it.")] = False,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", help="auto, exact, rabitq or pq.", metavar="KIND", show_default="as recorded, else auto"
        ),
    ] = None,
    target_recall: Annotated[
        float | None,
        typer.Option(
            "--target-recall", help="Recall of ten neighbours to reach.", show_default="as recorded, else 0.99"
        ),
    ] = None,
    memory_budget: Annotated[
        int | None,
        typer.Option(
            "--memory-budget", help="MiB that the index may take; 0: no bound.", min=0, show_default="as recorded"
        ),
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Bring the index up to date and measure it. Adding does so when it is due; what is said here is recorded.

    Example: vecstore index --target-recall 0.999
    """
    budget = None if memory_budget is None else memory_budget << 20
    with open_store(store, device, quiet) as opened, output.working("indexing", quiet):
        made = opened.index(kind=kind, target_recall=target_recall, memory_budget=budget, rebuild=rebuild)
    output.fields(made, as_json)


@command()
def info(store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Print what the store is: sizes, embedder, index, clusters and drift.

    Example: vecstore info
    """
    with open_store(store, device, quiet) as opened:
        found = opened.info()
    output.fields(found, as_json)
    if found.recluster and not quiet:
        output.notice(RECLUSTER)
    if not quiet:
        output.tell_of_missing(found.paths_missing, found.paths_sampled, "files that were looked for")


@command()
def check(
    store: StoreDir,
    files: Annotated[bool, typer.Option("--files", help="Read every picture too, and compare its content.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check that the store is whole: catalog, vectors by their checksums, clusters, index. Exit code 3 if it is not.

    A damaged vector is embedded again from its file by --repair, if that has the same content.

    Example: vecstore check --repair
    """
    with open_store(store, device, quiet, weights=weights) as opened, output.working("checking", quiet):
        found = opened.check(files=files, repair=repair)
    output.rows(found, ("kind", "where", "what", "repairable", "repaired"), as_json, empty="the store is whole")
    left = [finding for finding in found if not finding.repaired]
    if left:
        mendable = sum(finding.repairable for finding in left) if not repair else 0
        raise StoreDamaged(
            f"{len(left)} things are wrong with the store {store}"
            + (f"; `vecstore check --repair` can mend {mendable} of them" if mendable else "")
        )


@command()
def compact(
    store: StoreDir,
    keep_clusterings: Annotated[
        int | None,
        typer.Option("--keep-clusterings", help="Forget the labels of all but so many.", min=1, show_default="all"),
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Free the disk space of removed images. Ids stay; what comes back later is embedded again.

    Example: vecstore compact
    """
    with open_store(store, device, quiet) as opened, output.working("compacting", quiet):
        report = opened.compact(keep_clusterings=keep_clusterings)
    if as_json:
        output.as_object(report)
    else:
        output.say(
            f"emptied the rows of {report.images} images; {report.bytes_before:,} bytes before, "
            f"{report.bytes_after:,} after, in {report.seconds:.1f} s"
        )


@command()
def backup(
    target: Annotated[Path, typer.Argument(help="The folder to make; a store like any other.", metavar="DEST")],
    store: StoreDir,
    no_index: Annotated[bool, typer.Option("--no-index", help="Leave the index out; it can be made again.")] = False,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Copy the store as it is now, also while others write to it. DEST appears when all of it was verified, or never.

    To restore, name DEST with --store, or move it to where the store was.

    Example: vecstore backup /mnt/disk/photos.store
    """
    with open_store(store, device, quiet) as opened, output.working("copying", quiet):
        report = opened.backup(target, index=not no_index)
    if as_json:
        output.as_object(report)
    else:
        output.say(
            f"copied {report.images} images, {report.bytes:,} bytes, to {shown(os.fsencode(report.folder))} "
            f"in {report.seconds:.1f} s; {report.vectors} vectors were verified"
        )


@command()
def export(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .parquet or .npy to write; with --as, a file or folder.", metavar="FILE|DIR", callback=in_a_folder
        ),
    ],
    store: StoreDir,
    paths: Annotated[
        Path | None,
        typer.Argument(help="Of a .npy: the list of its paths.", metavar="[PATHS]", show_default="FILE as .txt"),
    ] = None,
    as_format: Annotated[
        str | None,
        typer.Option("--as", help=f"For another program: {', '.join(EXPORTS)}.", metavar="FORMAT"),
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write all vectors and paths to a file that [bold]import[/] takes back, and other programs read.

    Parquet also holds contents, sizes, clusters and names; .npy the vectors alone, with a list of paths beside it.
    With --as, what another program reads: docs/exchange.md says what is in it.

    Example: vecstore export photos.parquet

    For another program: vecstore export photos.clip --as clip-retrieval
    """
    if as_format is not None and paths is not None:
        raise BadInput(f"the list of paths is for a .npy; leave {paths} or --as out")
    with open_store(store, device, quiet) as opened, output.working("exporting", quiet):
        report = opened.export(file, paths) if as_format is None else opened.export_as(file, as_format)
    if as_json:
        output.as_object(report)
    else:
        beside = f", their paths in {shown(os.fsencode(report.paths))}" if report.paths else ""
        what = "vectors" if as_format is None else "rows"
        output.say(f"wrote {report.rows} {what} of {report.images} images to {shown(os.fsencode(report.file))}{beside}")


@command()
def undo(
    store: StoreDir,
    redo: Annotated[bool, typer.Option("--redo", help="Take the last undo back.")] = False,
    as_list: Annotated[bool, typer.Option("--list", help="List what can be undone, the last first.")] = False,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Undo the last add, sync, import, relocate, remove, clustering, naming, decision, or acts on files.

    Once more, the one before that. Vectors stay, so adding the same again embeds nothing. Files are put back, but
    deleted ones. Something new makes what was undone impossible to redo.

    Example: vecstore undo --list
    """
    if as_list and redo:
        raise BadInput("--list shows what can be undone and redone, and does neither; leave --redo out")
    with open_store(store, device, quiet) as opened:
        if as_list:
            done = opened.operations()
            output.rows(done, ("operation", "began", "kind", "undone", "what"), as_json, empty="nothing to undo")
            return
        report = opened.undo(redo=redo)
    if as_json:
        output.as_object(report)
    else:
        _print_undo(report, redo, quiet)
    for reason in report.refused:
        output.notice(reason)
    if report.refused:
        raise VecstoreError(f"left as they are, as said above: {len(report.refused)} files; then do this again")


def _print_undo(report: "UndoReport", redo: bool, quiet: bool) -> None:
    print(f"{'redid' if redo else 'undid'} {report.kind} of {report.began}: {report.what}")
    if report.kind in ACTS_ON_FILES:
        undone = "removed" if report.kind in MADE_BESIDE else "put back"
        output.say(f"{'acted on' if redo else undone} {report.files} files")
        if report.lost and not quiet:
            output.notice(f"{report.lost} files cannot be put back")
        return
    if report.forgotten or report.restored:
        output.say(f"forgot {report.forgotten} paths, restored {report.restored}")
    if report.lost and not quiet:
        output.notice(f"{report.lost} paths could not be restored: their images were compacted; add them again")


@command()
def demo(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(help="Where to put the demo's pictures and store; new or empty.", metavar="[FOLDER]")
    ] = Path("demo"),
    device: DeviceName = "auto",
) -> None:
    """Take the whole tour on pictures that it makes itself: add, find similar, cluster, add more.

    Example: vecstore demo
    """
    from cli.demo import take_tour

    program = context.find_root().command

    def run(arguments: list[str]) -> None:
        code = program.main(arguments, standalone_mode=False)
        if code:  # the rest of the tour needs what this command could not do
            raise typer.Exit(code)

    take_tour(folder, device, run)
