"""The commands for selections: named sets of images."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.context import open_store
from cli.options import AsJson, CountOrAll, DeviceName, Quiet, StoreDir
from vecstore.errors import BadInput
from vecstore.sources.paths import shown

if TYPE_CHECKING:
    from vecstore.results import SelectionExport, SelectReport
    from vecstore.store import Store

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Select")

Sets = list[str] | None


@command()
def select(
    name: Annotated[str, typer.Argument(help="The selection, which is made if it is not there.", metavar="NAME")],
    store: StoreDir,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            help="Stored images to put into it: files, ids such as @12, or - for a list on standard input.",
            metavar="IMAGE...",
        ),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the images out instead.")] = False,
    union: Annotated[
        Sets, typer.Option("--union", help="Put the images of this selection in; may be repeated.", metavar="NAME")
    ] = None,
    intersect: Annotated[
        Sets, typer.Option("--intersect", help="Keep only those in this one too; may be repeated.", metavar="NAME")
    ] = None,
    minus: Annotated[
        Sets, typer.Option("--minus", help="Take the images of this one out; may be repeated.", metavar="NAME")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the selection; its images stay stored.")] = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Write it: .txt, .csv, .parquet, else a folder of copies.", metavar="FILE|DIR"),
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="In that folder, make links instead of copies.")] = False,
    write_xmp: Annotated[
        bool, typer.Option("--write-xmp", help="Write NAME as a keyword into the XMP sidecars of its pictures.")
    ] = False,
    nul: Annotated[bool, typer.Option("-0", help="Print paths alone, each followed by a NUL.")] = False,
    k: CountOrAll = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Put images into a selection, a named set; or take them out, combine sets, export one. With NAME alone, list it.

    [bold]--into NAME[/] of similar, find, members, outliers and duplicates puts in what they find; [bold]--in[/] and
    [bold]--not-in[/] keep a query to a selection, or out of it.

    Example: vecstore select holiday @12 @15 beach.jpg

    Of several: vecstore select best --union holiday --union party --minus blurred
    """
    changes = bool(images or remove or union or intersect or minus)
    if changes + delete + (export is not None) + write_xmp + nul > 1:
        raise BadInput("a selection is changed, deleted, exported, written or listed; ask for one of them at a time")
    if link and export is None:
        raise BadInput("--link is for the folder of --export; name it, or leave --link out")
    if k is not None and (changes or delete or export is not None or write_xmp):
        raise BadInput("-k says how many are listed; leave it out, or list the selection alone")
    with open_store(store, device, quiet) as opened:
        if changes:
            refs = _named(images or [])
            if not refs and images:
                output.notice("the list names no images; nothing was changed")
                return
            sets = {"union": union or (), "intersect": intersect or (), "minus": minus or ()}
            _print_change(opened.select(name, *refs, remove=remove, **sets), as_json)
        elif delete:
            report = opened.delete_selection(name)
            if as_json:
                output.as_object(report)
            else:
                print(f"deleted {report.name!r}, which had {report.removed} images; `vecstore undo` brings it back")
        elif export is not None:
            _print_export(opened.export_selection(name, export, link=link), as_json, quiet)
        elif write_xmp:
            output.sidecars(opened.write_selection_xmp(name), as_json, quiet)
        else:
            _list(opened, name, k, nul, as_json)


@command()
def selections(store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the selections, and how many images are in each.

    Example: vecstore selections
    """
    with open_store(store, device, quiet) as opened:
        found = opened.selections()
    output.rows(
        found,
        ("name", "images", "created"),
        as_json,
        "no selections yet; make one with `vecstore select NAME IMAGE...`",
    )


def _named(images: list[str]) -> list[str | bytes]:
    """Return the images that are named, also those of a list on standard input."""
    from vecstore.sources.text_files import read_list

    listed = read_list(sys.stdin.buffer.read()) if "-" in images else []
    return [*(image for image in images if image != "-"), *listed]


def _list(store: "Store", name: str, k: int | None, nul: bool, as_json: bool) -> None:
    found = store.selected(name, k)
    if nul and not as_json:
        sys.stdout.buffer.write(b"".join(os.fsencode(image.path) + b"\0" for image in found))
        return
    output.rows(found, ("id", "path"), as_json, empty=f"the selection {name!r} has no images")


def _print_change(report: "SelectReport", as_json: bool) -> None:
    if as_json:
        output.as_object(report)
        return
    taken = f", took {report.removed} out" if report.removed else ""
    output.say(f"put {report.added} images into {report.name!r}{taken}; it has {report.images}")


def _print_export(report: "SelectionExport", as_json: bool, quiet: bool) -> None:
    if as_json:
        output.as_object(report)
    else:
        output.say(f"wrote {report.files} images of {report.name!r} to {shown(os.fsencode(report.file))}")
    if report.missing and not quiet:
        output.notice(f"{len(report.missing)} pictures are gone or changed and were left out; sync the store")
