"""The commands that make, keep, read and judge clusters."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli import curation, output
from cli.context import RECLUSTER, open_store
from cli.options import (
    AsJson,
    Conditions,
    CountOrAll,
    DeviceName,
    Into,
    Prompts,
    Quiet,
    RayAddress,
    Seed,
    Sort,
    StoreDir,
    WeightsFile,
    WordsFile,
    as_filter,
    with_groups,
)
from vecstore.defaults import NOISE
from vecstore.errors import BadInput
from vecstore.sources.paths import shown

if TYPE_CHECKING:
    from vecstore.results import Cluster, Clustering, ClusteringCost, Cut, KeptName, TreeNode, WordEvaluation
    from vecstore.store import Store

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Cluster")
CLUSTER_COLUMNS = (
    *("cluster", "size", "cohesion", "separation", "nearest", "drift", "name", "representative_id", "representative"),
)
TREE_COLUMNS = ("cluster", "level", "parent", "children", "size", "name", "representative_id", "representative")
CUT_COLUMNS = ("nodes", "size", "name", "representative_id", "representative")
SUGGESTED_COLUMNS = ("cluster", "size", "name", "suggested", "representative_id", "representative")
NO_CLUSTERS = "every clustered image was removed; run `vecstore cluster -k N`"


def _k_or_auto(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isascii() or not text.isdigit() or text == "0":
        raise typer.BadParameter(f"{text!r} is neither a number of clusters from 1 nor auto")
    return int(text)


def _levels_or_auto(text: str) -> tuple[int, ...] | Literal["auto"]:
    if text == "auto":
        return "auto"
    numbers = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < len(part) < 10 and int(part) for part in numbers):
        raise typer.BadParameter(f"{text!r} are not numbers of clusters, such as 20,400,8000, nor auto")
    return tuple(int(part) for part in numbers)


@dataclass(frozen=True)
class KMeansChoice:
    """What `cluster` takes beside the store: the parameters of `Store.cluster`, and a clustering to go back to."""

    k: Annotated[
        Any | None,
        typer.Option(
            "-k",
            "--clusters",
            help="How many clusters, or auto to choose by [bold]elbow[/].",
            parser=_k_or_auto,
            metavar="N",
            show_default="auto",
        ),
    ] = None
    seed: Seed = 0
    iterations: Annotated[int, typer.Option("--iterations", help="At the most, of each run.", min=1)] = 25
    restarts: Annotated[
        int | None,
        typer.Option("--restarts", help="Runs, the best is kept.", min=1, show_default="30, fewer on large stores"),
    ] = None
    spherical: Annotated[bool, typer.Option("--spherical", help="Keep centroids at length 1.")] = False
    init: Annotated[str, typer.Option("--init", help="random or kmeans++.", metavar="INIT")] = "random"
    warm_start: Annotated[
        bool, typer.Option("--warm-start", help="One run from the current centroids; -k stays as it is.")
    ] = False
    within: Annotated[
        str | None, typer.Option("--within", help="Split this cluster into -k, leave the others.", metavar="CLUSTER")
    ] = None
    full_iterations: Annotated[
        int, typer.Option("--full-iterations", help="At the most so many over all images, after a sample's.", min=0)
    ] = 0
    ray: RayAddress = None
    segments: Annotated[
        str | None,
        typer.Option(
            "--segments", help="A path or s3:// URI where the machines of --ray find the vectors.", metavar="URI"
        ),
    ] = None
    where: Annotated[
        str | None,
        typer.Option("--where", help="Look for clusters in the images alone of which this holds.", metavar="CONDITION"),
    ] = None
    method: Annotated[
        str,
        typer.Option("--method", help="kmeans, hdbscan, agglomerative, meanshift or leiden.", metavar="METHOD"),
    ] = "kmeans"
    min_size: Annotated[
        int | None,
        typer.Option(
            "--min-size",
            help="Of hdbscan, meanshift, leiden: fewer images are noise.",
            min=1,
            show_default="5",
        ),
    ] = None
    resolution: Annotated[
        float | None, typer.Option("--resolution", help="Of leiden: higher, more clusters.", show_default="1")
    ] = None
    bandwidth: Annotated[
        float | None,
        typer.Option("--bandwidth", help="Of meanshift: the distance of near images.", show_default="estimated"),
    ] = None
    whiten: Annotated[bool, typer.Option("--whiten", help="Give principal components the same variance first.")] = False
    pca: Annotated[
        int | None, typer.Option("--pca", help="Work in so many principal components.", min=1, metavar="N")
    ] = None
    graph: Annotated[bool, typer.Option("--graph", help="Spectral: cluster the nearest neighbours' graph.")] = False
    tree: Annotated[
        Any | None,
        typer.Option(
            "--tree",
            help="Make a tree of so many clusters in each level, such as 20,400, or auto; instead of -k.",
            parser=_levels_or_auto,
            metavar="N,N",
        ),
    ] = None
    use: Annotated[
        int | None, typer.Option("--use", help="Go back to an earlier clustering instead.", metavar="CLUSTERING")
    ] = None


@command()
@with_groups
def cluster(
    store: StoreDir,
    choice: KMeansChoice,
    name_by_words: Annotated[
        bool, typer.Option("--name-by-words", help="Suggest names by the images' words, as [bold]name --suggest[/].")
    ] = False,
    words: Annotated[
        Path | None,
        typer.Option("--words", help="With --name-by-words: names to choose from, one a line.", metavar="FILE"),
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Cluster all images, by k-means or another method. Clusters keep their ids and names where they keep their images.

    Images added later get their nearest cluster, or become noise where the method leaves some over. A k-means that was
    killed resumes when the same is asked for.

    Example: vecstore cluster -k 20

    Where nobody knows how many there are: vecstore cluster --method hdbscan
    """
    from vecstore.words.own_words import read_words

    asked = dict(vars(choice))
    use = asked.pop("use")
    if words is not None and not name_by_words:
        raise BadInput("--words has the names that --name-by-words chooses from; give that too, or leave it out")
    with open_store(store, device, quiet) as opened:
        if use is not None:
            if replace(choice, use=None, seed=0) != KMeansChoice() or name_by_words:
                raise BadInput(
                    "--use goes back to a clustering and makes none; leave -k, --tree, --method and the others out"
                )
            _print_use(*opened.use_clustering(use), as_json)
            return
        chooses_k = choice.method in ("kmeans", "agglomerative") and choice.tree is None
        if choice.k is None and not choice.warm_start and chooses_k:
            asked["k"] = "auto"
        chosen = read_words(words) if words is not None else None
        with output.working("clustering", quiet) as on_progress:
            on_cost = None if quiet else _tell_cost
            asked |= {"name_by_words": name_by_words, "words": chosen, "on_cost": on_cost}
            run = opened.cluster(**asked, on_progress=on_progress)
        described = opened.clusters() if name_by_words else []
        n_noise = noise_in(opened, run)
        names = opened.kept_names()
        depth = opened.session.catalog.trees.depth(run.clustering)
    if as_json:
        output.as_object(run, names=[asdict(name) for name in names])
        return
    print_run(run, as_json, n_noise)
    if run.noise is not None:
        listed = f"; `vecstore members {run.noise}` lists this noise" if n_noise else ""
        output.say(f"in no cluster: {n_noise} images{listed}")
    if depth:
        output.say(f"a tree of {depth} levels; `vecstore clusters --level 1` begins at the top")
    _print_names(names)
    suggested = [cluster for cluster in described if cluster.suggested] if name_by_words else []
    if suggested:
        print("suggested: " + ", ".join(f"{cluster.suggested} ({cluster.cluster})" for cluster in suggested))
    elif name_by_words:
        output.say("no name is suggested: no word tells a cluster from the others")


