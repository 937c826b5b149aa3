"""The commands that ask a store about its images."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import curation, output
from cli.context import open_store
from cli.curation import Acting, IntoFolder
from cli.options import (
    AsJson,
    Conditions,
    Count,
    DeviceName,
    Images,
    ImagesOrAll,
    Into,
    Prompts,
    Quiet,
    Sort,
    StoreDir,
    WeightsFile,
    WordsFile,
    as_filter,
    with_groups,
)
from vecstore.defaults import LEAST_KEYWORD, MINUS_WEIGHT, NEAR_SCORE
from vecstore.errors import BadInput

if TYPE_CHECKING:
    from vecstore.results import Duplicate
    from vecstore.store import Store

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Ask")


@command()
@with_groups
def similar(
    store: StoreDir,
    conditions: Conditions,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, stored ids such as @12, or - for one picture on standard input.", metavar="IMAGE..."
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="The nearest others of every stored image: the k-NN graph.")
    ] = False,
    k: Count = 10,
    minus: Annotated[
        list[str] | None, typer.Option("--minus", help="An image to look away from; may be repeated.", metavar="IMAGE")
    ] = None,
    word: Annotated[
        list[str] | None,
        typer.Option("--word", help="A word to look for, as an image; may be repeated.", metavar="WORD"),
    ] = None,
    minus_word: Annotated[
        list[str] | None, typer.Option("--minus-word", help="A word to look away from.", metavar="WORD")
    ] = None,
    minus_weight: Annotated[
        float | None,
        typer.Option(
            "--minus-weight",
            help="What --minus and --minus-word count, beside 1 of the rest.",
            min=0,
            max=1,
            show_default=str(MINUS_WEIGHT),
        ),
    ] = None,
    prompt: Prompts = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Only scores of at least this.", min=-1, max=1)
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare every vector, whatever the index.")] = False,
    sort: Sort = None,
    *,
    files: IntoFolder,
    into: Into = None,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the stored images nearest to IMAGE, nearest first; several images and words are averaged.

    The score is the cosine similarity, 1 for the same picture. A stored image finds itself first, but not with --all.
    What is looked away from counts a quarter; with --minus-weight 1, as much as the rest.

    Example: vecstore similar cat.jpg -k 5 --path 'holiday/'

    Beside pictures, words: vecstore similar @12 --word snow --minus-word dog

    The graph of the whole store: vecstore similar --all --json
    """
    if not (images or word or every):
        raise typer.BadParameter("name an IMAGE or a --word, or --all for every stored image", param_hint="IMAGE...")
    if every and (images or minus or word or minus_word or prompt):
        raise typer.BadParameter(
            "it asks for every stored image; leave IMAGE, --minus, words and prompts out", param_hint="--all"
        )
    if minus_weight is not None and not (minus or minus_word):
        raise typer.BadParameter("it weighs --minus and --minus-word; name one of them", param_hint="--minus-weight")
    if files.chosen is not None and every:
        raise typer.BadParameter("it lists pairs of images; files are taken of one answer", param_hint="--all")
    if every and into is not None:
        raise typer.BadParameter("it prints every stored image; leave --into out", param_hint="--all")
    if every and sort:
        raise typer.BadParameter("the graph comes by id, the nearest first; leave --sort out", param_hint="--all")
    chosen: dict[str, Any] = {
        "k": k,
        **vars(conditions),
        "min_score": min_score,
        "exact": exact,
    }
    columns, empty = ("rank", "score", "id", "cluster", "path"), "nothing fits these conditions"
    refs = _with_sent(images or ())
    with open_store(store, device, quiet, weights=weights) as opened:
        if every:
            output.rows(opened.neighbours(**chosen), ("query", *columns), as_json, empty, no_table=True)
            return
        found = opened.similar(
            *refs,
            minus=minus or (),
            words=word or (),
            minus_words=minus_word or (),
            minus_weight=MINUS_WEIGHT if minus_weight is None else minus_weight,
            prompts=prompt or (),
            sort=sort,
            **chosen,
        )
        if curation.put_into_folder(opened, (hit.id for hit in found), files, as_json, quiet):
            return
        output.put_into(opened, into, (hit.id for hit in found), quiet)
        output.rows(found, columns, as_json, empty)
        if not quiet:
            missing = opened.count_without_file(hit.id for hit in found)
            output.tell_of_missing(missing, len(found), "files found")


