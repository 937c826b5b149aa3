"""One job in a process of its own: `python -m vecstore.web.worker`, told by a line of JSON on standard input.

A process, so that k-means and the decoding of pictures take nothing from the threads that answer queries, and so that a
job can be called off wherever it is: when standard input ends, by the server's wish or with the server, that is a
Ctrl-C, and the library commits what is done. Each line on standard output is an object: how far the job is, and in the
end its result, or its error.
"""

import _thread
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecstore.errors import Interrupted, VecstoreError
from vecstore.json_text import to_json
from vecstore.web.settings import Settings

if TYPE_CHECKING:
    from vecstore.clustering.lifecycle import ClusterProgress
    from vecstore.ingest.pipeline import Progress
    from vecstore.store import Store

Tell = Callable[[dict[str, Any]], None]

# Queries go first.
NICENESS = 5


def grow(store: "Store", asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Add pictures, or sync folders of them."""

    def on_progress(progress: "Progress") -> None:
        failed = f"{progress.failed:,} failed" if progress.failed else ""
        tell({"done": progress.done, "total": progress.total, "note": failed})

    run = store.sync if asked["kind"] == "sync" else store.add
    report = run(*asked["paths"], on_progress=on_progress)
    return {**asdict(report), "images_per_second": report.images_per_second}


def retry(store: "Store", asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Try the files again that could not be added."""
    report = store.retry_failures(on_progress=lambda p: tell({"done": p.done, "total": p.total, "note": ""}))
    return {**asdict(report), "images_per_second": report.images_per_second}


def cluster(store: "Store", asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Cluster all images."""
    is_tree = asked["tree"] is not None

    def on_progress(progress: "ClusterProgress") -> None:
        note = progress.step or f"run {progress.run}, iteration {progress.iteration} of {progress.iterations}"
        if is_tree and progress.step is None:
            note = f"level {progress.run}"
        tell({"done": progress.iteration, "total": progress.iterations if is_tree else None, "note": note})

    options = {name: value for name, value in asked.items() if name != "kind"}
    made = asdict(store.cluster(**options, on_progress=on_progress))
    return {**made, "names": [asdict(name) for name in store.kept_names()]}


def draw_map(store: "Store", asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Bring the map up to date."""
    on_placed = lambda done, total: tell({"done": done, "total": total, "note": ""})  # noqa: E731
    return asdict(store.map(everything=True, on_placed=on_placed))


def compare(store: "Store", asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Compare the images that were not compared yet."""
    found = store.compare_duplicates(
        on_progress=lambda what, done, total: tell({"done": done, "total": total, "note": what})
    )
    return asdict(found)


def suggest_names(store: "Store", asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Suggest names for clusters by the images' words."""
    found = store.suggest_names(asked["words"])
    return {"clusters": len(found), "suggested": sum(cluster.suggested is not None for cluster in found)}


WORK: dict[str, Callable[["Store", dict[str, Any], Tell], dict[str, Any]]] = {
    "add": grow,
    "sync": grow,
    "retry": retry,
    "cluster": cluster,
    "map": draw_map,
    "duplicates": compare,
    "names": suggest_names,
}


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    # Whatever a library prints goes to stderr; standard output is for the server alone.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(told: dict[str, Any]) -> None:
        print(to_json(told), file=lines, flush=True)

    line = sys.stdin.buffer.readline()
    if not line:  # called off, or the server died, before there was an order
        return
    order = json.loads(line)
    threading.Thread(target=_interrupt_at_end, daemon=True).start()
    asked = order["asked"]
    settings = Settings(
        store=order["store"],
        embedder=order["embedder"],
        weights=Path(order["weights"]) if order["weights"] else None,
        device=order["device"],
    )
    try:
        with settings.open(create=asked["kind"] in ("add", "sync")) as store:
            result = WORK[asked["kind"]](store, asked, tell)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is done is done, and is to be told whole
            tell({"result": result})
    except Interrupted as error:
        tell({"cancelled": str(error)})
    except KeyboardInterrupt:
        tell({"cancelled": "called off; what was there before is still there"})
    except VecstoreError as error:
        tell({"error": str(error)})


def _interrupt_at_end() -> None:
    while os.read(sys.stdin.fileno(), 4096):  # not by `sys.stdin`, whose lock would be held when the process ends
        pass
    _thread.interrupt_main()


if __name__ == "__main__":
    main()
