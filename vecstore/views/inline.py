"""What notebooks show of a curve, a contact sheet and a map: the drawing that their files have.

Each is the plain result with a method that IPython asks for. What cannot be drawn any more, as after its store was
closed, is shown as text.
"""

import io
from collections.abc import Callable, Sequence
from typing import Self

from vecstore.errors import VecstoreError
from vecstore.results import Cluster, Elbow, StoreMap
from vecstore.views.contact_sheets import Sheet, ThumbnailOf, draw_page
from vecstore.views.map_rendering import describe, svg_of
from vecstore.views.plots import elbow_curve


class ShownElbow(Elbow):
    """An elbow that notebooks show as its curve."""

    @classmethod
    def of(cls, elbow: Elbow) -> Self:
        """Return the same elbow, to be shown."""
        return cls(**vars(elbow))

    def _repr_png_(self) -> bytes:
        return elbow_curve(self, "png")


class ShownSheet(Sheet):
    """A contact sheet that notebooks show, as a single page."""

    _thumbnail_of: ThumbnailOf

    @classmethod
    def of_sheet(cls, sheet: Sheet, thumbnail_of: ThumbnailOf) -> Self:
        """Return the same sheet, to be shown with these thumbnails."""
        shown = cls(**vars(sheet))
        object.__setattr__(shown, "_thumbnail_of", thumbnail_of)  # frozen, and no field: it is no part of the result
        return shown

    def _repr_png_(self) -> bytes | None:
        try:
            page = draw_page(self.title, self.note, self.sections, self._thumbnail_of)
        except VecstoreError:
            return None
        written = io.BytesIO()
        page.save(written, "PNG")
        return written.getvalue()


class ShownMap(StoreMap):
    """A map that notebooks show."""

    _clusters_now: Callable[[], Sequence[Cluster]]
    _thumbnail_of: ThumbnailOf

    @classmethod
    def of(cls, found: StoreMap, clusters_now: Callable[[], Sequence[Cluster]], thumbnail_of: ThumbnailOf) -> Self:
        """Return the same map, to be shown with what these return when it is."""
        shown = cls(**vars(found))
        object.__setattr__(shown, "_clusters_now", clusters_now)
        object.__setattr__(shown, "_thumbnail_of", thumbnail_of)
        return shown

    def clusters(self) -> Sequence[Cluster]:
        """Return the clusters that the points are in, the largest first; none before the first clustering."""
        # Without clusters there is nothing to ask them for.
        return self._clusters_now() if any(point.cluster is not None for point in self.points) else ()

    def _repr_svg_(self) -> str | None:
        if not self.points:
            return None
        try:
            return svg_of(self, self.clusters(), self._thumbnail_of).document(describe(self))
        except VecstoreError:
            return None
