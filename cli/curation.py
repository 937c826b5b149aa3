"""Decisions about duplicates and acts on files: the commands, and what other commands share of them."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli import output
from cli.context import open_store
from cli.options import AsJson, DeviceName, Images, KeepBy, Quiet, StoreDir
from vecstore.errors import BadInput, NotFound, VecstoreError
from vecstore.sources.paths import shown

if TYPE_CHECKING:
    from vecstore.results import Act, ActReport, Decision, DuplicateGroup
    from vecstore.store import Store

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Ask")
DECISION_COLUMNS = ("verdict", "one", "other", "kept", "decided", "one_path", "other_path", "kept_path")
ACT_COLUMNS = ("state", "act", "id", "bytes", "path", "keeper", "target")
DONE_IN_WORDS = {
    "trash": ("put", "into the trash"),
    "move": ("move", ""),
    "hardlink": ("replace", "by hard links"),
    "symlink": ("replace", "by symbolic links"),
    "delete": ("delete", ""),
    "copy": ("copy", ""),
    "link": ("link to", ""),
}
PAST = {"put": "put", "move": "moved", "replace": "replaced", "delete": "deleted", "copy": "copied"}


@dataclass(frozen=True)
class Acting:
    """What `duplicates` takes beside what it finds: how to choose, decide and act."""

    keep_by: KeepBy = None
    review: Annotated[bool, typer.Option("--review", help="Decide group by group, in this terminal.")] = False
    apply: Annotated[
        str | None,
        typer.Option(
            "--apply",
            help="Act on what was decided, or on what --keep-by says: trash, move:DIR, hardlink, symlink, delete. "
            "Without --yes it is only listed.",
            metavar="ACT",
        ),
    ] = None
    near_too: Annotated[
        bool, typer.Option("--near-too", help="Act on near images too, by --keep-by: trash and move:DIR only.")
    ] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do what --apply says.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only list what --apply would do.")] = False
    inline: Annotated[
        str | None,
        typer.Option(
            "--inline", help="With --review, show the pictures: auto, kitty, iterm2 or sixel.", metavar="PROTOCOL"
        ),
    ] = None

    def require_sense(self) -> None:
        """Raise BadInput for options that contradict each other."""
        if self.review and self.apply is not None:
            raise BadInput("--review decides and --apply acts on what was decided; give one after the other")
        if self.apply is None and (self.yes or self.dry_run or self.near_too):
            raise BadInput("--yes, --dry-run and --near-too are for --apply; say what to do, such as --apply trash")
        if self.yes and self.dry_run:
            raise BadInput("--yes acts and --dry-run does not; give one of them")
        if self.inline is not None and not self.review:
            raise BadInput("--inline shows the pictures of --review; give that too")


@dataclass(frozen=True)
class IntoFolder:
    """Where the files of what was found are to go."""

    copy_to: Annotated[
        Path | None, typer.Option("--copy-to", help="Copy the pictures that are found there.", metavar="DIR")
    ] = None
    link_to: Annotated[
        Path | None, typer.Option("--link-to", help="Make symbolic links to them there.", metavar="DIR")
    ] = None
    move_to: Annotated[
        Path | None, typer.Option("--move-to", help="Move them there; the store follows.", metavar="DIR")
    ] = None

    @property
    def chosen(self) -> tuple[str, Path] | None:
        """The act and the folder, None if nothing is asked for. Raises BadInput for two."""
        given = {"copy": self.copy_to, "link": self.link_to, "move": self.move_to}
        asked = [(act, folder) for act, folder in given.items() if folder is not None]
        if len(asked) > 1:
            raise BadInput("pictures are copied, linked to or moved; give one of --copy-to, --link-to and --move-to")
        return asked[0] if asked else None


@command()
def decisions(store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List what was decided about duplicates, the latest first; [bold]undo[/] takes decisions back.

    Example: vecstore decisions
    """
    with open_store(store, device, quiet) as opened:
        found = opened.decisions()
    output.rows(found, DECISION_COLUMNS, as_json, empty="nothing was decided yet; `vecstore duplicates --review` does")


