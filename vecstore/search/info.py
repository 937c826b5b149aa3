"""What a store is: sizes, embedder, index, clusters and drift."""

from vecstore.clustering import clusters, lifecycle
from vecstore.embedders.network import runtime_of
from vecstore.results import Info
from vecstore.search.query_time import median_query_ms
from vecstore.session import Session
from vecstore.sources.paths import bytes_on_disk, is_gone

# So many paths are looked at to say whether many are gone: a few milliseconds on a disk of this machine.
PATHS_SAMPLED = 200


def info(session: Session) -> Info:
    """Return what the store is."""
    catalog, spec = session.catalog, session.spec
    with catalog.reading():
        index = session.engine.searcher(session.vectors())
        drift = clusters.drift(session)
        sampled = catalog.paths.sample(PATHS_SAMPLED)
        return Info(
            store=str(session.path),
            engine=session.engine.name,
            images=catalog.images.count(),
            paths=catalog.paths.count(),
            failures=catalog.failures.count(),
            dim=spec.dim,
            embedder=spec.name,
            weights=", ".join(spec.weights.values()) or None,
            precision=", ".join(sorted(set(spec.precisions.values()))) or None,
            runtime=runtime_of(spec, session.options.device),
            index=index.kind,
            recall=index.recall,
            index_bytes=index.bytes,
            query_ms=median_query_ms(index, session.vectors(), catalog),
            clusters=catalog.clusterings.cluster_count(),
            drift=drift,
            recluster=lifecycle.is_past_bound(drift),
            bytes=bytes_on_disk(session.path),
            created=catalog.created(),
            paths_sampled=len(sampled),
            paths_missing=sum(map(is_gone, sampled)),
        )
