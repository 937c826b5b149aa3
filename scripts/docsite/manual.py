"""The man page, the completions and the page of all options, made from the program's own help.

    python -m scripts.docsite.manual FOLDER

writes vecstore.1, completions/vecstore.{bash,zsh,fish} and help.md into FOLDER.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer._completion_shared import get_completion_script
from typer.main import get_command

from cli.app import app
from vecstore.version import __version__

SHELLS = ("bash", "zsh", "fish")
MARKUP = re.compile(r"\[/?[a-z ]*\]")  # of rich, as in [bold]select[/]


@dataclass(frozen=True)
class Option:
    """An option or an argument. term: how it is written, such as "--store, -s STORE"."""

    term: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command, or with name "" the program itself. usage: its arguments. paragraphs: of its help."""

    name: str
    panel: str
    usage: str
    paragraphs: tuple[str, ...]
    options: tuple[Option, ...]


def commands() -> list[Command]:
    """Return the program, then its commands in the order of its help."""
    program: Any = get_command(app)
    return [_described("", program), *(_described(name, one) for name, one in program.commands.items())]


def _described(name: str, command: Any) -> Command:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name != "argument" and not one.hidden]
    usage = " ".join(["[OPTIONS]", *(piece for one in arguments for piece in one.get_usage_pieces(None))])
    return Command(
        name=name,
        panel=getattr(command, "rich_help_panel", None) or "",
        usage=usage if name else "[OPTIONS] COMMAND ...",
        paragraphs=tuple(_plain(" ".join(part.split())) for part in (command.help or "").split("\n\n")),
        options=tuple(_option(one) for one in (*arguments, *options)),
    )


def _option(parameter: Any) -> Option:
    if parameter.param_type_name == "argument":
        return Option(parameter.metavar, _plain(getattr(parameter, "help", "") or ""))
    term = ", ".join([*parameter.opts, *parameter.secondary_opts])
    text = _plain(parameter.help or "")
    default = parameter.default if isinstance(parameter.default, str | int | float) else None
    shown = parameter.show_default if isinstance(parameter.show_default, str) else default
    if shown not in (None, "", False, True):
        text += f" Default: {shown}."
    if parameter.envvar:
        text += f" Also from ${parameter.envvar}."
    return Option(f"{term} {parameter.metavar or ''}".strip(), text)


def _plain(text: str) -> str:
    return MARKUP.sub("", text)


def man_page(described: list[Command]) -> str:
    """Return the man page, in roff."""
    program, *rest = described
    lines = [f'.TH VECSTORE 1 "" "vecstore {__version__}" "User Commands"']
    lines += [".SH NAME", r"vecstore \- a folder of pictures becomes a store of vectors that grows with it"]
    lines += [".SH SYNOPSIS", r".B vecstore", _roff(program.usage), ".SH DESCRIPTION"]
    lines += [_roff(" ".join(program.paragraphs)), ".SH OPTIONS", *_roff_options(program), ".SH COMMANDS"]
    for one in rest:
        lines += [f".SS vecstore {one.name} {_roff(one.usage)}"]
        for paragraph in one.paragraphs:
            lines += [_roff(paragraph), ".PP"]
        lines += _roff_options(one)
    lines += [".SH EXIT STATUS"]
    for code, meaning in EXIT_CODES:
        lines += [".TP", f".B {code}", _roff(meaning)]
    lines += [".SH ENVIRONMENT"]
    for name, meaning in ENVIRONMENT:
        lines += [".TP", f".B {name}", _roff(meaning)]
    return "\n".join(lines) + "\n"


EXIT_CODES = (
    (0, "Done; also when some files failed."),
    (1, "Not found, or failed."),
    (2, "Wrong use."),
    (3, "The store needs attention."),
    (130, "Interrupted; what was embedded is in the store."),
)
ENVIRONMENT = (
    ("VECSTORE_STORE", "The store, where --store names none."),
    ("VECSTORE_CACHE", "The folder for what can be made again: thumbnails, and networks prepared for this machine."),
    ("VECSTORE_THUMBNAILS_MB", "How many megabytes all thumbnails may take; 512 unless said."),
    ("VECSTORE_LOG_FILE", "As --log-file."),
    ("VECSTORE_TOKEN", "As --token of serve."),
)


def _roff_options(command: Command) -> Iterator[str]:
    for option in command.options:
        yield from (".TP", f".B {_roff(option.term)}", _roff(option.text))


def _roff(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text


def help_page(described: list[Command]) -> str:
    """Return every command with its options as Markdown."""
    lines = [
        "# All options",
        "",
        "Made from `vecstore COMMAND --help`. [Commands](commands.md) says what they print.",
        "",
    ]
    for one in described:
        name = f"vecstore {one.name}".strip()
        lines += [f"## {name}", "", "```text", f"{name} {one.usage}", "```", ""]
        for paragraph in one.paragraphs:
            example = re.match(r"(.*?): (vecstore .*)", paragraph)
            lines += [f"{example[1]}: `{example[2]}`" if example else _markdown(paragraph), ""]
        if one.options:
            lines += ["| option | |", "|---|---|"]
            lines += [f"| `{_cell(option.term)}` | {_cell(_markdown(option.text))} |" for option in one.options]
            lines += [""]
    return "\n".join(lines)


def _markdown(text: str) -> str:
    parts = text.split("`")  # every other one is code, which needs no escapes
    return "`".join(part if number % 2 else re.sub(r"([<>*_])", r"\\\1", part) for number, part in enumerate(parts))


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def write(folder: Path) -> None:
    described = commands()
    (folder / "completions").mkdir(parents=True, exist_ok=True)
    (folder / "vecstore.1").write_text(man_page(described))
    (folder / "help.md").write_text(help_page(described))
    for shell in SHELLS:
        script = get_completion_script(prog_name="vecstore", complete_var="_VECSTORE_COMPLETE", shell=shell)
        (folder / f"completions/vecstore.{shell}").write_text(script + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
