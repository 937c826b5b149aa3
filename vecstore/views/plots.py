"""Plots: the curve of a sweep over k, as PNG or SVG, light or dark. Matplotlib is loaded when one is drawn."""

import io
import textwrap
from pathlib import Path
from typing import Any

from vecstore.errors import BadInput
from vecstore.results import Elbow
from vecstore.storage.durable_files import naming
from vecstore.views.palette import DARK, LIGHT

# Okabe and Ito's colours, which stay apart for the colour-blind, on light paper and on dark.
# Where titles begin, as in the other pictures, as a part of the width; and the least silhouette of clusters that are
# well apart (Kaufman and Rousseeuw, Finding Groups in Data, 1990, p. 88).
TITLE_AT, WELL_APART = 0.012, 0.5
LOSS, SILHOUETTE = ("#0072B2", "#56B4E9"), ("#D55E00", "#E69F00")


def draw_elbow(elbow: Elbow, file: Path) -> None:
    """Write loss and silhouette against k, one above the other, with the chosen k marked; .png or .svg by the suffix.

    Raises BadInput for another suffix, OSError.
    """
    require_suffix(file)
    drawn = elbow_curve(elbow, file.suffix.lower()[1:])
    with naming(file):
        file.write_bytes(drawn)


def require_suffix(file: Path) -> None:
    """Raise BadInput unless a curve can be such a file."""
    if file.suffix.lower() not in (".png", ".svg"):
        raise BadInput(f"a curve is written as a picture; name a file that ends in .png or .svg, not {file}")


def elbow_curve(elbow: Elbow, kind: str, dark: bool = False) -> bytes:
    """Return the curve as a file of this kind, "png" or "svg"."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no window system, and no state of pyplot's
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    roles = DARK if dark else LIGHT
    inks = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    # A salt: else the names inside an SVG, and with them its bytes, are others every time.
    settings: Any = {**dict.fromkeys(inks, roles["ink"]), "svg.hashsalt": "vecstore"}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(8, 6), layout="constrained", facecolor=roles["paper"])
        FigureCanvasAgg(figure)
        above, below = figure.subplots(2, 1, sharex=True)
        losses = {p.k: p.loss for p in elbow.curve}
        silhouettes = {p.k: p.silhouette for p in elbow.curve if p.silhouette is not None}
        _draw(above, losses, LOSS[dark], "o", "mean squared distance\nto the centroid")
        _draw(below, silhouettes, SILHOUETTE[dark], "s", "silhouette")
        _mark(above, elbow.knee, losses[elbow.knee], LOSS[dark], f"knee at {elbow.knee}")
        if elbow.silhouette_k in silhouettes:
            highest = silhouettes[elbow.silhouette_k]
            _mark(below, elbow.silhouette_k, highest, SILHOUETTE[dark], f"highest at {elbow.silhouette_k}")
        for axes in (above, below):
            axes.set_facecolor(roles["paper"])
            axes.axvline(elbow.k, color=roles["pale"], linestyle="--", linewidth=1, zorder=0)
        # From 0, and to what is called well apart: or the noise of a weak silhouette would look like a peak.
        below.set_ylim(min(0, *silhouettes.values(), 0), max(WELL_APART, *(1.15 * s for s in silhouettes.values()), 0))
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        below.set_xlabel("k, the number of clusters")
        sampled = "" if elbow.sampled == elbow.images else f", a sample of {elbow.sampled:,}"
        title = f"{elbow.k} clusters for {elbow.images:,} images{sampled}"
        figure.suptitle(title, x=TITLE_AT, ha="left", fontsize=17, fontweight="bold")
        above.set_title(textwrap.fill(elbow.reason, 100), loc="left", fontsize=10, color=roles["pale"])
        written = io.BytesIO()
        undated = {"Date": None, "Creator": None} if kind == "svg" else None
        figure.savefig(written, dpi=120, format=kind, facecolor=roles["paper"], metadata=undated)
    return written.getvalue()


def _draw(axes: Any, points: dict[int, float], colour: str, marker: str, label: str) -> None:
    axes.plot(*zip(*points.items(), strict=True), color=colour, marker=marker, markersize=4, linewidth=1.5)
    axes.set_ylabel(label)
    axes.margins(y=0.15)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _mark(axes: Any, k: int, value: float, colour: str, text: str) -> None:
    axes.plot([k], [value], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=colour)
    axes.annotate(text, (k, value), xytext=(9, 9), textcoords="offset points", color=colour, fontsize=9)
