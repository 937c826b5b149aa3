"""What all commands share: the program itself, how a store is opened, and how errors are shown.

Heavy imports are inside the commands, so that `--help` and tab completion answer at once.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import logs, output, wording
from cli.options import default_store
from vecstore.errors import StoreDamaged, VecstoreError
from vecstore.sources.paths import shown
from vecstore.version import __version__

if TYPE_CHECKING:
    from vecstore.store import Store

log = logging.getLogger(__name__)

INTERRUPTED = 130


class Asked:
    """What the program's own options say to every command. wait: seconds, for another writer."""

    wait: float | None = None


asked = Asked()
RECLUSTER = "the images added since lie farther from their clusters (drift, docs/commands.md); run `vecstore cluster`"


class Group(wording.TidyGroup):
    """Shows every error that is raised on purpose as one line on stderr, with the exit code of its class."""

    def main(self, *args: Any, standalone_mode: bool = True, **values: Any) -> Any:
        values["standalone_mode"] = False
        if not standalone_mode:
            return super().main(*args, **values)
        try:
            code = super().main(*args, **values)
        except Exception as error:
            wrong_use: Any = error
            if not hasattr(wrong_use, "format_message"):
                raise
            if wrong_use.format_message():
                output.notice(f"Error: {wording.in_one_line(wrong_use)}")
            else:
                wrong_use.show()  # what `vecstore` alone prints: its help
            sys.exit(wrong_use.exit_code)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # here, where an error is still reported in one line
        except VecstoreError as error:
            log.info("%s", error, extra={"exit_code": error.exit_code})
            output.notice(f"Error: {error}")
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError as error:  # whoever reads our output has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains of what it has left to write
            raise typer.Exit(1) from error
        except OSError as error:
            output.notice(f"Error: {error.strerror or error}{_place(error)}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interruption:
            output.notice("Interrupted; what was done by then is safe in the store")
            raise typer.Exit(INTERRUPTED) from interruption
        except Exception as error:
            if not hasattr(error, "exit_code"):  # Typer's own, of wrong use, have one
                log.info("an error that nobody foresaw", exc_info=True)
            raise


def _place(error: OSError) -> str:
    return f": {shown(os.fsencode(error.filename))}" if isinstance(error.filename, str | bytes) else ""


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="A folder of pictures becomes a store of vectors that grows with it: find similar pictures, cluster them all.",
)


def main() -> None:
    """The `vecstore` program."""
    open_standard_streams()
    # A service manager's SIGTERM ends a run as Ctrl-C does: what is embedded is committed.
    signal.signal(signal.SIGTERM, _interrupt)
    app()


def open_standard_streams() -> None:
    """Put the null device in the place of standard streams that are closed, as daemons and some schedulers have them.

    Else the next files opened, a database among them, would be the standard streams, and be written to by whatever
    prints.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:  # the lowest number that is free
        os.set_inheritable(descriptor, True)
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    # Python has None for what was closed when it began.
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _print_version(context: typer.Context, wanted: bool) -> None:
    if not wanted:
        return
    if context.params.get("verbose"):
        from vecstore.maintenance.machine import facts

        for name, value in facts():
            print(f"{name:13} {value}")
    else:
        print(f"vecstore {__version__}")
    raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            help="Print the version; with -v also the system and the libraries, for a bug report.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", is_eager=True, help="Say what is decided on the way, such as the device.")
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option(
            "--log-file", envvar="VECSTORE_LOG_FILE", help="Append what is done to FILE, as JSON lines.", metavar="FILE"
        ),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            help="How long to wait while another process writes to the store; 60 if not given.",
            min=0,
            metavar="SECONDS",
        ),
    ] = None,
) -> None:
    logs.begin(verbose, log_file)
    asked.wait = wait
    log.info(
        "vecstore %s: %s",
        __version__,
        context.invoked_subcommand,
        extra={"command": context.invoked_subcommand, "version": __version__},
    )


@contextmanager
def open_store(
    store: str | Path,
    device: str = "auto",
    quiet: bool = False,
    embedder: str | None = None,
    weights: Path | None = None,
    create: bool = False,
    precision: str | None = None,
) -> Iterator["Store"]:
    """Open the store for one command; quiet: nothing is said of weights and networks.

    An error that nobody foresaw, in a store that is not whole, is reported as the damage that most likely caused it.
    """
    logs.for_people.aloud = not quiet
    output.named.store = None if str(store) in (os.environ.get("VECSTORE_STORE"), default_store()) else str(store)
    from vecstore.store import Store

    with Store.open(
        store,
        embedder=embedder,
        weights=weights,
        device=device,
        create=create,
        quiet=quiet,
        wait=asked.wait,
        precision=precision,
    ) as opened:
        try:
            yield opened
        except (VecstoreError, OSError, typer.Exit, typer.BadParameter):
            raise
        except Exception as error:
            damage = opened.damage()
            if damage is None:
                raise
            raise StoreDamaged(f"the store {store} is damaged: {damage}; run `vecstore check`") from error
