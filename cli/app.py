"""The program: every command, in the order of its help.

Each parses, opens the store, makes one call of the library, and prints.
"""

from cli import (
    assistant,
    by_hand,
    clusters,
    curation,
    doctor,
    embedders,
    facts,
    ingest,
    maintenance,
    scaling,
    search,
    selections,
    serve,
    views,
)
from cli.context import app, main

GROUPS = (
    ingest,
    search,
    facts,
    curation,
    clusters,
    assistant,
    by_hand,
    selections,
    views,
    serve,
    maintenance,
    doctor,
    scaling,
    embedders,
)
for group in GROUPS:
    app.add_typer(group.commands)

__all__ = ["app", "main"]