def _with_sent(images: Sequence[str]) -> list[str | bytearray]:
    """Return the images that are named; `-` is the picture on standard input. Raises BadInput if there is none."""
    from vecstore.sources.content import MAX_FILE_BYTES

    if "-" not in images:
        return [*images]
    sent = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if not sent:
        raise BadInput("standard input is empty, and - is for a picture on it; name a file, or send one")
    if len(sent) > MAX_FILE_BYTES:
        raise BadInput(f"standard input has more than {MAX_FILE_BYTES:,} bytes, the limit of a picture")
    return [bytearray(sent) if image == "-" else image for image in images]


@command()
@with_groups
def find(
    text: Annotated[list[str], typer.Argument(help="Names of things, such as dog.", metavar="WORD...")],
    store: StoreDir,
    conditions: Conditions,
    prompt: Prompts = None,
    k: Count = 10,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Only probabilities of at least this.", min=0, max=1)
    ] = None,
    sort: Sort = None,
    *,
    files: IntoFolder,
    into: Into = None,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the images that most probably show what WORD says, the most probable first.

    For stores whose embedder is a classifier (efficientnet-lite0, resnet50): it knows ImageNet's 1,000 things and what
    they are kinds of, such as dog, bird, vehicle or food. Of several words an image has to show all. Stores of
    open_clip take any words, and templates for them: --prompt "a photo of a {}".

    Example: vecstore find dog -k 20
    """
    with open_store(store, device, quiet, weights=weights) as opened:
        asked = {**vars(conditions), "prompts": prompt or (), "sort": sort}
        found = opened.find(" ".join(text), k=k, min_score=min_score, **asked)
        if curation.put_into_folder(opened, (hit.id for hit in found), files, as_json, quiet):
            return
        output.put_into(opened, into, (hit.id for hit in found), quiet)
        output.rows(found, ("rank", "score", "id", "cluster", "words", "path"), as_json, "no image shows that")
        if not quiet:
            missing = opened.count_without_file(hit.id for hit in found)
            output.tell_of_missing(missing, len(found), "files found")


@command()
def tag(
    store: StoreDir,
    images: ImagesOrAll = None,
    every: Annotated[
        bool, typer.Option("--all", help="Record the words of every image, and of each added from now on.")
    ] = False,
    write_xmp: Annotated[
        bool, typer.Option("--write-xmp", help="Write them as keywords into the XMP sidecars of the pictures.")
    ] = False,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            help="With --write-xmp, only words of at least this.",
            min=0,
            max=1,
            show_default=str(LEAST_KEYWORD),
        ),
    ] = None,
    words: WordsFile = None,
    prompt: Prompts = None,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the five best words for each IMAGE, with their probabilities; with --all, record those of every image.

    Recorded words take 20 bytes an image, and [bold]find[/] answers at once with them; without IMAGE, all that are
    recorded are printed. With --words, the best of your own words, of every image where none is named.

    Example: vecstore tag cat.jpg @12

    With words of your own: vecstore tag --words labels.txt --prompt "a photo of a {}"
    """
    if images and every:
        raise typer.BadParameter("it records the words of every image; leave IMAGE out", param_hint="--all")
    if write_xmp and every:
        raise typer.BadParameter("it records words; run it first, then --write-xmp alone", param_hint="--all")
    if min_score is not None and not write_xmp:
        raise typer.BadParameter("it is for --write-xmp; give that too, or leave it out", param_hint="--min-score")
    if every and (words is not None or prompt):
        raise typer.BadParameter(
            "it records the words that the embedder knows; without it, --words is for every image", param_hint="--all"
        )
    with open_store(store, device, quiet, weights=weights) as opened:
        if every:
            with output.working("tagging", quiet):
                recorded = opened.tag_all()
            if as_json:
                output.object_of(recorded=recorded)
            else:
                output.say(f"recorded the words of {recorded} images")
            return
        if write_xmp:
            least = LEAST_KEYWORD if min_score is None else min_score
            output.sidecars(opened.write_tags_xmp(*images or (), min_probability=least), as_json, quiet)
            return
        from vecstore.words.own_words import read_words

        asked: dict[str, Any] = {"words": read_words(words) if words is not None else None, "prompts": prompt or ()}
        found = opened.tag(*images, **asked) if images else opened.tags(**asked)
        output.rows(found, ("id", "path", "tags"), as_json, empty="no image has words", no_table=not images)


