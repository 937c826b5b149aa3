"""The demo: the commands a new user would type, run one after the other on pictures made here."""

import shlex
from collections.abc import Callable
from pathlib import Path

from cli import output
from vecstore.errors import BadInput, WeightsUnavailable

FIRST_PICTURES, LATER_PICTURES = 20, 2


def take_tour(folder: Path, device: str, run: Callable[[list[str]], object]) -> None:
    """Run the whole tour in `folder`, which must be new or empty. Raises BadInput if it is not.

    run: runs one command of the program, given as its arguments.
    """
    from vecstore.sources.painted import KINDS, paint_folder

    if folder.exists() and any(folder.iterdir()):
        raise BadInput(f"{folder} is not empty; name a new folder for the demo, such as `vecstore demo demo2`")
    photos, store = folder / "pictures", folder / "store"
    n_made = paint_folder(photos, 0, FIRST_PICTURES)
    _say(f"{n_made} pictures of {len(KINDS)} kinds are painted into {photos}.")
    embedder = _choose_embedder(device)

    def command(*arguments: str) -> None:
        print(f"\n$ vecstore {shlex.join(arguments)}", flush=True)
        run(list(arguments))

    _say("A folder of pictures becomes a store of vectors:")
    common = ["-s", str(store), *(["--device", device] if device != "auto" else [])]
    command("add", str(photos), "--embedder", embedder, *common)
    _say("Nothing is done twice:")
    command("add", str(photos), *common)
    query = photos / "reef" / "reef-03.jpg"
    _say("Find similar pictures:")
    command("similar", str(query), "-k", "6", *common)
    _say("Cluster the whole collection:")
    command("cluster", "-k", str(len(KINDS)), *common)
    command("clusters", "-s", str(store))
    n_made = paint_folder(photos, FIRST_PICTURES, FIRST_PICTURES + LATER_PICTURES)
    _say(f"The folder grows by {n_made} pictures; only they are embedded, and they get their clusters at once:")
    command("add", str(photos), *common)
    newest = f"sunset-{FIRST_PICTURES + LATER_PICTURES - 1}.jpg"
    command("which", str(photos / "sunset" / newest), "-s", str(store))
    command("info", "-s", str(store))
    _draw_results(folder, store, query)
    _say(f"Look at {folder / 'similar.png'} and {folder / 'clusters.png'}; delete {folder} when you are done.")


def _choose_embedder(device: str) -> str:
    from vecstore.embedders.embedder import EmbedderOptions
    from vecstore.embedders.registry import open_embedder
    from vecstore.embedders.resnet50 import weights_at_hand

    if not weights_at_hand():
        _say("The weights of resnet50 are not on this machine; trying to fetch them (98 MB).")
    try:
        open_embedder("resnet50", EmbedderOptions(device=device, quiet=False))
    except WeightsUnavailable as error:
        _say(
            f"They cannot be fetched ({error.__cause__ or error}),\n"
            "so the demo uses efficientnet-lite0, whose weights were installed with vecstore."
        )
        return "efficientnet-lite0"
    _say("The demo uses resnet50, the default: its weights are on this machine.")
    return "resnet50"


def _say(text: str) -> None:
    output.notice(f"\n{text}")


def _draw_results(folder: Path, store: Path, query: Path) -> None:
    from vecstore.store import Store
    from vecstore.views.contact_sheets import write_sheet

    with Store.open(store) as opened:
        write_sheet(opened.sheet(similar=query, k=6), opened.thumbnail, folder / "similar.png")
        write_sheet(opened.sheet(), opened.thumbnail, folder / "clusters.png")
