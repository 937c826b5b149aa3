"""Undoing and redoing operations of an open store."""

from vecstore.clustering import lifecycle
from vecstore.curation import journal
from vecstore.errors import NotFound
from vecstore.results import UndoReport
from vecstore.session import Session
from vecstore.storage.catalog.acts import ACTS


def undo(session: Session, redo: bool) -> UndoReport:
    """Undo the last operation that was not, or take back the last undo; see `Store.undo`."""
    catalog = session.catalog
    with session.writing():
        done = [found for found in catalog.operations.all() if found.undone == redo]
        if not done:
            raise NotFound(f"nothing to {'redo' if redo else 'undo'} in the store {session.path}")
        operation = done[-1] if redo else done[0]
        if operation.kind in ACTS:
            report = journal.undo(session, operation, redo)
            with catalog.writing():
                _assign_missing(session)
            return report
        with catalog.writing():
            report = catalog.operations.undo(operation)
            _assign_missing(session)
            return report


def _assign_missing(session: Session) -> None:
    """Give clusters to images whose labels were forgotten, or that came back from before a clustering."""
    current = session.catalog.clusterings.current()
    if current is not None:
        lifecycle.assign_missing(session.catalog, session.vectors(), current, session.device)
