"""Names that stop being true: what part of the images that a cluster was named for each clustering leaves to it.

A name goes on with its cluster's id, of which half of one lies in the other; so it may become that of a small part.
"""

from vecstore.results import KeptName
from vecstore.storage.catalog.catalog import Catalog

# Below this part of its images, a name is doubtful until it is confirmed.
LEAST_KEPT = 0.5


def is_doubtful(kept: float | None) -> bool:
    return kept is not None and kept < LEAST_KEPT


def keep_names(catalog: Catalog, clustering: int, previous: int | None) -> None:
    """Record what a clustering that has just been made leaves of each name. Inside a write transaction.

    It is compared with the clustering in which the name was given, or with the previous one if that is not known, or
    its labels were forgotten.
    """
    kept = {}
    noise, _ = catalog.clusterings.noise_of(clustering)  # what its name says is always true
    for cluster, _, named_in in catalog.clusterings.named(clustering):
        if cluster == noise:
            continue
        for basis in (named_in, previous):
            named_for = catalog.trees.rows_below(basis, cluster) if basis is not None else set()
            if named_for:
                kept[cluster] = len(named_for & catalog.trees.rows_below(clustering, cluster)) / len(named_for)
                break
    catalog.clusterings.record_kept(clustering, kept)


def kept_names(catalog: Catalog) -> list[KeptName]:
    """Return what the current clustering left of each name that was given before it, by cluster."""
    current = catalog.clusterings.current()
    found = catalog.clusterings.kept(current) if current is not None else []
    return [KeptName(cluster, name, kept, is_doubtful(kept)) for cluster, name, kept in found]
