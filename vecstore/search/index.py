"""The index of an open store: built and grown as it was asked for, measured, reported."""

import time
from dataclasses import replace

from vecstore.engines.index_lifecycle import IndexSettings
from vecstore.errors import BadInput
from vecstore.results import IndexReport
from vecstore.search.query_time import median_query_ms
from vecstore.session import Session


def build_index(
    session: Session, kind: str | None, target_recall: float | None, memory_budget: int | None, rebuild: bool
) -> IndexReport:
    """Bring the index up to date with every image, and measure it; see `Store.index`."""
    started = time.monotonic()
    with session.writing():
        settings = _settings(session, kind, target_recall, memory_budget)
        session.catalog.set_index_settings(settings.to_json())
        session.engine.build_index(settings, rebuild)
        vectors = session.vectors()
        index = session.engine.searcher(vectors)
        return IndexReport(
            index=index.kind,
            rows=len(vectors),
            recall=index.recall,
            target_recall=settings.target_recall,
            index_bytes=index.bytes,
            query_ms=median_query_ms(index, vectors, session.catalog),
            seconds=time.monotonic() - started,
        )


def _settings(
    session: Session, kind: str | None, target_recall: float | None, memory_budget: int | None
) -> IndexSettings:
    """Return the recorded settings with what is said now in their place."""
    *kinds, last = session.engine.capabilities.index_kinds
    if kind not in (None, *kinds, last):
        raise BadInput(f"no kind of index is called {kind!r}; choose {', '.join(kinds)} or {last}")
    before = session.index_settings()
    return replace(
        before,
        kind=before.kind if kind is None else kind,
        target_recall=before.target_recall if target_recall is None else target_recall,
        memory_budget=before.memory_budget if memory_budget is None else memory_budget or None,
    )