@command()
def decide(
    verdict: Annotated[str, typer.Argument(help="different, both or keep.", metavar="VERDICT")],
    images: Images,
    store: StoreDir,
    keep: Annotated[str | None, typer.Option("--keep", help="Of keep, the file to keep.", metavar="FILE")] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Record that images are no duplicates (different), are all to stay (both), or which one is to be kept (keep).

    By content, for good: also after files are moved or added again. [bold]duplicates --review[/] asks group by group.

    Example: vecstore decide different @3 @5
    """
    with open_store(store, device, quiet) as opened:
        found = opened.decide(*images, verdict=verdict, keep=keep)
    output.rows(found, DECISION_COLUMNS, as_json, empty="")


# Acting


def act_on_duplicates(opened: "Store", acting: Acting, found: dict[str, Any], as_json: bool, quiet: bool) -> None:
    """Do what --apply says, or list it, and say what came of it."""
    rules = acting.keep_by or []
    if acting.apply == "delete" and acting.yes and not quiet:
        output.notice("deleted files cannot be put back")
    report = opened.act_on_duplicates(
        acting.apply or "",
        keep_by=rules,
        near=acting.near_too,
        **found,
        dry_run=not acting.yes,
        on_act=partial(_tell, as_json),
    )
    if not report.acts:
        if not quiet:
            output.notice("no duplicates to act on" + _other_ways(acting))
        return
    _sum_up(report, None, acting.yes, quiet)


def _other_ways(acting: Acting) -> str:
    if not acting.keep_by:
        return ": decide with --review, or give --keep-by"
    takes_near = acting.apply == "trash" or (acting.apply or "").startswith("move:")
    return "" if acting.near_too or not takes_near else ": with --near-too altered copies are acted on too"


def put_into_folder(opened: "Store", ids: Iterable[int], into: IntoFolder, as_json: bool, quiet: bool) -> bool:
    """Put the files of images into a folder, if that is asked for; say whether it was."""
    if into.chosen is None:
        return False
    act, folder = into.chosen
    report = opened.collect(*ids, target=folder, act=act, on_act=partial(_tell, as_json))
    _sum_up(report, folder, True, quiet)
    return True


def _tell(as_json: bool, act: "Act") -> None:
    """Print an act as it is done, and on stderr why it is not."""
    if as_json:
        output.as_object(act)
    else:
        output.line(act, ACT_COLUMNS)
        if act.reason is not None:
            output.notice(f"{shown(act.path.encode(errors='surrogateescape'))}: {act.reason}")


def _sum_up(report: "ActReport", folder: Path | None, acts: bool, quiet: bool) -> None:
    verb, how = DONE_IN_WORDS[report.act]
    where = " ".join(filter(None, (how, f"to {folder}" if folder is not None and report.act != "link" else "")))
    what = f"{report.done} files{f' {where}' if where else ''}, {report.bytes:,} bytes"
    if not acts:
        final = " (deleted files cannot be put back)" if report.act == "delete" else ""
        if not quiet:
            output.notice(f"would {verb} {what}; nothing was done: --yes does it{final}")
        return
    said = f"{PAST.get(verb, 'linked to')} {what}{' are free now' if report.freed else ''}"
    if report.act == "trash":
        said += ", which are free when it is emptied"
    if not quiet:
        output.notice(said + (_way_back(report.act) if report.done else ""))
    if report.refused:
        raise VecstoreError(f"{report.refused} of {len(report.acts)} files were left as they are, as said above")


def _way_back(act: str) -> str:
    from vecstore.curation.trash import HAS_NOTES

    if act == "delete":
        return ""
    if act == "trash" and not HAS_NOTES:
        return "; here only the system puts files back from it"
    return "; `vecstore undo` takes it back"


# Reviewing


def review(opened: "Store", acting: Acting, found: dict[str, Any], as_json: bool) -> None:
    """Ask about each group that was not decided yet; each answer is recorded at once."""
    if acting.inline is not None:
        from vecstore.views.terminal_images import require_protocol

        require_protocol(acting.inline)
    groups = opened.duplicate_groups(**found, keep_by=acting.keep_by or [])
    asked = decided = kept = 0
    for group in groups:
        if group.is_decided:
            continue
        asked += 1
        _show(opened, group, acting.inline)
        answer = _answer(len(group.files))
        if answer == "q":
            break
        recorded = _record(opened, group, answer)
        decided += bool(recorded)
        kept += answer.isdigit()
        if as_json:
            for decision in recorded:
                output.as_object(decision)
    if not asked:
        output.notice("no duplicates that are not decided")
        return
    output.notice(
        f"decided {decided} groups"
        + ("; `vecstore duplicates --apply trash` shows what follows, --yes does it" if kept else "")
    )


def _show(opened: "Store", group: "DuplicateGroup", inline: str | None) -> None:
    output.notice(f"group {group.group}: {len({file.id for file in group.files})} images, {len(group.files)} files")
    if inline is not None:
        from vecstore.views.terminal_images import thumbnail_escapes

        thumbnails = []
        for row in dict.fromkeys(file.id for file in group.files):
            try:
                thumbnails.append(opened.thumbnail(row))
            except (NotFound, BadInput):  # it is listed, and cannot be shown
                continue
        if thumbnails:
            sys.stderr.buffer.write(thumbnail_escapes(thumbnails, inline))
            sys.stderr.flush()
    for number, file in enumerate(group.files, start=1):
        size = f"{file.width} x {file.height}, " + ("-" if file.bytes is None else f"{file.bytes:,}") + " bytes"
        why = f" ({file.why})" if file.why else ""
        path = shown(file.path.encode(errors="surrogateescape"))
        relation = f", {file.relation}" if file.relation else ""
        output.notice(f"{number:3}  {file.kind}{relation}{why}  {file.score:.3f}  @{file.id}  {size}  {path}")


def _answer(n_files: int) -> str:
    """Return a number of a file to keep, or b, n, l or q, as it is typed; q where nothing more comes."""
    asked = f"[1-{n_files}] keep this, [b] keep all, [n] not duplicates, [l] decide later, [q] quit: "
    while True:
        print(asked, end="", file=sys.stderr, flush=True)
        typed = _typed(n_files).strip().lower()
        if typed in ("b", "n", "l", "q") or (typed.isascii() and typed.isdigit() and 1 <= int(typed) <= n_files):
            return typed
        output.notice(f"{typed[:20]!r} is none of these")


def _typed(n_files: int) -> str:
    """Return one key of a terminal, where one is enough, or else a line."""
    if sys.stdin.isatty() and n_files < 10:
        try:
            key = typer.getchar()
        except EOFError:
            key = "q"
        output.notice(key if key.isprintable() else "")
        return key
    return sys.stdin.readline() or "q"


def _record(opened: "Store", group: "DuplicateGroup", answer: str) -> "list[Decision]":
    ids = list(dict.fromkeys(file.id for file in group.files))
    if answer == "l":
        return []
    if answer in ("b", "n"):
        verdict: Literal["both", "different"] = "both" if answer == "b" else "different"
        return opened.decide(*ids, verdict=verdict)
    return opened.decide(*ids, verdict="keep", keep=group.files[int(answer) - 1].path)
