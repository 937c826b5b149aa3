"""The clusters of an open store: made, gone back to, named, read, and asked which one an image belongs to.

`lifecycle.py` is the life of one clustering; here are the questions and orders that a person has.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from vecstore.clustering import by_method, costs, lifecycle, methods, tree_training
from vecstore.clustering.elbow import greatest_k, sweep
from vecstore.clustering.methods import Method
from vecstore.clustering.row_blocks import Blocks, LocalBlocks
from vecstore.clustering.sklearn_attributes import FittedClustering
from vecstore.errors import BadInput, NotFound
from vecstore.image_ref import ImageRef, NewPicture, identify_all, is_path, path_of, vector_of
from vecstore.results import Cluster, Clustering, ClusteringCost, Elbow, Member, Membership
from vecstore.session import Session
from vecstore.storage.catalog.conditions import Condition
from vecstore.storage.layout import CATALOG, VECTORS
from vecstore.storage.vector_file import Float16
from vecstore.words.own_words import scorer
from vecstore.words.stored_head import stored_head
from vecstore.words.suggestions import OwnWords, suggestions

if TYPE_CHECKING:
    from indexes.kmeans import KMeansOptions


@dataclass(frozen=True)
class Among:
    """Which images clusters are looked for in. text: the condition as it was asked."""

    text: str
    condition: Condition


@dataclass(frozen=True)
class ClusterOrder:
    """What to cluster into what; the fields are the parameters of `Store.cluster`, and `among` is its `where`."""

    k: int | Literal["auto"] | None
    options: "KMeansOptions"
    warm_start: bool = False
    within: int | str | None = None
    full_iterations: int = 0
    ray: str | None = None
    segments: str | None = None
    among: Among | None = None
    name_by_words: bool = False
    words: tuple[str, ...] | None = None
    tree: tuple[int, ...] | Literal["auto"] | None = None
    method: Method = field(default_factory=Method)

    def require_sound(self) -> None:
        """Raise BadInput for what contradicts itself."""
        iterations, restarts = self.options.iterations, self.options.restarts
        if iterations >= 2**31 or (restarts or 1) >= 2**31:
            raise BadInput("iterations and restarts must be less than 2147483648")
        if self.segments is not None and self.ray is None:
            raise BadInput("segments are for a Ray cluster; name one with --ray, or leave them out")
        if self.warm_start and (restarts or 1) > 1:
            raise BadInput("a warm start makes one run, from the current centroids; leave restarts out")
        if self.warm_start and self.within is not None:
            raise BadInput("a cluster is split from new centroids; leave the warm start or `within` out")
        if self.words is not None and not self.name_by_words:
            raise BadInput(
                "words are the names that clusters get by them; ask for name_by_words too, or leave them out"
            )
        if self.among is not None and self.within is not None:
            raise BadInput("the images of one cluster are split as a whole; leave the condition or `within` out")
        if self.tree is not None and (self.k is not None or self.warm_start or self.within is not None):
            raise BadInput("a tree has its numbers of clusters in its levels; leave k, the warm start and `within` out")
        if not self.method.is_plain:
            if self.tree is not None:
                raise BadInput("a tree is made by k-means on vectors as they are; leave the method and its options out")
            self._require_fitting()

    def _require_fitting(self) -> None:
        """Raise BadInput for what only plain k-means can do."""
        method = self.method
        method.require_sound(self.k)
        given = {
            "the warm start": self.warm_start,
            "within": self.within is not None,
            "full iterations": self.full_iterations > 0,
            "ray": self.ray is not None,
        }
        plain = replace(self.options, seed=0) == type(self.options)()
        if method.name != methods.KMEANS:
            given |= {"iterations, restarts, spherical and init": not plain}
        for what, is_given in given.items():
            if is_given:
                how = "k-means" if method.name != methods.KMEANS else "k-means on vectors as they are"
                raise BadInput(f"{what}: for {how} alone; leave it out, or the method's own options")
        if self.k is None and "k" in methods.TAKES[method.name]:
            raise BadInput("the number of clusters is missing; give -k N or -k auto")

    def __str__(self) -> str:
        how = "a warm start" if self.k is None else f"-k {self.k}"
        if self.tree is not None:
            how = f"--tree {self.tree if isinstance(self.tree, str) else ','.join(map(str, self.tree))}"
        if self.method.name != methods.KMEANS:
            how = f"--method {self.method.name}" + (f" -k {self.k}" if self.k is not None else "")
        if self.among is not None:
            how = f"{how} where {self.among.text}"
        return how if self.within is None else f"{how} within cluster {self.within}"


def cluster(
    session: Session,
    order: ClusterOrder,
    on_progress: lifecycle.OnClusterProgress | None,
    kind: str = "cluster",
    on_cost: Callable[[ClusteringCost], None] | None = None,
) -> FittedClustering:
    """Run k-means and make the result the current clustering; see `Store.cluster`. kind: of the operation."""
    order.require_sound()
    if order.name_by_words:
        _own_words(session, order.words)  # an embedder without words is refused before the work, not after it
    with session.writing(kind, str(order)):
        vectors, k, reason = session.vectors(), order.k, None
        among = order.among.condition if order.among is not None else None
        if not order.method.is_plain:  # refused before a k is looked for
            n_rows = len(lifecycle.searchable_rows(session.catalog, None, among))
            methods.require_enough(order.method, n_rows, session.spec.dim, lifecycle.holder_of(None, among))
        if k == "auto":
            chosen = elbow(session, order.options.seed, None, order.within, among)
            k, reason = chosen.k, chosen.reason
            n_pinned = lifecycle.pinned_clusters(session.catalog) if order.within is None else 0
            if n_pinned > k:
                k, reason = n_pinned, f"images are pinned to so many clusters, and else it were {k} ({reason})"
        within = _cluster_within(session, order.within)
        request = lifecycle.Request(
            k, order.options, order.warm_start, within, order.full_iterations, reason, among, order.method
        )
        if order.tree is not None:
            if not order.tree:
                raise BadInput("a tree needs levels; give growing numbers from 2 on, such as 20,400")
            request = replace(request, levels=order.tree)
            if on_cost:
                on_cost(_expected(session, order))
        if order.method.is_plain:
            with _blocks(session, vectors, order.ray, order.segments) as blocks:
                run = lifecycle.run(
                    session.catalog, vectors, request, session.device, session.path, on_progress, blocks
                )
        else:
            run = by_method.run(session.catalog, vectors, request, session.device, on_cost, on_progress)
    return _finished(session, order, run)


def cost(session: Session, order: ClusterOrder) -> ClusteringCost:
    """Return about what a clustering would take; see `Store.cluster_cost`."""
    order.require_sound()
    with session.catalog.reading():
        return _expected(session, order)


def _expected(session: Session, order: ClusterOrder) -> ClusteringCost:
    catalog, dim = session.catalog, session.spec.dim
    among = order.among.condition if order.among else None
    n_rows, holder = len(lifecycle.searchable_rows(catalog, None, among)), lifecycle.holder_of(None, among)
    if order.tree is not None:
        levels = tree_training.require_levels(order.tree, n_rows, holder)
        return costs.of_tree(levels, n_rows, dim, order.options)
    k = order.k if isinstance(order.k, int) else None
    if k is not None:
        lifecycle.require_k(k, n_rows, holder)
    if not order.method.is_plain:
        methods.require_enough(order.method, n_rows, dim, holder)
        expected = costs.of_method(order.method, n_rows, dim, k or greatest_k(n_rows), order.options)
        costs.require_memory(expected, order.method)
        return expected
    return costs.of_kmeans(k or greatest_k(n_rows), n_rows, dim, order.options)


def _finished(session: Session, order: ClusterOrder, run: Clustering) -> FittedClustering:
    if order.name_by_words:
        suggest_names(session, order.words)
    return FittedClustering.of(run, session.path / CATALOG)


def use(session: Session, number: int) -> tuple[FittedClustering, int]:
    """Go back to an earlier clustering; see `Store.use_clustering`."""
    with session.writing("cluster", f"--use {number}"):
        run, assigned = lifecycle.use(session.catalog, session.vectors(), number, session.device)
    return FittedClustering.of(run, session.path / CATALOG), assigned


def elbow(
    session: Session, seed: int, max_k: int | None, within: int | str | None, among: Condition | None = None
) -> Elbow:
    """Return loss and silhouette against k; see `Store.elbow`."""
    with session.catalog.reading():
        rows = lifecycle.searchable_rows(session.catalog, within, among)
        return sweep(session.vectors(), rows, seed=seed, device=session.device, max_k=max_k)


def current_clusters(session: Session) -> lifecycle.CurrentClusters:
    """Return the current clustering. Raises NotFound before the first."""
    current = lifecycle.current(session.catalog, session.spec.dim, session.device)
    if current is None:
        raise NotFound(f"the store {session.path} has no clusters yet; make some with `vecstore cluster -k N`")
    return current


def clusters(session: Session) -> list[Cluster]:
    """Return the clusters of the current clustering, largest first."""
    with session.catalog.reading():
        return lifecycle.describe(session.catalog, current_clusters(session))


def name_cluster(session: Session, cluster: int | str, name: str) -> Cluster | int:
    """Name a cluster and return it, or the id of a node above clusters; see `Store.name_cluster`."""
    with session.writing("name", f"cluster {cluster}"):
        current = current_clusters(session)
        number = session.catalog.clusterings.require_node(current.clustering, cluster)
        lifecycle.give_name(session.catalog, current.clustering, number, name)
        with session.catalog.reading():
            return lifecycle.describe_one(session.catalog, current, number) if number in current.ids else number


def confirm_name(session: Session, cluster: int | str) -> Cluster | int:
    """Say that a name is still true; see `Store.confirm_name`."""
    with session.catalog.reading():
        current = current_clusters(session)
        number = session.catalog.clusterings.require_node(current.clustering, cluster)
        names = {named: name for named, name, _ in session.catalog.clusterings.named(current.clustering)}
    if number not in names:
        raise BadInput(f"cluster {number} has no name to confirm; give it one with `vecstore name {number} NAME`")
    return name_cluster(session, number, names[number])


def suggest_names(session: Session, words: Sequence[str] | None = None) -> list[Cluster]:
    """Record and return the names that the images' words suggest; see `Store.suggest_names`."""
    own = _own_words(session, words)
    with session.writing(), session.catalog.writing():
        current = current_clusters(session)
        *above, _ = tree_training.levels_of(session.catalog, current.clustering, current.ids)
        found = suggestions(session, current.clustering, above, own)
        session.catalog.clusterings.suggest_names(current.clustering, found)
    return clusters(session)


