"""The commands. Each parses, opens the store, makes one call of the library, and prints.

Heavy imports are inside the commands, so that `--help` and tab completion answer at once.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

import vecstore
from cli import output
from cli.options import (
    AsJson,
    Count,
    CountOrAll,
    DeviceName,
    EmbedderName,
    Excludes,
    Globs,
    Images,
    ImagesOrAll,
    Paths,
    Quiet,
    Seed,
    StoreDir,
    WeightsFile,
)
from vecstore.errors import BadInput, VecstoreError
from vecstore.paths import shown
from vecstore.results import NEAR_SCORE

if TYPE_CHECKING:
    from vecstore.results import AddReport
    from vecstore.store import Store

INTERRUPTED = 130
CLUSTER_COLUMNS = (
    *("cluster", "size", "cohesion", "separation", "nearest", "drift", "name", "representative_id", "representative"),
)
RECLUSTER = "the images added since lie farther from their clusters (drift, docs/commands.md); run `vecstore cluster`"


class Group(TyperGroup):
    """Shows every error that is raised on purpose as one line on stderr, with the exit code of its class."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except VecstoreError as error:
            output.notice(f"Error: {error}")
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:  # whoever reads our output has had enough
            raise
        except OSError as error:
            output.notice(f"Error: {error.strerror or error}{_place(error)}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interruption:
            output.notice("Interrupted; what was done by then is safe in the store")
            raise typer.Exit(INTERRUPTED) from interruption


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
    # A service manager's SIGTERM ends a run as Ctrl-C does: what is embedded is committed.
    signal.signal(signal.SIGTERM, _interrupt)
    app()


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"vecstore {vecstore.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is decided: device, runs.")] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells which of its builds it tried


@contextmanager
def _open(
    store: Path,
    device: str = "auto",
    quiet: bool = False,
    embedder: str | None = None,
    weights: Path | None = None,
    create: bool = False,
) -> Iterator["Store"]:
    if not quiet:  # fetching weights and exporting a network take a while, and happen once
        logging.getLogger("vecstore.embedders").setLevel(logging.INFO)
    from vecstore.store import Store

    with Store.open(store, embedder=embedder, weights=weights, device=device, create=create, quiet=quiet) as opened:
        yield opened