@command()
@with_groups
def duplicates(
    store: StoreDir,
    acting: Acting,
    conditions: Conditions,
    between: Annotated[
        tuple[str, str],
        typer.Option(
            "--between",
            help="Only the pictures of A that are in B: folders, stores or selections. Exits with 1 if any are.",
            metavar="A B",
        ),
    ] = ("", ""),
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score", help="From which score what cannot be read, or is a series, is near.", min=-1, max=1
        ),
    ] = NEAR_SCORE,
    exact: Annotated[bool, typer.Option("--exact", help="Only the same content under several paths.")] = False,
    series: Annotated[bool, typer.Option("--series", help="Then also other shots of the same thing.")] = False,
    into: Annotated[
        str | None, typer.Option("--into", help="Put the near ones into this selection too.", metavar="NAME")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option("--sort", help="List, or review, the groups by taken, size, path or score.", metavar="ORDER"),
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print groups of equal images and altered copies. The first of a group, of the most pixels, is the one to keep.

    Every other is a file of the same content (copy), or an altered copy by its pixels (near): the relation says which,
    such as resized, mirrored, turned 90, grey, cropped, letterboxed or edited. Nothing is gained by deleting what else
    is listed: link, same file, archived, missing, unreadable.

    Example: vecstore duplicates --min-score 0.98

    Pictures of one folder that are in another: vecstore duplicates --between train test

    Decide for good, group by group: vecstore duplicates --review

    Put copies into the trash, keeping those in one folder: vecstore duplicates --keep-by folder:~/Photos --apply trash
    """
    acting.require_sense()
    if any(between) and (acting != Acting() or conditions != Conditions()):
        raise typer.BadParameter(
            "it only lists, from two places as they are; leave conditions, --keep-by, --review and --apply out",
            param_hint="--between",
        )
    if acting.review or acting.apply is not None or any(between):
        other = "--between" if any(between) else "--review" if acting.review else "--apply"
        for name, value in (("--series", series), ("--into", into), ("--sort", sort)):
            if value and (name, other) != ("--sort", "--review"):
                raise typer.BadParameter(f"it is for the list of groups; leave it or {other} out", param_hint=name)
    asked: dict[str, Any] = {"min_score": min_score, "exact": exact, "conditions": as_filter(conditions)}
    with open_store(store, device, quiet) as opened:
        if any(between):
            _print_between(opened, between, min_score, exact, as_json, quiet)
            return
        if acting.review:
            curation.review(opened, acting, {**asked, "sort": sort}, as_json)
            return
        if acting.apply is not None:
            curation.act_on_duplicates(opened, acting, asked, as_json, quiet)
            return
        with output.working("comparing", quiet):
            found = opened.duplicates(**asked, series=series, keep_by=acting.keep_by or [], sort=sort)
        if into is not None:
            found = iter(listed := list(found))
            output.put_into(opened, into, (one.id for one in listed if one.kind == "near"), quiet)
        is_chosen = acting.keep_by or any(decision.verdict == "keep" for decision in opened.decisions())
        freed = Counter[str]()
        columns = ("group", "kind", "relation", "confidence", "score", "id", "path", "keep", "pixels", "bytes")
        output.rows(
            _counted(found, freed), (*columns, *(("why",) if is_chosen else ())), as_json, empty="no duplicates"
        )
        if freed and not (as_json or quiet):
            copies, near = (output.size_of(freed[kind]) for kind in ("copy", "near"))
            output.notice(f"deleting the files called copy would free {copies}, those called near {near}")


def _counted(found: "Iterable[Duplicate]", freed: Counter[str]) -> "Iterator[Duplicate]":
    """Yield what is found, and count on the way the bytes that deleting each kind frees."""
    from vecstore.sources.path_state import freed_by

    for one in found:
        freed[one.kind] += freed_by(os.fsencode(one.path))
        yield one


def _print_between(
    opened: "Store", between: tuple[str, str], min_score: float, exact: bool, as_json: bool, quiet: bool
) -> None:
    with output.working("comparing", quiet):
        found = list(opened.between(*between, min_score=min_score, exact=exact))
    columns = ("relation", "confidence", "score", "id", "path", "other_id", "other_path")
    output.rows(found, columns, as_json, empty=f"nothing of {between[0]} is in {between[1]}")
    if found:
        raise typer.Exit(1)


@command()
@with_groups
def outliers(
    store: StoreDir,
    conditions: Conditions,
    files: IntoFolder,
    k: Count = 10,
    into: Into = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the images that are far from every centroid of the current clustering, farthest first.

    Example: vecstore outliers -k 20
    """
    with open_store(store, device, quiet) as opened:
        found = opened.outliers(k, conditions=as_filter(conditions))
        if curation.put_into_folder(opened, (member.id for member in found), files, as_json, quiet):
            return
        output.put_into(opened, into, (member.id for member in found), quiet)
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