def _own_words(session: Session, words: Sequence[str] | None) -> OwnWords | None:
    """Return what says how probable names of one's own are; None for the embedder's. Raises BadInput if it has none."""
    if words is not None:
        return OwnWords(words, scorer(session, words, ()))
    stored_head(session)
    return None


def members(
    session: Session,
    cluster: int | str,
    k: int | None,
    farthest: bool,
    start: int = 0,
) -> list[Member]:
    """Return the images of a cluster, or of a node above clusters, most typical first; see `Store.members`."""
    catalog = session.catalog
    with catalog.reading():
        current = current_clusters(session).clustering
        number = catalog.clusterings.require_node(current, cluster)
        n_rows = catalog.images.row_count()
        most = -1 if k is None else min(k, n_rows)
        held = catalog.trees.clusters_below(current, number)
        found = catalog.memberships.members(current, *held, limit=most, farthest=farthest, start=min(start, n_rows))
        return _as_members(found)


def outliers(session: Session, k: int) -> list[Member]:
    """Return the k images that are farthest from their centroid, these first."""
    catalog = session.catalog
    with catalog.reading():
        current = current_clusters(session).clustering
        most = min(k, catalog.images.row_count())
        return _as_members(catalog.memberships.farthest(current, most))


def which(session: Session, refs: Sequence[ImageRef]) -> list[Membership]:
    """Return the cluster of each image; one that is not in the store is embedded and assigned, not added."""
    current_clusters(session)  # or nothing needs to be embedded
    # Before the transaction: a new picture is embedded here, and its network may have to be downloaded first.
    found = identify_all(session, refs)
    with session.catalog.reading():
        current = current_clusters(session)
        return [_membership(session, current, ref, image) for ref, image in zip(refs, found, strict=True)]