@app.command()
def add(
    paths: Paths,
    store: StoreDir,
    embedder: EmbedderName = None,
    weights: WeightsFile = None,
    glob: Globs = None,
    exclude: Excludes = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Add pictures and folders of them; what the store has is neither read nor embedded again.

    Files that cannot be added do not stop the rest; [bold]vecstore failures[/] lists them.

    Example: vecstore add ~/Photos
    """
    with (
        _open(store, device, quiet, embedder, weights, create=True) as opened,
        output.progress_bar(quiet) as on_progress,
    ):
        named, choice = _chosen(paths, glob, exclude)
        report = opened.add(*named, **choice, on_progress=on_progress)
    _print_report(report, as_json, quiet)


@app.command()
def sync(
    paths: Paths,
    store: StoreDir,
    embedder: EmbedderName = None,
    weights: WeightsFile = None,
    glob: Globs = None,
    exclude: Excludes = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would happen, and do nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep following the folders, until Ctrl-C.")] = False,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make the store equal to the folders: add what is new, embed again what changed, forget what is gone.

    A folder that is missing or empty is refused, not taken for a deletion; [bold]vecstore remove[/] deletes.

    Example: vecstore sync ~/Photos
    """
    with (
        _open(store, device, quiet, embedder, weights, create=True) as opened,
        output.progress_bar(quiet) as on_progress,
    ):
        named, choice = _chosen(paths, glob, exclude)
        if dry_run:
            changes = opened.preview(*named, **choice)
            output.rows(changes, ("action", "path"), as_json, empty="nothing would change")
            return
        if watch:
            for report in opened.follow(*named, *choice["listed"], patterns=choice["patterns"]):
                _print_report(report, as_json, quiet, forgotten=True)
            return
        report = opened.sync(*named, **choice, on_progress=on_progress)
    _print_report(report, as_json, quiet, forgotten=True)


@app.command("import")
def import_(
    vectors: Annotated[
        Path, typer.Argument(help="A .npy of shape (n, dim), or Parquet with a column vector.", metavar="VECTORS")
    ],
    store: StoreDir,
    paths: Annotated[
        Path | None,
        typer.Argument(help="A text file of n paths; Parquet may hold them itself.", metavar="PATHS"),
    ] = None,
    embedder: EmbedderName = None,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take ready-made vectors into the store, one a path. With --embedder, what made them, pictures can be added later.

    Example: vecstore import vectors.npy paths.txt
    """
    with (
        _open(store, device, quiet, embedder, weights, create=True) as opened,
        output.progress_bar(quiet) as on_progress,
    ):
        report = opened.import_vectors(vectors, paths, on_progress=on_progress)
    _print_report(report, as_json, quiet)


@app.command()
def remove(
    images: Images, store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Forget images: an id with all its paths, a path or all paths in a folder; files stay where they are.

    An image goes with its last path.

    Example: vecstore remove @12 ~/Photos/blurred.jpg
    """
    with _open(store, device, quiet) as opened:
        report = opened.remove(*images)
    if as_json:
        output.as_object(report)
    else:
        print(f"removed {report.removed} images, forgot {report.forgotten} paths")


@app.command()
def failures(
    store: StoreDir,
    retry: Annotated[bool, typer.Option("--retry", help="Try them again first, also the unchanged ones.")] = False,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the files that could not be added, and why. They are tried again when they change, or with --retry.

    Example: vecstore failures --retry
    """
    with _open(store, device, quiet, weights=weights) as opened:
        if retry:
            with output.progress_bar(quiet) as on_progress:
                report = opened.retry_failures(on_progress)
            if not quiet:
                output.notice(_in_words(report, forgotten=True))
        output.rows(opened.failures(), ("path", "reason"), as_json, empty="no failures")


@app.command()
def similar(
    store: StoreDir,
    images: ImagesOrAll = None,
    every: Annotated[
        bool, typer.Option("--all", help="The nearest others of every stored image: the k-NN graph.")
    ] = False,
    k: Count = 10,
    minus: Annotated[
        list[str] | None, typer.Option("--minus", help="An image to subtract; may be repeated.", metavar="IMAGE")
    ] = None,
    cluster: Annotated[int | None, typer.Option("--cluster", help="Only images of this cluster.")] = None,
    not_cluster: Annotated[int | None, typer.Option("--not-cluster", help="No images of this cluster.")] = None,
    path: Annotated[
        str | None,
        typer.Option("--path", help="Only images with a path that matches, as in a .gitignore.", metavar="GLOB"),
    ] = None,
    added_after: Annotated[
        str | None,
        typer.Option(
            "--added-after",
            help="Only images added since 2026-05-31, 2026-05-31T18:30, or 7d (h, d, w) ago.",
            metavar="WHEN",
        ),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Only scores of at least this.", min=-1, max=1)
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare every vector, whatever the index.")] = False,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the stored images nearest to IMAGE, nearest first; several images are averaged.

    The score is the cosine similarity, 1 for the same picture. A stored image finds itself first, but not with --all.

    Example: vecstore similar cat.jpg -k 5 --path 'holiday/'

    The graph of the whole store: vecstore similar --all --json
    """
    if not images and not every:
        raise typer.BadParameter("name an IMAGE, or --all for every stored one", param_hint="IMAGE...")
    if every and (images or minus):
        raise typer.BadParameter("it asks for every stored image; leave IMAGE and --minus out", param_hint="--all")
    chosen: dict[str, Any] = {
        "k": k,
        "cluster": cluster,
        "not_cluster": not_cluster,
        "path": path,
        "added_after": added_after,
        "min_score": min_score,
        "exact": exact,
    }
    columns, empty = ("rank", "score", "id", "cluster", "path"), "nothing fits these conditions"
    with _open(store, device, quiet, weights=weights) as opened:
        if every:
            output.rows(opened.neighbours(**chosen), ("query", *columns), as_json, empty, no_table=True)
        else:
            output.rows(opened.similar(*images or (), minus=minus or (), **chosen), columns, as_json, empty)


@app.command()
def duplicates(
    store: StoreDir,
    min_score: Annotated[
        float, typer.Option("--min-score", help="Of an image with the one to keep.", min=-1, max=1)
    ] = NEAR_SCORE,
    exact: Annotated[bool, typer.Option("--exact", help="Only the same content under several paths.")] = False,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print groups of equal and nearly equal images. The first of a group, of the most pixels, is the one to keep.

    Every other is that content under another path (copy), or of at least --min-score with the one to keep (near).

    Example: vecstore duplicates --min-score 0.98
    """
    with _open(store, device, quiet) as opened:
        with output.working("comparing", quiet):
            found = opened.duplicates(min_score=min_score, exact=exact)
        output.rows(found, ("group", "kind", "score", "id", "path"), as_json, empty="no duplicates")


@app.command()
def outliers(
    store: StoreDir, k: Count = 10, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Print the images that are far from every centroid of the current clustering, farthest first.

    Example: vecstore outliers -k 20
    """
    with _open(store, device, quiet) as opened:
        found = opened.outliers(k)
    output.rows(found, ("id", "distance", "path"), as_json, empty="every clustered image was removed")


def _k_or_auto(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isascii() or not text.isdigit() or text == "0":
        raise typer.BadParameter(f"{text!r} is neither a number of clusters from 1 nor auto")
    return int(text)


@app.command()
def cluster(
    store: StoreDir,
    k: Annotated[
        Any | None,
        typer.Option(
            "-k", help="How many clusters, or auto to choose by [bold]elbow[/].", parser=_k_or_auto, metavar="N"
        ),
    ] = None,
    seed: Seed = 0,
    iterations: Annotated[int, typer.Option("--iterations", help="At the most, of each run.", min=1)] = 25,
    restarts: Annotated[
        int | None,
        typer.Option("--restarts", help="Runs, the best is kept.", min=1, show_default="as many as pay"),
    ] = None,
    spherical: Annotated[bool, typer.Option("--spherical", help="Keep centroids at length 1.")] = False,
    init: Annotated[str, typer.Option("--init", help="random or kmeans++.", metavar="INIT")] = "random",
    warm_start: Annotated[
        bool, typer.Option("--warm-start", help="One run from the current centroids; -k stays as it is.")
    ] = False,
    within: Annotated[
        int | None, typer.Option("--within", help="Split this cluster into -k, leave the others.", metavar="CLUSTER")
    ] = None,
    use: Annotated[
        int | None, typer.Option("--use", help="Go back to an earlier clustering instead.", metavar="CLUSTERING")
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run k-means over all images of the store. Clusters keep their ids and names where they keep their images.

    Images added later get their nearest cluster. A run that was killed goes on where it was when the same is asked for.

    Example: vecstore cluster -k 20
    """
    with _open(store, device, quiet) as opened:
        if use is not None:
            if k is not None or within is not None or warm_start:
                raise BadInput(
                    "--use goes back to a clustering and makes none; leave -k, --within and --warm-start out"
                )
            run, assigned = opened.use_clustering(use)
            if as_json:
                output.as_object(run, assigned=assigned)
            else:
                print(f"clustering {run.clustering} of {run.created} is current: {run.k} clusters")
                print(f"{assigned} images added since got their clusters")
            return
        if k is None and not warm_start:
            raise typer.BadParameter("give -k N, or -k auto", param_hint="-k")
        with output.working("clustering", quiet) as on_progress:
            run = opened.cluster(
                k,
                seed=seed,
                iterations=iterations,
                restarts=restarts,
                spherical=spherical,
                init=init,
                warm_start=warm_start,
                within=within,
                on_progress=on_progress,
            )
    if as_json:
        output.as_object(run)
        return
    if run.k_reason:
        print(f"k is {k if isinstance(k, int) else run.k}: {run.k_reason}")
    print(
        f"clustering {run.clustering}: {run.rows} images in {run.k} clusters, objective {run.objective:.4f}, "
        f"best of {run.restarts} runs on {run.device} in {run.seconds:.1f} s"
    )
    if run.previous is not None:
        print(
            f"kept {run.kept}, split {run.split}, merged {run.merged}, born {run.born}, gone {run.gone}; "
            f"{run.moved} images moved"
        )


@app.command()
def clusterings(store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the clusterings that were made, and what became of the clusters; [bold]cluster --use[/] goes back to one.

    Example: vecstore clusterings
    """
    with _open(store, device, quiet) as opened:
        found = opened.clusterings()
    columns = ("clustering", "current", "created", "k", "rows", "objective")
    changes = ("previous", "kept", "split", "merged", "born", "gone", "moved")
    output.rows(found, (*columns, *changes), as_json, empty="no clusters yet; make some with `vecstore cluster -k N`")


@app.command()
def name(
    cluster: Annotated[int, typer.Argument(help="The cluster's id.", metavar="CLUSTER")],
    name: Annotated[str, typer.Argument(help='What to call it; "" takes the name away.', metavar="NAME")],
    store: StoreDir,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Name a cluster. It keeps the name as long as it keeps its id, also through new clusterings.

    Example: vecstore name 3 "beach holidays"
    """
    with _open(store, device, quiet) as opened:
        found = opened.name_cluster(cluster, name)
    output.rows([found], CLUSTER_COLUMNS, as_json, empty="")


@app.command()
def clusters(store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the clusters, largest first. Cohesion is the members' mean cosine similarity to their centroid.

    Separation is the distance to the nearest other centroid; drift says how much farther the images added since lie.

    Example: vecstore clusters
    """
    with _open(store, device, quiet) as opened:
        found, advised = opened.clusters(), opened.recluster_advised()
    output.rows(found, CLUSTER_COLUMNS, as_json, empty="every clustered image was removed; run `vecstore cluster -k N`")
    if advised and not quiet:
        output.notice(RECLUSTER)


@app.command()
def members(
    store: StoreDir,
    cluster: Annotated[
        int | None, typer.Argument(help="The cluster's id; only folders may be made of all.", metavar="CLUSTER")
    ] = None,
    k: CountOrAll = None,
    farthest: Annotated[bool, typer.Option("--farthest", help="The odd ones first, not the typical ones.")] = False,
    copy_to: Annotated[
        Path | None, typer.Option("--copy-to", help="Copy them into a folder of this one.", metavar="DIR")
    ] = None,
    link_to: Annotated[
        Path | None, typer.Option("--link-to", help="Link to them from a folder in this one.", metavar="DIR")
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List a cluster's images, most typical first; or make a folder of them, or of every cluster's.

    Example: vecstore members 3 -k 20
    """
    target = copy_to or link_to
    if copy_to is not None and link_to is not None:
        raise BadInput("pictures are copied or linked to; give --copy-to or --link-to")
    with _open(store, device, quiet) as opened:
        if target is not None:
            made = opened.make_folders(target, cluster, link=link_to is not None, k=k, farthest=farthest)
            if as_json:
                output.as_object(made)
            else:
                verb = "linked to" if link_to is not None else "copied"
                print(f"{verb} {made.files} pictures in {made.folders} folders of {shown(os.fsencode(made.folder))}")
            if made.missing and not quiet:
                output.notice(f"{len(made.missing)} pictures are gone or changed and were left out; sync the store")
            return
        if cluster is None:
            raise BadInput(
                "name a cluster to list (see `vecstore clusters`), or --copy-to or --link-to for all of them"
            )
        found = opened.members(cluster, k, farthest=farthest)
    output.rows(found, ("id", "distance", "path"), as_json, empty=f"cluster {cluster} has no images left")


@app.command()
def elbow(
    store: StoreDir,
    file: Annotated[Path, typer.Argument(help="The PNG to write.", metavar="[FILE]")] = Path("elbow.png"),
    max_k: Annotated[
        int | None,
        typer.Option("--max-k", help="The greatest k to try.", min=2, show_default="100, or a tenth of the images"),
    ] = None,
    within: Annotated[
        int | None, typer.Option("--within", help="Only the images of this cluster.", metavar="CLUSTER")
    ] = None,
    seed: Seed = 0,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw loss and silhouette against the number of clusters, and say which number is chosen, and why.

    Example: vecstore elbow curve.png
    """
    with _open(store, device, quiet) as opened, output.working("sweeping over k", quiet):
        found = opened.elbow(seed=seed, max_k=max_k, within=within)
        from vecstore.plots import draw_elbow

        draw_elbow(found, file)
    if as_json:
        output.as_object(found, file=str(file))
    else:
        print(f"k is {found.k}: {found.reason}")
        print(f"the curve is in {shown(os.fsencode(file))}")


@app.command()
def evaluate(
    store: StoreDir,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="A CSV of path,label.", metavar="CSV", show_default="the folders' names"),
    ] = None,
    neighbours: Annotated[
        int, typer.Option("--neighbours", help="How many nearest ones to judge of each image.", min=1)
    ] = 10,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare the clusters, and the nearest neighbours, with labels: the folders' names, or those of a table.

    Each cluster stands for one label at the most; the images in a cluster that stands for another are listed.

    Example: vecstore evaluate
    """
    with _open(store, device, quiet) as opened:
        found = opened.evaluate(labels=labels, neighbours=neighbours)
    if as_json:
        output.as_object(found)
        return
    precision = "-" if found.precision is None else f"{found.precision:.4f}"
    print(
        f"{found.images} images in {found.k} clusters: accuracy {found.accuracy:.4f}, ARI {found.ari:.4f}, "
        f"NMI {found.nmi:.4f}; precision@{found.neighbours} {precision}"
    )
    output.rows(found.classes, ("label", "images", "cluster", "recall", "precision"), False, empty="")
    print(f"{len(found.wrong)} images are in the cluster of another label")
    output.rows(found.wrong, ("id", "label", "cluster", "stands_for", "path"), False, empty="")


@app.command()
def which(
    images: Images,
    store: StoreDir,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the cluster that each image belongs to; one that is not stored is embedded and assigned, not added.

    Example: vecstore which new.jpg @12
    """
    with _open(store, device, quiet, weights=weights) as opened:
        found = opened.which(*images)
    output.rows(found, ("cluster", "distance", "id", "path"), as_json, empty="")


@app.command()
def index(
    store: StoreDir,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it anew.")] = False,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", help="auto, exact, rabitq or pq.", metavar="KIND", show_default="as recorded, else auto"
        ),
    ] = None,
    target_recall: Annotated[
        float | None,
        typer.Option(
            "--target-recall", help="Recall of ten neighbours to reach.", show_default="as recorded, else 0.99"
        ),
    ] = None,
    memory_budget: Annotated[
        int | None,
        typer.Option(
            "--memory-budget", help="MiB that the index may take; 0: no bound.", min=0, show_default="as recorded"
        ),
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Bring the index up to date and measure it. Adding does so when it is due; what is said here is recorded.

    Example: vecstore index --target-recall 0.999
    """
    budget = None if memory_budget is None else memory_budget << 20
    with _open(store, device, quiet) as opened, output.working("indexing", quiet):
        made = opened.index(kind=kind, target_recall=target_recall, memory_budget=budget, rebuild=rebuild)
    output.fields(made, as_json)


@app.command()
def info(store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Print what the store is: sizes, embedder, index, clusters and drift.

    Example: vecstore info
    """
    with _open(store, device, quiet) as opened:
        found = opened.info()
    output.fields(found, as_json)
    if found.recluster and not quiet:
        output.notice(RECLUSTER)


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where to put the demo's pictures and store; new or empty.", metavar="[FOLDER]")
    ] = Path("demo"),
    device: DeviceName = "auto",
) -> None:
    """Take the whole tour on pictures that it makes itself: add, find similar, cluster, add more.

    Example: vecstore demo
    """
    from cli.tour import take_tour

    take_tour(folder, device, run=lambda arguments: typer.main.get_command(app).main(arguments, standalone_mode=False))


def _chosen(paths: list[str], glob: list[str] | None, exclude: list[str] | None) -> tuple[list[str], dict[str, Any]]:
    """Return the paths that are named, and the library's other arguments for what to look at."""
    from vecstore.scan import Patterns, read_list

    listed = read_list(sys.stdin.buffer.read()) if "-" in paths else []
    patterns = Patterns(tuple(glob or ()), tuple(exclude or ()))
    return [path for path in paths if path != "-"], {"listed": listed, "patterns": patterns}


def _print_report(report: "AddReport", as_json: bool, quiet: bool, forgotten: bool = False) -> None:
    if as_json:
        output.as_object(report, images_per_second=report.images_per_second)
    else:
        print(_in_words(report, forgotten))
    if report.failed and not quiet:
        output.notice(f"{report.failed} files could not be added; `vecstore failures` says why")


def _in_words(report: "AddReport", forgotten: bool) -> str:
    parts = [f"added {report.added}", f"known {report.known}", f"updated {report.updated}", f"failed {report.failed}"]
    if forgotten:
        parts.append(f"forgotten {report.forgotten}")
    rate = f", {report.images_per_second:.1f} images/s" if report.embedded else ""
    return f"{', '.join(parts)} in {report.seconds:.1f} s{rate}"
