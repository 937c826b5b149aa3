"""What commands print: tables on a terminal, plain tab-separated lines in a pipe, JSON when asked for.

Results go to stdout, everything else to stderr.
"""

import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vecstore.json_text import to_json
from vecstore.sources.paths import shown

if TYPE_CHECKING:
    from vecstore.clustering.lifecycle import ClusterProgress
    from vecstore.ingest.pipeline import Progress
    from vecstore.results import SidecarReport
    from vecstore.store import Store

# From this part of files that are gone on, it is said.
MANY_MISSING = 0.1
ONE_OF_MANY = re.compile(
    r"(?<![\d.,@#-])(1 (?:(?:new|near|other) )?"
    r"(?:cluster|file|folder|image|level|path|picture|row|run|selection|vector|word|group))s\b"
)
# A command that people are told to type: the program's name and that of the command, and the rest.
HINT = re.compile(r"`(vecstore (?!plan|demo|embedders|migrate|--)[a-z]+)([^`]*)`")
STORE_OPTION = re.compile(r"\s(--store|-s|--help)\b")
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PATH_FIELDS = frozenset(
    (
        *("what", "where", "path", "representative", "store", "file", "folder", "name", "label", "stands_for", "why"),
        *("group", "keeper", "target", "one_path", "other_path", "kept_path"),
    )
)
ID_FIELDS = frozenset(("id", "query", "representative_id", "other_id", "one", "other", "kept"))


class Wide:
    """Whether `--wide` was given: tables in full, however long their lines get."""

    is_asked = False


class Named:
    """The store that --store named, if it did: the commands that a hint tells people to type name it too."""

    store: str | None = None


wide, named = Wide(), Named()


def as_object(result: Any, **more: Any) -> None:
    """Print one dataclass as one JSON object. Names that are no UTF-8 survive: `os.fsencode` of a path is the file."""
    print(to_json({**asdict(result), **more}), flush=True)


def object_of(**values: Any) -> None:
    """Print these values as one JSON object."""
    print(to_json(values), flush=True)


def rows(results: Iterable[Any], columns: Sequence[str], as_json: bool, empty: str, no_table: bool = False) -> None:
    """Print dataclasses, one a row, each as it comes; a table on a terminal waits for them all.

    empty: what to tell a person, on stderr, when there is none. no_table: lines on a terminal too, for what is long.
    """
    if not as_json and not no_table and sys.stdout.isatty():
        results = list(results)
        if results:
            _table(results, columns)
            return
    printed = False
    for result in results:
        printed = True
        if as_json:
            as_object(result)
        else:
            line(result, columns)
    if not printed and not as_json:
        notice(empty)


def line(result: Any, columns: Sequence[str]) -> None:
    """Print one dataclass as a tab-separated line."""
    print("\t".join(_cell(result, column) for column in columns))


def fields(result: Any, as_json: bool) -> None:
    """Print one dataclass, a field a line."""
    if as_json:
        as_object(result)
        return
    values = asdict(result)
    width = max(map(len, values))
    for name in values:
        print(f"{name:{width}}  {_cell(result, name)}")


def say(text: str) -> None:
    """Print a sentence for a person on stdout, with one thing in the singular."""
    print(in_singular(text), flush=True)


def notice(text: str) -> None:
    """Print a sentence for a person on stderr; where that cannot be written to, nobody reads it."""
    with suppress(OSError):
        print(in_singular(with_store(text)), file=sys.stderr, flush=True)


def with_store(text: str) -> str:
    """Return a text whose commands, in backticks, name the store that this command was asked for."""
    if named.store is None:
        return text
    option = f" --store {shlex.quote(shown(os.fsencode(named.store)))}"
    return HINT.sub(lambda hint: hint[0] if STORE_OPTION.search(hint[0]) else f"`{hint[1]}{hint[2]}{option}`", text)


def in_singular(text: str) -> str:
    """Return a sentence with "1 files" as "1 file".

    >>> in_singular("added 1 files to 21 images in 1 clusters")
    'added 1 file to 21 images in 1 cluster'
    """
    return ONE_OF_MANY.sub(r"\1", text)


def size_of(n_bytes: int) -> str:
    """Return a number of bytes as a person reads it."""
    size, units = float(n_bytes), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{n_bytes:,} bytes" if units[0] == "bytes" else f"{size:,.1f} {units[0]}"