def _print_names(names: "Sequence[KeptName]") -> None:
    for name in names:
        kept = f"{name.name!r} ({name.cluster}) kept {100 * name.kept:.0f} % of its images"
        doubt = f"; doubtful until confirmed: `vecstore name {name.cluster} --confirm`, or name it again"
        print(kept + (doubt if name.doubtful else ""))


def _print_use(run: "Clustering", assigned: int, as_json: bool) -> None:
    if as_json:
        output.as_object(run, assigned=assigned)
    else:
        output.say(f"clustering {run.clustering} of {run.created} is current: {run.k} clusters")
        output.say(f"{assigned} images added since got their clusters")


def noise_in(store: "Store", run: "Clustering") -> int:
    """Return how many images of a clustering that has just been made are in no cluster."""
    sizes = store.session.catalog.clusterings.cluster_sizes(run.clustering, run.noise) if run.noise is not None else []
    return sum(noise.size for noise in sizes)


def print_run(run: "Clustering", as_json: bool, n_noise: int = 0) -> None:
    """Print what a clustering found. n_noise: how many of its images are in no cluster."""
    if as_json:
        output.as_object(run)
        return
    if run.k_reason:
        print(f"k is {run.k}: {run.k_reason}" if run.restarts else run.k_reason)
    how = f"best of {run.restarts} runs on {run.device}" if run.restarts else "without k-means"
    how = f"by {run.method}" if run.trained_on and not run.restarts else how
    images = f"{run.rows} images" if not n_noise else f"{run.rows - n_noise} of {run.rows} images"
    output.say(
        f"clustering {run.clustering}: {images} in {_counted(run)}, objective {run.objective:.4f}, "
        f"{how} in {run.seconds:.1f} s"
    )
    if run.previous is not None:
        output.say(
            f"kept {run.kept}, split {run.split}, merged {run.merged}, born {run.born}, gone {run.gone}; "
            f"{run.moved} images moved"
        )


