"""The options and arguments that commands share, declared once so that help and defaults cannot diverge."""

import os
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from vecstore.errors import BadInput
from vecstore.sources.paths import shown


def default_store() -> str:
    return str(platformdirs.user_data_path("vecstore") / "store")


def in_a_folder(file: Path) -> Path:
    """Refuse a file whose folder is not there before anything is worked out for it. Raises BadInput."""
    if not file.parent.is_dir():
        raise BadInput(
            f"{shown(os.fsencode(file.parent))} is no folder to write {file.name} to; make it, or name another"
        )
    return file


# Text, not a Path: that would make one slash of a URI's two.
StoreDir = Annotated[
    str,
    typer.Option(
        "--store",
        "-s",
        envvar="VECSTORE_STORE",
        help="The store's folder, or milvus://HOST:PORT/NAME.",
        metavar="STORE",
        default_factory=default_store,
        show_default="in the user's data folder",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.", metavar="DEVICE")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notices.")]
Paths = Annotated[
    list[str], typer.Argument(help="Pictures and folders of them; - for a list on standard input.", metavar="PATH...")
]
Globs = Annotated[
    list[str] | None,
    typer.Option("--glob", help="Only files that match, as in a .gitignore; may be repeated.", metavar="PATTERN"),
]
Excludes = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="No files or folders that match; may be repeated.", metavar="PATTERN"),
]
Images = Annotated[list[str], typer.Argument(help="Files, or stored ids such as @12.", metavar="IMAGE...")]
ImagesOrAll = Annotated[list[str] | None, typer.Argument(help="Files, or stored ids such as @12.", metavar="IMAGE...")]
EmbedderName = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        "-e",
        help="What makes the vectors of a new store: resnet50, efficientnet-lite0, hsv, or A*0.8+B*0.2.",
        show_default="resnet50",
    ),
]
WeightsFile = Annotated[
    Path | None, typer.Option("--weights", help="A weight file for resnet50, in torchvision's layout.")
]
Count = Annotated[int, typer.Option("-k", help="How many to print.", min=1)]
CountOrAll = Annotated[int | None, typer.Option("-k", help="How many to print.", min=1, show_default="all")]
Seed = Annotated[int, typer.Option("--seed", help="Where all randomness comes from.", min=0)]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray", help="Work on the Ray cluster at HOST:PORT, auto, or local.", metavar="ADDRESS"),
]