def _cluster_within(session: Session, within: int | str | None) -> int | None:
    """Return the id of the cluster that is to be split, if one is."""
    if within is None:
        return None
    clustering = session.catalog.clusterings.current()
    if clustering is None:
        raise NotFound("there are no clusters yet to split one of; make some with `vecstore cluster -k N`")
    return session.catalog.clusterings.require_cluster(clustering, within)


def drift(session: Session) -> float | None:
    """Return how much farther new images lie from their centroids than those that were clustered; None without."""
    current = session.catalog.clusterings.current()
    if current is None:
        return None
    return lifecycle.drift(*session.catalog.memberships.mean_distances(current))


def _membership(
    session: Session, current: lifecycle.CurrentClusters, ref: ImageRef, image: int | NewPicture
) -> Membership:
    if isinstance(image, NewPicture):
        cluster, distance = current.assign(image.vector[None])[0]
        return Membership(path_of(ref), None, cluster, distance)
    assigned = session.catalog.memberships.cluster_of(image) or current.assign(vector_of(session, image)[None])[0]
    path = path_of(ref) if is_path(ref) else os.fsdecode(session.catalog.paths.first_of(image) or b"")
    return Membership(path, image, *assigned)


def _as_members(found: Sequence[tuple[int, bytes, float]]) -> list[Member]:
    return [Member(row, os.fsdecode(path), distance) for row, path, distance in found]


@contextmanager
def _blocks(session: Session, vectors: Float16, ray: str | None, segments: str | None) -> Iterator[Blocks]:
    """Yield who goes through all rows: this machine, or a Ray cluster."""
    if ray is None:
        yield LocalBlocks(vectors, session.device)
        return
    from vecstore.engines.ray_blocks import RayBlocks
    from vecstore.engines.ray_cluster import connected
    from vecstore.engines.segments import RowFile, RowSource, Segments

    source: RowSource = RowFile(session.path / VECTORS, session.spec.dim)
    if segments is not None:
        made_by = f"{session.catalog.created()} {session.catalog.embedder()}"
        source = Segments(segments, session.spec.dim, made_by)
        source.publish(vectors)
    with connected(ray, session.options.device) as cluster:
        yield RayBlocks(cluster, source, session.options.device)
