"""The options and arguments that commands share, declared once so that help and defaults cannot diverge."""

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import platformdirs
import typer

from vecstore.errors import BadInput
from vecstore.sources.paths import shown

if TYPE_CHECKING:
    from vecstore.search.filters import Filter


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
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, or one GPU: cuda:1.", metavar="DEVICE")]
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
NoDefaultExcludes = Annotated[
    bool,
    typer.Option("--no-default-excludes", help="Also take thumbnails, trash and system folders, left out by default."),
]
Images = Annotated[list[str], typer.Argument(help="Files, or stored ids such as @12.", metavar="IMAGE...")]
ImagesOrAll = Annotated[list[str] | None, typer.Argument(help="Files, or stored ids such as @12.", metavar="IMAGE...")]
EmbedderName = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        "-e",
        help="What makes the vectors of a new store: resnet50, hsv, A*0.8+B*0.2; all: `vecstore embedders`.",
        show_default="resnet50",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="Of a new store's network: float32, bf16 (faster on CPUs that multiply it), or auto (docs/quality.md).",
        metavar="PRECISION",
        show_default="auto",
    ),
]
WeightsFile = Annotated[
    Path | None,
    typer.Option(
        "--weights", help="A weight file for the network, in its library's layout; not for hsv and efficientnet-lite."
    ),
]
KeepBy = Annotated[
    list[str] | None,
    typer.Option(
        "--keep-by",
        help="Keep by a rule: pixels, bytes, oldest, newest, not-link, sharpness, format:png,jpeg, folder:/a,/b, "
        "path:GLOB; may be repeated, the first that makes a difference decides.",
        metavar="RULE",
    ),
]
Prompts = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        help='A template for words, such as "a photo of a {}"; the mean of several is taken. For stores of open_clip.',
        metavar="TEXT",
    ),
]
WordsFile = Annotated[
    Path | None, typer.Option("--words", help="Words of your own, one word or phrase a line.", metavar="FILE")
]
Count = Annotated[int, typer.Option("-k", "--count", help="How many to print.", min=1)]
CountOrAll = Annotated[int | None, typer.Option("-k", "--count", help="How many to print.", min=1, show_default="all")]
Into = Annotated[str | None, typer.Option("--into", help="Put what is found into this selection too.", metavar="NAME")]
Sort = Annotated[
    str | None,
    typer.Option("--sort", help="Print what is found by taken, size or path.", metavar="ORDER", show_default="score"),
]
Where = Annotated[
    str | None,
    typer.Option("--where", help="Only images of which this holds, such as 'rating >= 4'.", metavar="CONDITION"),
]
Seed = Annotated[int, typer.Option("--seed", help="Where all randomness comes from.", min=0)]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray", help="Work on the Ray cluster at HOST:PORT, auto, or local.", metavar="ADDRESS"),
]


@dataclasses.dataclass(frozen=True)
class Intake:
    """What `add` and `sync` take beside the paths: how pictures are chosen, and what makes their vectors."""

    embedder: EmbedderName = None
    weights: WeightsFile = None
    precision: Precision = None
    glob: Globs = None
    exclude: Excludes = None
    no_default_excludes: NoDefaultExcludes = False
    ray: RayAddress = None
    tags: Annotated[
        bool, typer.Option("--tags", help="Record each image's best words too, from now on (see [bold]tag[/]).")
    ] = False


@dataclasses.dataclass(frozen=True)
class InSelection:
    """Of which selection images may be."""

    in_selection: Annotated[
        str | None, typer.Option("--in", help="Only images of this selection (see [bold]select[/]).", metavar="NAME")
    ] = None
    not_in_selection: Annotated[
        str | None, typer.Option("--not-in", help="No images of this selection.", metavar="NAME")
    ] = None


@dataclasses.dataclass(frozen=True)
class Conditions(InSelection):
    """Which images a query may return."""

    cluster: Annotated[
        str | None, typer.Option("--cluster", help="Only images of this cluster, by id or name.", metavar="CLUSTER")
    ] = None
    not_cluster: Annotated[
        str | None, typer.Option("--not-cluster", help="No images of this cluster.", metavar="CLUSTER")
    ] = None
    path: Annotated[
        list[str] | None,
        typer.Option(
            "--path", help="Only images with a path that matches, as in a .gitignore; any of several.", metavar="GLOB"
        ),
    ] = None
    added_after: Annotated[
        str | None,
        typer.Option(
            "--added-after",
            help="Only images added since 2026-05-31, 2026-05-31T18:30, or 7d (h, d, w) ago.",
            metavar="WHEN",
        ),
    ] = None
    taken_after: Annotated[
        str | None,
        typer.Option("--taken-after", help="Only images taken since 2024, 2024-05, 2024-05-31 or 7d.", metavar="WHEN"),
    ] = None
    taken_before: Annotated[
        str | None, typer.Option("--taken-before", help="Only images taken before then.", metavar="WHEN")
    ] = None
    camera: Annotated[
        str | None, typer.Option("--camera", help="Only images whose camera or maker contains this.", metavar="TEXT")
    ] = None
    place: Annotated[
        str | None,
        typer.Option("--place", help="Only images taken near this town, or in this country (FR).", metavar="TEXT"),
    ] = None
    near: Annotated[
        str | None,
        typer.Option("--near", help="Only images taken so near to a place: 48.14,11.58,5.", metavar="LAT,LON,KM"),
    ] = None
    where: Where = None


def as_filter(conditions: Conditions) -> "Filter":
    """Return the conditions as the library takes them."""
    from vecstore.search.filters import Filter

    return Filter.of(**vars(conditions))


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take the fields of each parameter that is a dataclass as options, where that parameter stands.

    A field of the name of a parameter of the command itself keeps its default, and is no option.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    own = inspect.signature(command).parameters
    for parameter in own.values():
        annotation = parameter.annotation
        if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
            groups[parameter.name] = annotation
            parameters.extend(p for p in inspect.signature(annotation).parameters.values() if p.name not in own)
        else:
            parameters.append(parameter)

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            names = [field.name for field in dataclasses.fields(group) if field.name not in own]
            values[name] = group(**{field: values.pop(field) for field in names})
        command(**values)

    # Typer reads both. By name, as the options of a group may come before what has no default.
    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    run.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
