"""A store of another embedder from the pictures of a store, with the names of its clusters.

The pictures are the files that the store knows; no folder is scanned, so what was left out stays out. What the new
store has already is not embedded again, so the same call resumes after an interruption. The source is read only.
"""

import logging
import time
from collections import Counter
from dataclasses import fields

from indexes.kmeans import KMeansOptions
from vecstore.clustering import lifecycle
from vecstore.clustering.clusters import ClusterOrder, cluster
from vecstore.clustering.methods import TAKES, Method
from vecstore.clustering.tree_training import levels_of
from vecstore.embedders.embedder import EmbedderOptions
from vecstore.engines.address import place_of
from vecstore.errors import BadInput, NotFound
from vecstore.ingest import sync
from vecstore.ingest.sync import OnProgress, Selection
from vecstore.results import EmbedReport
from vecstore.session import Session
from vecstore.sources.paths import AnyPath
from vecstore.sources.scan import ALL_FILES
from vecstore.storage.catalog.catalog import Catalog

log = logging.getLogger(__name__)


def embed(
    session: Session, destination: AnyPath, embedder: str, options: EmbedderOptions, on_progress: OnProgress | None
) -> EmbedReport:
    """Make a store of another embedder from a store's pictures; see `Store.embed_into`."""
    started = time.monotonic()
    if place_of(destination)[0] == session.path:
        raise BadInput(f"{session.path} is the store itself; name another destination")
    with Session.open(destination, embedder, options, create=True, wait=None) as new:
        if new.embedder.spec == session.spec:
            raise BadInput(
                f"the store {session.path} is made with {session.spec.name} already; name another --embedder, or copy "
                "the store with `vecstore migrate`"
            )
        listed = [path for _, path in session.catalog.paths.all()]
        if not listed:
            raise NotFound(f"the store {session.path} has no images; add some first")
        added = sync.add(new, Selection.of([], listed, ALL_FILES), on_progress=on_progress)
        with new.writing(), new.catalog.writing():
            new.catalog.decisions.put_missing(session.catalog.decisions.all())
        n_clusters, kept, lost = _cluster_alike(session.catalog, new)
        _select_alike(session.catalog, new)
        return EmbedReport(
            str(new.path),
            new.spec.name,
            added.added,
            added.known,
            added.updated,
            added.failed,
            n_clusters,
            kept,
            lost,
            time.monotonic() - started,
        )


def _cluster_alike(source: Catalog, new: Session) -> tuple[int, int, int]:
    """Cluster the new store into as many clusters as the source has, and name those that have the same images.

    A new store that has clusters keeps them. Returns how many there are, and how many names of the source's were kept
    and were not.
    """
    number = source.clusterings.current()
    if number is None:
        return 0, 0, 0
    if new.catalog.clusterings.current() is None:
        noise, _ = source.clusterings.noise_of(number)
        k = min(len({*source.clusterings.with_images(number)} - {noise}), new.catalog.images.found_count())
        if not k:
            return 0, 0, 0
        try:
            cluster(new, _order_alike(source, number, k, new.catalog.images.found_count()), None)
        except (
            BadInput
        ) as error:  # the pictures are embedded; what finds no cluster among them is said, not thrown away
            log.warning("the store %s has no clusters: %s", new.path, error)
            return 0, 0, len(source.clusterings.named(number))
    own = new.catalog.clusterings.current()
    if own is None:
        raise NotFound(f"the clusters of {new.path} were removed by another process meanwhile; run the same again")
    names = {found: name for found, name, _ in source.clusterings.named(number)}
    named = {found: name for found, name, _ in new.catalog.clusterings.named(own)}
    same = _same_clusters(source, number, new.catalog, own)
    wanted = {same[found]: name for found, name in names.items() if found in same and name not in named.values()}
    doubtful = {same[found]: kept for found, _, kept in source.clusterings.kept(number) if found in same}
    for found in wanted.keys() - named.keys():
        with new.writing("name", f"cluster {found}"), new.catalog.writing():
            lifecycle.give_name(new.catalog, own, found, wanted[found])
            new.catalog.clusterings.carry_kept(own, {found: doubtful[found]} if found in doubtful else {})
    _pin_alike(source, number, new, own, same)
    present = {name for _, name, _ in new.catalog.clusterings.named(own)}
    kept = len(set(names.values()) & present)
    return len(new.catalog.clusterings.with_images(own)), kept, len(names) - kept


