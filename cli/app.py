"""The program: every command, in the order of its help.

Each parses, opens the store, makes one call of the library, and prints.
"""

from cli import clusters, curation, embedders, ingest, maintenance, scaling, search, serve, views
from cli.context import app, main

for group in (ingest, search, curation, clusters, views, serve, maintenance, scaling, embedders):
    app.add_typer(group.commands)

__all__ = ["app", "main"]
