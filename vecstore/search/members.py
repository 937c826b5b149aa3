"""The images of a cluster, and those far from all, that conditions hold of."""

from vecstore.clustering import clusters
from vecstore.results import Member
from vecstore.search.facts import ordered, require_sort
from vecstore.search.filters import Filter
from vecstore.search.query import allowed_in
from vecstore.session import Session


def members(
    session: Session,
    cluster: int | str,
    k: int | None,
    farthest: bool,
    start: int,
    conditions: Filter,
    sort: str | None,
) -> list[Member]:
    """Return a cluster's images, most typical first; see `Store.members`."""
    require_sort(sort)
    with session.catalog.reading():
        if conditions == Filter():
            return ordered(session, clusters.members(session, cluster, k, farthest, start), sort)
        allowed = allowed_in(session, session.catalog.images.row_count(), conditions)
        found = clusters.members(session, cluster, None, farthest)
        kept = [member for member in found if allowed is None or allowed[member.id]]
        return ordered(session, kept[start : None if k is None else start + k], sort)


def outliers(session: Session, k: int, conditions: Filter) -> list[Member]:
    """Return the k images that are farthest from their centroid, these first; see `Store.outliers`."""
    with session.catalog.reading():
        n_rows = session.catalog.images.row_count()
        allowed = allowed_in(session, n_rows, conditions) if conditions != Filter() else None
        most = k
        while True:
            found = clusters.outliers(session, most)
            kept = [member for member in found if allowed is None or allowed[member.id]]
            if len(kept) >= k or len(found) < most:
                return kept[:k]
            most *= 8  # enough of them may lie nearer
