"""Undoing and redoing operations of an open store."""

from vecstore.clustering import lifecycle
from vecstore.errors import NotFound
from vecstore.results import UndoReport
from vecstore.session import Session


def undo(session: Session, redo: bool) -> UndoReport:
    """Undo the last operation that was not, or take back the last undo; see `Store.undo`."""
    catalog = session.catalog
    with session.writing(), catalog.writing():
        done = [found for found in catalog.operations.all() if found.undone == redo]
        if not done:
            raise NotFound(f"nothing to {'redo' if redo else 'undo'} in the store {session.path}")
        report = catalog.operations.undo(done[-1] if redo else done[0])
        current = catalog.clusterings.current()
        if current is not None:  # one whose labels were forgotten, or from before some images were added
            lifecycle.assign_missing(catalog, session.vectors(), current, session.device)
        return report
