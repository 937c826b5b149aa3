"""How commands read: their help as people write usage, `--wide` for every table, and wrong use in one line."""

import functools
import re
from typing import Any

import typer
from typer.core import TyperGroup

from cli import output

# Options that people know from other programs, and what does it here.
ELSEWHERE = {
    **dict.fromkeys(("--top", "--limit", "--number", "--num", "--n", "--max", "--topk", "--top-k"), "-k N"),
    **dict.fromkeys(("--db", "--database", "--index", "--dir", "--folder"), "--store STORE"),
    **dict.fromkeys(("--force", "--yes", "--silent"), "--quiet"),
    **dict.fromkeys(("--threshold", "--score", "--similarity"), "--min-score SCORE"),
    **dict.fromkeys(("--model", "--network"), "--embedder NAME"),
    **dict.fromkeys(("--gpu", "--cuda"), "--device cuda"),
}

# What the parser of values says, and what a person would.
PARSER_WORDS = (
    (r"Input should be greater than or equal to (\S+)", r"give at least \1"),
    (r"Input should be less than or equal to (\S+)", r"give at most \1"),
    (r"Input should be a valid integer.*", "give a whole number"),
    (r"Input should be a valid number.*", "give a number"),
    (r"Input should be (?:a valid )?(.*)", r"give \1"),
)

# What Python reads as a float and nobody as a number.
ENDLESS = {"nan", "inf", "infinity"}


class TidyGroup(TyperGroup):
    """Commands whose help is tidied."""

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        for command in (self, *self.commands.values()):
            tidy(command)

    def get_params(self, ctx: Any) -> list[Any]:
        found = super().get_params(ctx)
        for parameter in found:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""  # Typer adds those of completion when the group is made already
        return found


def tidy(command: Any) -> None:
    """Let a command's help say PATH... in place of {PATH}..., no type beside a flag, and let tables take --wide."""
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            _tidy_argument(parameter)
        elif getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.metavar is None:
            parameter.metavar = _placeholder(parameter)
    made = command.get_help_option
    command.get_help_option = lambda context: _without_type(made(context))
    if any(parameter.name == "as_json" for parameter in command.params):
        command.params.append(_wide())


def _tidy_argument(argument: Any) -> None:
    name = (argument.metavar or argument.name.upper()).strip("[]")
    repeats = argument.nargs == -1 or name.endswith("...")
    name = name.removesuffix("...")
    argument.metavar = name
    usage = f"{name}..." if repeats else name
    argument.get_usage_pieces = lambda _context: [usage if argument.required else f"[{usage}]"]
    argument.display_type_rich = lambda **_: None  # the name says what it is


def _placeholder(option: Any) -> str | None:
    annotation = str(getattr(option.type_descriptor, "annotation", ""))
    return next(
        (
            name
            for type_, name in (("int", "N"), ("float", "X"), ("Path", "FILE"), ("str", "TEXT"))
            if type_ in annotation
        ),
        None,
    )


def _without_type(option: Any) -> Any:
    if option is not None:
        option.metavar = ""
    return option


@functools.cache
def _wide() -> Any:
    """Return the option that shows tables in full: one for all commands, as every start would make it for each."""

    def ask(_context: Any, _parameter: Any, is_asked: bool) -> None:
        output.wide.is_asked = is_asked

    def example(
        wide: bool = typer.Option(False, "--wide", help="Tables in full, also where the terminal is too narrow."),
    ) -> None: ...

    made = typer.Typer(add_completion=False)
    made.command()(example)
    option = typer.main.get_command(made).params[0]
    option.expose_value = False
    option.callback = ask
    option.metavar = ""
    return option


def in_one_line(error: Any) -> str:
    """Return what was wrong with the use of a command, and where its help is, in one line."""
    said = error.format_message().strip().removesuffix(".").replace("\n", " ")
    if _is_endless(error):
        said = said[: said.index("Input should be")] + "give a number"
    for theirs, ours in PARSER_WORDS:
        said = re.sub(theirs, ours, said)
    context = getattr(error, "ctx", None)
    asked = getattr(error, "option_name", "")
    if said.startswith("No such option"):
        taken = {name for parameter in context.command.params for name in parameter.opts} if context else set()
        said = f"there is no option {asked}{_better(asked, taken)}"
    command = context.command_path.split()[1:] if context else []
    return f"{said[:1].lower()}{said[1:]} (see `{' '.join(['vecstore', *command, '--help'])}`)"


def _is_endless(error: Any) -> bool:
    """Say whether a bound was asked of what is not a number, or infinite: the bound would be no help."""
    parsed: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    return any(
        one["type"].startswith(("greater", "less")) and str(one["input"]).strip().lower().lstrip("+-") in ENDLESS
        for one in parsed
    )


def _better(asked: str, taken: set[str]) -> str:
    from difflib import get_close_matches

    known = ELSEWHERE.get(asked, "")
    near = [known] if known.split(" ")[0] in taken else get_close_matches(asked, sorted(taken), cutoff=0.7)
    return f"; did you mean {' or '.join(near)}?" if near else ""
