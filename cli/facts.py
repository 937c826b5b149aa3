"""The commands that print what is known of images: what their files say, and what their pixels say."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.context import open_store
from cli.options import (
    AsJson,
    Conditions,
    CountOrAll,
    DeviceName,
    Images,
    Quiet,
    Sort,
    StoreDir,
    as_filter,
    with_groups,
)
from vecstore.errors import BadInput

if TYPE_CHECKING:
    from vecstore.results import ImageFacts

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Ask")


@command()
def show(
    images: Images, store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Print all that is known of each IMAGE: when, where and with what it was taken, its size, what its pixels say.

    Example: vecstore show @12
    """
    with open_store(store, device, quiet) as opened:
        found = opened.facts(*images)
    if as_json:
        output.rows(found, (), as_json, empty="")
        return
    for number, one in enumerate(found):
        if number:
            print()
        for name, value in _lines(one):
            print(f"{name:11}  {value}")
    if not quiet and any(one.format is None for one in found):
        output.notice("some facts were never read; `vecstore facts --all` reads the files that are there")


def _lines(one: "ImageFacts") -> list[tuple[str, str]]:
    """Return the facts that there are, named, as a person reads them."""
    values = asdict(one)
    values["id"], values["path"] = f"@{one.id}", output.path_cell(one.path)
    values["paths"] = ", ".join(map(output.path_cell, one.paths[1:])) or None
    values["keywords"] = ", ".join(one.keywords) or None
    if one.taken and len(one.taken) == len("2024-05-31T18:30:05"):
        values["taken"] = f"{one.taken.replace('T', ' ')} (local time; the file names no time zone)"
    elif one.taken:
        values["taken"] = one.taken.replace("T", " ")
    values["bytes"] = f"{one.bytes:,}" if one.bytes is not None else None
    named = {"paths": "also at"}
    return [(named.get(name, name), str(value)) for name, value in values.items() if value is not None]


@command()
@with_groups
def facts(
    store: StoreDir,
    conditions: Conditions,
    every: Annotated[
        bool, typer.Option("--all", help="Read the files of images without facts instead; nothing is embedded.")
    ] = False,
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", help="Count them by folder, day, month, camera, place or cluster.", metavar="GROUP"),
    ] = None,
    sort: Sort = None,
    k: CountOrAll = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the images that meet conditions, with their facts; or count them in groups.

    Facts are read when a picture is added. [bold]--all[/] reads those of stores from before there were any.

    Example: vecstore facts --where 'camera = "X-T5" and taken >= 2024-05'

    How many of each month: vecstore facts --group-by month
    """
    asked = as_filter(conditions)
    if every and (group_by is not None or sort is not None or k is not None or asked != type(asked)()):
        raise BadInput("--all reads the files of all images without facts, and lists none; leave the other options out")
    if group_by is not None and (sort is not None or k is not None):
        raise BadInput("groups have an order of their own, and all are printed; leave --sort and -k out")
    with open_store(store, device, quiet) as opened:
        if every:
            with output.progress_bar(quiet) as on_progress:
                report = opened.fill_facts(on_progress)
            if as_json:
                output.as_object(report)
            else:
                print(f"read the facts of {report.filled} images in {report.seconds:.1f} s")
            if report.missing and not quiet:
                output.notice(f"{report.missing} images have no facts: their files are gone, changed or not readable")
            return
        if group_by is not None:
            groups = opened.count_by(group_by, asked)
            output.rows(groups, ("images", "group"), as_json, empty="nothing fits these conditions")
            return
        found = opened.all_facts(asked, sort=sort, k=k)
        columns = ("id", "taken", "camera", "width", "height", "format", "rating", "path")
        output.rows(found, columns, as_json, empty="nothing fits these conditions")


@command()
@with_groups
def oddities(
    store: StoreDir,
    conditions: Conditions,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", help="dark, bright, blurred, blank, tiny or 'odd shape'; may be repeated.", show_default="all"
        ),
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List pictures that are dark, bright, blurred, nearly blank, tiny or oddly shaped, the oddest of a kind first.

    Each with its measure, and the bound that the measure is beyond.

    Example: vecstore oddities --kind blurred
    """
    with open_store(store, device, quiet) as opened:
        found = opened.oddities(*(kind or ()), conditions=as_filter(conditions))
    columns = ("kind", "id", "measure", "value", "bound", "path")
    output.rows(found, columns, as_json, empty="no oddities")