def _tell_cost(cost: "ClusteringCost") -> None:
    """Say what a method takes, before it takes it."""
    few = f" by {cost.worked_on:,} representatives" if cost.worked_on < cost.images else ""
    took = f"{cost.seconds / 60:.0f} min" if cost.seconds > 120 else f"{cost.seconds:.0f} s"
    mib = f"{cost.bytes / 2**20:,.0f} MiB"
    output.notice(f"{cost.method} of {cost.images:,} images{few}: about {took} and {mib} of memory")


def _counted(run: "Clustering") -> str:
    if not run.empty:
        return f"{run.k} clusters"
    return f"{run.k - run.empty} clusters, {run.empty} more of the {run.k} are empty (fewer different vectors than k)"


@command()
def clusterings(store: StoreDir, device: DeviceName = "auto", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the clusterings that were made, and what became of the clusters; [bold]cluster --use[/] goes back to one.

    Example: vecstore clusterings
    """
    with open_store(store, device, quiet) as opened:
        found = opened.clusterings()
    columns = ("clustering", "current", "created", "k", "rows", "objective")
    changes = ("previous", "kept", "split", "merged", "born", "gone", "moved", "empty", "method")
    output.rows(found, (*columns, *changes), as_json, empty="no clusters yet; make some with `vecstore cluster -k N`")


@command()
def name(
    store: StoreDir,
    cluster: Annotated[str | None, typer.Argument(help="The cluster's id, or its name.", metavar="CLUSTER")] = None,
    name: Annotated[str | None, typer.Argument(help='What to call it; "" takes the name away.', metavar="NAME")] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Suggest names by the images' words, and print them.")
    ] = False,
    words: Annotated[
        Path | None,
        typer.Option("--words", help="With --suggest: names to choose from, one a line.", metavar="FILE"),
    ] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="The name is true of the images there are now.")] = False,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Name a cluster. It keeps the name as long as it keeps its id, also through new clusterings.

    Example: vecstore name 3 "beach holidays"
    """
    if suggest and cluster is not None:
        raise BadInput("--suggest is for all clusters; leave CLUSTER and NAME out")
    if words is not None and not suggest:
        raise BadInput("--words has the names that --suggest chooses from; give --suggest too, or leave it out")
    if confirm and (suggest or cluster is None or name is not None):
        raise BadInput("--confirm says that a cluster's name is true; give CLUSTER alone with it")
    if not suggest and not confirm and (cluster is None or name is None):
        raise typer.BadParameter(
            'give CLUSTER and NAME (see `vecstore clusters`; "" takes the name away), CLUSTER --confirm, or --suggest'
        )
    with open_store(store, device, quiet) as opened:
        if confirm and cluster is not None:
            _print_named(opened.confirm_name(cluster), as_json)
            return
        if suggest or cluster is None or name is None:
            from vecstore.words.own_words import read_words

            chosen = read_words(words) if words is not None else None
            output.rows(opened.suggest_names(chosen), SUGGESTED_COLUMNS, as_json, empty=NO_CLUSTERS)
            return
        found = opened.name_cluster(cluster, name)
    _print_named(found, as_json)


def _print_named(found: "Cluster | TreeNode", as_json: bool) -> None:
    output.rows([found], TREE_COLUMNS if hasattr(found, "level") else CLUSTER_COLUMNS, as_json, empty="")


@command()
def clusters(
    store: StoreDir,
    level: Annotated[
        int | None, typer.Option("--level", help="Of a tree, the nodes of this level, 1 being the top.", min=1)
    ] = None,
    below: Annotated[
        str | None, typer.Option("--below", help="Of a tree, what is below this node.", metavar="CLUSTER")
    ] = None,
    depth: Annotated[
        int | None, typer.Option("--depth", help="Of a tree, so many levels from the top, or --below.", min=1)
    ] = None,
    above: Annotated[
        str | None, typer.Option("--above", help="Of a tree, the way from the top to this one.", metavar="CLUSTER")
    ] = None,
    cut: Annotated[
        int | None, typer.Option("--cut", help="Of a tree, cut it into so many clusters.", metavar="K", min=1)
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the clusters, largest first. Cohesion is the members' mean cosine similarity to their centroid.

    Separation is the distance to the nearest other centroid; drift says how much farther the images added since lie.

    Example: vecstore clusters

    Down a tree that [bold]cluster --tree[/] made: vecstore clusters --level 1, then vecstore clusters --below 3
    """
    if level is not None and depth is not None:
        raise BadInput("--level is one level and --depth several; give one of them")
    if (above is not None) + (cut is not None) + any(given is not None for given in (level, below, depth)) > 1:
        raise BadInput("give --above, --cut, or --level, --below and --depth, each alone")
    walks = any(given is not None for given in (level, below, depth, above))
    with open_store(store, device, quiet) as opened:
        if cut is not None:
            parts = opened.cut_tree(cut)
            output.rows(parts, _with_names(CUT_COLUMNS, parts), as_json, empty=NO_CLUSTERS)
            return
        if walks:
            nodes = opened.tree_path(above) if above is not None else opened.tree(level, below=below, depth=depth or 1)
            own = f"; `vecstore members {shlex.quote(below)}` lists its own" if below is not None else ""
            output.rows(nodes, _with_names(TREE_COLUMNS, nodes), as_json, empty=f"nothing below it has images{own}")
            return
        found, advised = opened.clusters(), opened.recluster_advised()
        n_clusters = sum(not cluster.noise for cluster in found)
        n_empty = (opened.session.catalog.clusterings.cluster_count() or 0) - n_clusters
    output.rows(found, _with_names(CLUSTER_COLUMNS, found), as_json, empty=NO_CLUSTERS)
    for cluster in found:
        if cluster.noise and cluster.name != NOISE and not quiet:
            output.notice(f"cluster {cluster.cluster} is the noise: what is in no cluster")
    if found and n_empty > 0 and not quiet:
        output.notice(f"not listed: {n_empty} of the {n_clusters + n_empty} clusters, which have no images")
    if advised and not quiet:
        output.notice(RECLUSTER)


def _with_names(columns: Sequence[str], found: "Sequence[Cluster | TreeNode | Cut]") -> tuple[str, ...]:
    """Return the columns, with suggested names if there are any, and what names kept of their images if one is
    doubtful."""
    at = columns.index("name") + 1
    suggested = ("suggested",) if any(one.suggested for one in found) else ()
    kept = ("kept", "doubtful") if any(one.doubtful for one in found) else ()
    return (*columns[:at], *suggested, *kept, *columns[at:])


@command()
def explain(
    store: StoreDir,
    cluster: Annotated[str, typer.Argument(help="The cluster's id, or its name.", metavar="CLUSTER")],
    k: Annotated[int, typer.Option("-k", help="Images at the boundary to each neighbour.", min=0)] = 5,
    samples: Annotated[int, typer.Option("--samples", help="How often it is trained again.", min=0)] = 10,
    seed: Seed = 0,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say what separates a cluster from its nearest neighbours, how firm it is, and which images may leave it.

    Example: vecstore explain 3
    """
    with open_store(store, device, quiet) as opened:
        found = opened.explain(cluster, images=k, samples=samples, seed=seed)
    if as_json:
        output.as_object(found)
        return
    called = f"cluster {found.cluster}" + (f" ({found.name})" if found.name else "")
    output.say(f"{called}: {found.size} images")
    if not found.neighbours:
        print("it has no neighbour: no other cluster has images")
        return
    for rival in found.neighbours:
        print(f"beside cluster {rival.cluster}{f' ({rival.name})' if rival.name else ''}, {rival.distance:.3f} away")
        if rival.words or rival.their_words:
            print(f"  words: {', '.join(rival.words) or '-'}; there: {', '.join(rival.their_words) or '-'}")
        for image in rival.boundary:
            print(f"  @{image.id}\t{image.margin:+.4f}\t{shown(os.fsencode(image.path))}")
    if found.stability is None:
        return
    output.say(
        f"found again in {found.samples} samples of these clusters: {found.stability:.3f} of 1; "
        f"{len(found.leaving)} images left it in some"
    )
    for leaver in found.leaving[:k]:
        print(f"  @{leaver.id}\t{100 * leaver.share:.0f} % to {leaver.to}\t{shown(os.fsencode(leaver.path))}")


@command()
@with_groups
def members(
    store: StoreDir,
    conditions: Conditions,
    cluster: Annotated[
        str | None,
        typer.Argument(help="The cluster's id or name; only folders may be made of all.", metavar="CLUSTER"),
    ] = None,
    k: CountOrAll = None,
    farthest: Annotated[bool, typer.Option("--farthest", help="The odd ones first, not the typical ones.")] = False,
    sort: Sort = None,
    into: Into = None,
    copy_to: Annotated[
        Path | None, typer.Option("--copy-to", help="Copy them into a folder of this one.", metavar="DIR")
    ] = None,
    link_to: Annotated[
        Path | None, typer.Option("--link-to", help="Link to them from a folder in this one.", metavar="DIR")
    ] = None,
    move_to: Annotated[
        Path | None, typer.Option("--move-to", help="Move those of CLUSTER there; the store follows.", metavar="DIR")
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List a cluster's images, most typical first; or make a folder of them, or of every cluster's.

    Example: vecstore members 3 -k 20
    """
    files = curation.IntoFolder(copy_to, link_to, move_to)
    target = None if files.chosen is None or move_to is not None else files.chosen[1]
    asked = as_filter(conditions)
    if target is not None and (into is not None or sort is not None or asked != type(asked)()):
        raise BadInput(
            "folders are made of whole clusters; leave conditions, --sort and --into out, or put the images --into a "
            "selection and make the folder with `vecstore select NAME --export DIR`"
        )
    with open_store(store, device, quiet) as opened:
        if target is not None:
            made = opened.make_folders(target, cluster, link=link_to is not None, k=k, farthest=farthest)
            if as_json:
                output.as_object(made)
            else:
                verb = "linked to" if link_to is not None else "copied"
                output.say(
                    f"{verb} {made.files} pictures in {made.folders} folders of {shown(os.fsencode(made.folder))}"
                )
            if made.missing and not quiet:
                output.notice(f"left out {len(made.missing)} pictures, gone or changed; sync the store")
            return
        if cluster is None:
            raise BadInput(
                "name a cluster to list (see `vecstore clusters`), or --copy-to or --link-to for all of them"
            )
        found = opened.members(cluster, k, farthest=farthest, conditions=asked, sort=sort)
        if curation.put_into_folder(opened, (member.id for member in found), files, as_json, quiet):
            return
        output.put_into(opened, into, (member.id for member in found), quiet)
    empty = f"cluster {cluster} has no images left" if asked == type(asked)() else "no image fits these conditions"
    output.rows(found, ("id", "distance", "path"), as_json, empty)


@command()
def evaluate(
    store: StoreDir,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="A CSV of path,label.", metavar="CSV", show_default="the folders' names"),
    ] = None,
    neighbours: Annotated[
        int, typer.Option("--neighbours", help="How many nearest ones to judge of each image.", min=1)
    ] = 10,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="List the images in a cluster that stands for another label.")
    ] = False,
    words: WordsFile = None,
    prompt: Prompts = None,
    weights: WeightsFile = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare the clusters, and the nearest neighbours, with labels: the folders' names, or those of a table.

    Each cluster stands for one label at the most. With --words, the most probable word of each image is compared with
    its label instead.

    Example: vecstore evaluate --wrong

    Words of your own: vecstore evaluate --words labels.txt --prompt "a photo of a {}"
    """
    if prompt and words is None:
        raise BadInput("a prompt is a template for words; give --words FILE, or leave --prompt out")
    with open_store(store, device, quiet, weights=weights) as opened:
        if words is not None:
            from vecstore.words.own_words import read_words

            judged = opened.evaluate_words(read_words(words), prompts=prompt or (), labels=labels)
            _print_words(judged, wrong, as_json, quiet)
            return
        found = opened.evaluate(labels=labels, neighbours=neighbours)
    if wrong:
        columns = ("id", "label", "cluster", "stands_for", "path")
        output.rows(found.wrong, columns, as_json, empty="every image is in the cluster of its label")
        return
    if as_json:
        output.as_object(found)
        return
    output.rows(found.classes, ("label", "images", "cluster", "recall", "precision"), False, empty="")
    precision = "-" if found.precision is None else f"{found.precision:.4f}"
    summary = (
        f"{found.images} images in {found.k} clusters: accuracy {found.accuracy:.4f}, ARI {found.ari:.4f}, "
        f"NMI {found.nmi:.4f}; precision@{found.neighbours} {precision}",
        f"in the cluster of another label: {len(found.wrong)} images; --wrong lists them",
    )
    _print_summary(summary, quiet)


def _print_words(found: "WordEvaluation", wrong: bool, as_json: bool, quiet: bool) -> None:
    if wrong:
        output.rows(found.confusions, ("images", "label", "word"), as_json, empty="every image has its label's word")
        return
    if as_json:
        output.as_object(found)
        return
    output.rows(found.labels, ("label", "word", "images", "recall", "precision"), False, empty="")
    left_out = f"; {found.left_out} more have a label that is none of the words" if found.left_out else ""
    n_wrong = sum(one.images for one in found.confusions)
    _print_summary(
        (
            f"{found.images} images: accuracy {found.accuracy:.4f}{left_out}",
            f"with another word: {n_wrong} images; --wrong lists which",
        ),
        quiet,
    )


def _print_summary(lines: Sequence[str], quiet: bool) -> None:
    """Print lines after a table: in a pipe on stderr, so that it gets one table, of one shape."""
    for line in lines:
        if sys.stdout.isatty():
            output.say(line)
        elif not quiet:
            output.notice(line)
