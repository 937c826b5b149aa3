"""The commands that a store grows and shrinks by."""

import itertools
import os
import shlex
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.context import open_store
from cli.options import (
    AsJson,
    DeviceName,
    EmbedderName,
    Images,
    Intake,
    Paths,
    Quiet,
    StoreDir,
    WeightsFile,
    with_groups,
)
from vecstore.errors import BadInput
from vecstore.exchange.formats import IMPORTS
from vecstore.sources.paths import AnyPath, shown

if TYPE_CHECKING:
    from vecstore.results import AddReport, LabelsReport, RelocateReport
    from vecstore.sources.scan import Patterns
    from vecstore.store import Store

# Paths without a file that are named to a person.
MISSING_SHOWN = 3

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Grow")


@command()
@with_groups
def add(
    paths: Paths,
    store: StoreDir,
    intake: Intake,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Add pictures and folders of them; what the store has is neither read nor embedded again.

    Files that cannot be added do not stop the rest; [bold]vecstore failures[/] lists them.

    Example: vecstore add ~/Photos
    """
    with (
        open_store(
            store, device, quiet, intake.embedder, intake.weights, create=True, precision=intake.precision
        ) as opened,
        output.progress_bar(quiet) as on_progress,
    ):
        named, choice = _chosen(paths, intake)
        report = opened.add(*named, **choice, ray=intake.ray, tags=intake.tags, on_progress=on_progress)
    _print_report(report, as_json, quiet)


@command()
@with_groups
def sync(
    paths: Paths,
    store: StoreDir,
    intake: Intake,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would happen, and do nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep following the folders, until Ctrl-C.")] = False,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make the store equal to the folders: add what is new, embed again what changed, forget what is gone.

    A folder that is missing or empty is refused, not taken for a deletion; [bold]vecstore remove[/] deletes.

    Example: vecstore sync ~/Photos
    """
    if dry_run and watch:
        raise BadInput("--dry-run does nothing and --watch keeps on doing it; leave one of them out")
    if intake.tags and (dry_run or watch):
        raise BadInput("--tags is for a sync that ends; leave it out here, and run `vecstore tag --all` first")
    with open_store(
        store, device, quiet, intake.embedder, intake.weights, create=True, precision=intake.precision
    ) as opened:
        named, choice = _chosen(paths, intake)
        if dry_run:
            changes = opened.preview(*named, **choice)
            output.rows(changes, ("action", "path"), as_json, empty="nothing would change")
            return
        if watch and intake.ray is not None:
            raise BadInput("--watch embeds what changes on this machine; leave --ray out, or sync without --watch")
        if watch:
            _follow(opened, [*named, *choice["listed"]], choice["patterns"], as_json, quiet)
            return
        with output.progress_bar(quiet) as on_progress:
            report = opened.sync(*named, **choice, ray=intake.ray, tags=intake.tags, on_progress=on_progress)
    _print_report(report, as_json, quiet, forgotten=True)


def _follow(store: "Store", paths: list[AnyPath], patterns: "Patterns", as_json: bool, quiet: bool) -> None:
    with output.progress_bar(quiet) as on_progress:  # of the first sync; those that follow are small
        reports = store.follow(*paths, patterns=patterns, on_progress=on_progress)
        first = next(reports)
    for report in itertools.chain([first], reports):
        _print_report(report, as_json, quiet, forgotten=True)


@command("import")
def import_(
    vectors: Annotated[
        str,  # not a Path, which would make one slash of an address's two
        typer.Argument(
            help="A .npy of shape (n, dim), Parquet with a column vector, or what another program wrote.",
            metavar="SOURCE",
        ),
    ],
    store: StoreDir,
    paths: Annotated[
        Path | None,
        typer.Argument(
            help="Of a .npy: a text file of n paths; Parquet may hold them itself. Of an index: path N is of key N.",
            metavar="PATHS",
        ),
    ] = None,
    from_format: Annotated[
        str | None,
        typer.Option("--from", help=f"{', '.join(IMPORTS)}.", metavar="FORMAT", show_default="by what is in SOURCE"),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", help="The folder that relative paths in SOURCE are below.", metavar="DIR"),
    ] = None,
    embedder: EmbedderName = None,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Import existing vectors, one for each path; or pictures, vectors or labels that another program wrote.

    With --embedder, what made the vectors, pictures can be added later. Labels become selections.

    Example: vecstore import vectors.npy paths.txt

    Of another program: vecstore import instances.json --from coco --pictures train2017
    """
    with (
        open_store(store, device, quiet, embedder, weights, create=True) as opened,
        output.progress_bar(quiet) as on_progress,
    ):
        report = opened.import_from(vectors, from_format, pictures=pictures, paths=paths, on_progress=on_progress)
    if report.added is not None:
        _print_report(report.added, as_json, quiet)
    if report.labels is not None:
        _print_labels(report.labels, as_json, quiet)


def _print_labels(report: "LabelsReport", as_json: bool, quiet: bool) -> None:
    if as_json:
        output.as_object(report)
    else:
        output.say(
            f"put {report.images} images into {len(report.selections)} selections, {report.added} of them new there"
        )
    if report.missing and not quiet:
        few = ", ".join(_place(path) for path in report.examples)
        output.notice(f"{report.missing} labelled pictures are not in the store, such as {few}; add them, and repeat")


@command()
def relocate(
    old: Annotated[str, typer.Argument(help="Where the folder, archive or file was.", metavar="OLD")],
    new: Annotated[str, typer.Argument(help="Where it is now.", metavar="NEW")],
    store: StoreDir,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would happen, and do nothing.")] = False,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Update the paths of a folder that was moved or renamed; nothing is embedded again.

    A path goes along if the same file is at the new place: by size and time or, where these differ, by content.

    Example: vecstore relocate /media/old-disk/Photos ~/Photos
    """
    with open_store(store, device, quiet) as opened, output.working("comparing files", quiet):
        report = opened.relocate(old, new, dry_run=dry_run)
    if as_json:
        output.as_object(report)
    else:
        print(("would have " if dry_run else "") + _relocation_in_words(report))
    if not quiet:
        for line in _details_of(report, dry_run):
            output.notice(line)


def _relocation_in_words(report: "RelocateReport") -> str:
    failures = f", and {report.failures} failures" if report.failures else ""
    return f"relocated {report.relocated} paths{failures} from {_place(report.old)} to {_place(report.new)}"


def _details_of(report: "RelocateReport", dry_run: bool) -> Iterator[str]:
    if dry_run:
        yield from (f"{_place(old)} -> {_place(new)}" for old, new in report.examples)
        if report.relocated > len(report.examples):
            yield f"... and {report.relocated - len(report.examples)} more"
    if report.merged:
        yield f"{report.merged} of them are known at the new place already; their old paths are forgotten"
    if report.left:
        yield f"left as they are: {report.left} paths with files still at the old place"
    if report.missing:
        few = ", ".join(_place(path) for path in report.missing_paths[:MISSING_SHOWN])
        more = f" and {report.missing - MISSING_SHOWN} more (--json has all)" if report.missing > MISSING_SHOWN else ""
        yield (
            f"left as they are: {report.missing} paths without a file at the new place, or with other content there: "
            f"{few}{more}; `vecstore remove` forgets them"
        )


def _place(path: str) -> str:
    return shown(os.fsencode(path))


@command()
def remove(
    images: Images, store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Forget images: an id with all its paths, a path or all paths in a folder; files stay where they are.

    An image goes with its last path.

    Example: vecstore remove @12 ~/Photos/blurred.jpg
    """
    with open_store(store, device, quiet) as opened:
        report = opened.remove(*images)
    if as_json:
        output.as_object(report)
    else:
        output.say(f"removed {report.removed} images, forgot {report.forgotten} paths")


@command()
def failures(
    store: StoreDir,
    retry: Annotated[bool, typer.Option("--retry", help="Try them again first, also the unchanged ones.")] = False,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the files that could not be added, and why. They are tried again when they change, or with --retry.

    Example: vecstore failures --retry
    """
    with open_store(store, device, quiet, weights=weights) as opened:
        if retry:
            with output.progress_bar(quiet) as on_progress:
                report = opened.retry_failures(on_progress)
            if not quiet:
                output.notice(_in_words(report, forgotten=True))
        output.rows(opened.failures(), ("path", "reason"), as_json, empty="no failures")


def _chosen(paths: list[str], intake: Intake) -> tuple[list[str], dict[str, Any]]:
    """Return the paths that are named, and the library's other arguments for what to look at."""
    from vecstore.sources.scan import Patterns
    from vecstore.sources.text_files import read_list, unknown_encoding

    listed = read_list(sys.stdin.buffer.read()) if "-" in paths else []
    if (trouble := unknown_encoding(listed)) is not None:
        output.notice(f"the list: {trouble}")
    defaults = not intake.no_default_excludes
    patterns = Patterns(tuple(intake.glob or ()), tuple(intake.exclude or ()), defaults=defaults)
    return [path for path in paths if path != "-"], {"listed": listed, "patterns": patterns}


def _print_report(report: "AddReport", as_json: bool, quiet: bool, forgotten: bool = False) -> None:
    if as_json:
        output.as_object(report, images_per_second=report.images_per_second)
    else:
        print(_in_words(report, forgotten), flush=True)  # a pipe too hears of each sync of --watch as it happens
    if report.failed and not quiet:
        output.notice(f"{report.failed} files could not be added; `vecstore failures` says why")
    if report.moved and not quiet:
        old, new = (shlex.quote(shown(os.fsencode(place))) for place in (report.moved.old, report.moved.new))
        output.notice(
            f"{report.moved.paths} of these pictures are known from {old}, where they are gone: "
            f"`vecstore relocate {old} {new}` takes those paths along"
        )


def _in_words(report: "AddReport", forgotten: bool) -> str:
    parts = [f"added {report.added}", f"known {report.known}", f"updated {report.updated}", f"failed {report.failed}"]
    if forgotten:
        parts.append(f"forgotten {report.forgotten}")
    rate = f", {report.images_per_second:.1f} images/s" if report.embedded else ""
    return f"{', '.join(parts)} in {report.seconds:.1f} s{rate}"
