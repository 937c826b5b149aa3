"""The program: every command, in the order of its help.

Each parses, opens the store, makes one call of the library, and prints.
"""

from cli import asking, clusters, growing, pictures, scaling, serving, upkeep
from cli.shell import app, main

for group in (growing, asking, clusters, pictures, serving, upkeep, scaling):
    app.add_typer(group.commands)

__all__ = ["app", "main"]