def _order_alike(source: Catalog, number: int, k: int, n_images: int) -> ClusterOrder:
    """Return what makes as many clusters as a clustering has, in as many levels, by the same method and options."""
    asked = source.clusterings.options(number)
    options = KMeansOptions(**{field.name: asked[field.name] for field in fields(KMeansOptions) if field.name in asked})
    sizes = Counter(node.level for node in source.trees.shape(number))
    levels = [n for _, n in sorted(sizes.items()) if 2 <= n <= n_images]
    if levels:
        return ClusterOrder(None, options, tree=tuple(sorted({*levels})))
    method = Method.of(asked)
    return ClusterOrder(k if "k" in TAKES[method.name] else None, options, method=method)


def _pin_alike(source: Catalog, number: int, new: Session, own: int, same: dict[int, int]) -> None:
    """Pin the images of the new store that are pinned in the source to a cluster that both have."""
    held = {row for row, _ in new.catalog.memberships.pinned(own)}
    wanted = {}
    for row, its_cluster in source.memberships.pinned(number):
        there = _row_in(new.catalog, source, row)
        if (
            there is not None
            and there not in held
            and its_cluster in same
            and new.catalog.memberships.cluster_of(there)
        ):
            wanted[there] = same[its_cluster]
    if not wanted:
        return
    with new.writing("pin", f"{len(wanted)} images"), new.catalog.writing():
        current = lifecycle.clusters_of(new.catalog, own, new.spec.dim, new.device)
        apart = lifecycle.distances_of(current, new.vectors(), wanted, wanted)
        new.catalog.memberships.change(own, ((row, wanted[row], distance, True) for row, distance in apart))


def _select_alike(source: Catalog, new: Session) -> None:
    """Put the images of the new store into the selections that the source has them in."""
    found = {name: source.selections.rows(source.selections.require(name)) for name in source.selections.names()}
    if not found:
        return
    with new.writing("select", ", ".join(found)), new.catalog.writing():
        for name, rows in found.items():
            own = {there for row in rows if (there := _row_in(new.catalog, source, row)) is not None}
            new.catalog.selections.add(new.catalog.selections.create(name), own)


def _row_in(new: Catalog, source: Catalog, row: int) -> int | None:
    """Return the row that an image of the source has in the new store, by its content."""
    sha256 = source.images.sha256_of(row)
    return None if sha256 is None else new.images.row_of(sha256)


def _same_clusters(source: Catalog, number: int, new: Catalog, own: int) -> dict[int, int]:
    """Return which cluster of the new store is which of the source's: each holds most of the other's images.

    So of the nodes of trees, level by level from the clusters up.
    """
    clusters_of_new = {row: found for row, found, _ in new.memberships.all(own)}
    pairs: Counter[tuple[int, int]] = Counter()
    for row, before, _ in source.memberships.all(number):
        there = _row_in(new, source, row)
        if there is not None and there in clusters_of_new:
            pairs[before, clusters_of_new[there]] += 1
    befores, afters = (
        levels_of(catalog, clustering, {pair[side] for pair in pairs})
        for side, (catalog, clustering) in enumerate(((source, number), (new, own)))
    )
    same: dict[int, int] = {}
    for node_before, node_after in zip(reversed(befores), reversed(afters), strict=False):
        shared, of_source, of_new = Counter[tuple[int, int]](), Counter[int](), Counter[int]()
        for (before, after), n in pairs.items():
            shared[node_before[before], node_after[after]] += n
            of_source[node_before[before]] += n
            of_new[node_after[after]] += n
        same |= {b: a for (b, a), n in shared.items() if 2 * n > of_source[b] and 2 * n > of_new[a]}
    return same