def put_into(store: "Store", name: str | None, ids: Iterable[int], quiet: bool) -> None:
    """Put what a query found into a selection, if one is named, and tell a person of it."""
    if name is None:
        return
    if not (found := tuple(dict.fromkeys(ids))):
        notice(f"nothing was found to put into {name!r}")
        return
    report = store.select(name, *found)
    if not quiet:
        notice(f"put {report.added} images into the selection {report.name!r}, which has {report.images}")


def sidecars(report: "SidecarReport", as_json: bool, quiet: bool) -> None:
    """Print what became of sidecars; each that failed is told on stderr."""
    if as_json:
        as_object(report)
    else:
        print(f"wrote {report.written} sidecars, {report.unchanged} had the keywords already")
    if quiet:
        return
    if report.archived:
        notice(f"{report.archived} pictures are in archives, which get no sidecars")
    if report.missing:
        notice(f"without a sidecar: {report.missing} pictures, gone or changed; sync the store")
    for sidecar, reason in report.failed:
        notice(f"{shown(os.fsencode(sidecar))} was left as it is: {reason}")


def tell_of_missing(missing: int, of: int, what: str) -> None:
    """Tell a person what to do if many of some files are gone; one or two among many were deleted, most likely."""
    if missing and missing >= MANY_MISSING * of:
        notice(
            f"{missing} of the {of} {what} are gone; if their folder moved: `vecstore relocate OLD NEW`; "
            "if they were deleted: `vecstore sync FOLDER`"
        )


@contextmanager
def progress_bar(quiet: bool) -> Iterator["Callable[[Progress], None] | None"]:
    """Yield what to report progress to: a bar with rate and remaining time, only on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("files", total=None, rate="")

        def report(progress: "Progress") -> None:
            elapsed = bar.tasks[task].elapsed
            rate = f"{progress.done / elapsed:.1f}/s" if elapsed else ""
            failed = f", {progress.failed} failed" if progress.failed else ""
            bar.update(task, completed=progress.done, total=progress.total, rate=rate + failed)

        yield report


@contextmanager
def working(what: str, quiet: bool) -> Iterator["Callable[[ClusterProgress], None] | None"]:
    """Show that something of unknown length is being done, only on a terminal; yield what to tell of a k-means."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} ...") as status:

        def report(progress: "ClusterProgress") -> None:
            if progress.step is not None:
                status.update(f"{what}: {progress.step}")
                return
            status.update(
                f"{what}: run {progress.run}, iteration {progress.iteration} of {progress.iterations}, "
                f"objective {progress.objective:.4f}, imbalance {progress.imbalance:.2f}"
            )

        yield report


def _table(results: Sequence[Any], columns: Sequence[str]) -> None:
    from cli.tables import print_table

    values = {column: [getattr(result, column) for result in results] for column in columns}
    numbers = [all(isinstance(value, int | float | None) for value in values[column]) for column in columns]
    cells = [[_local(_cell(result, column)) for column in columns] for result in results]
    hidden = print_table(columns, cells, numbers, wide.is_asked)
    if hidden:
        told = f"not shown for want of room: {', '.join(hidden)}; --wide shows all"
        notice(textwrap.fill(told, shutil.get_terminal_size().columns, break_long_words=False, break_on_hyphens=False))


def _local(text: str) -> str:
    """Return a time as the catalog has it as a person's clock shows it; any other text as it is."""
    if not UTC_TIME.fullmatch(text):
        return text
    from datetime import datetime

    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def path_cell(path: str) -> str:
    """Return a path as people read it."""
    return shown(os.fsencode(path))


def _cell(result: Any, column: str) -> str:
    value = getattr(result, column)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if column in ID_FIELDS and isinstance(value, int) and not (column == "kept" and hasattr(result, "merged")):
        # `kept` is an image of a decision, and a number of clusters of a clustering.
        return f"@{value}"
    if isinstance(value, tuple) and column == "words":
        return ", ".join(value)
    if column == "nodes":
        return "+".join(map(str, value))
    if column == "tags":
        return ", ".join(f"{tag.word} {tag.probability:.2f}" for tag in value)
    if column in PATH_FIELDS and isinstance(value, str):
        return path_cell(value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)
