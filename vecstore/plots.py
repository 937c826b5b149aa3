"""Plots: the curve of a sweep over k as a PNG. Matplotlib is loaded when one is drawn."""

from pathlib import Path
from typing import Any

from vecstore.results import Elbow

# Okabe and Ito's colours, which stay apart for the colour-blind: blue, vermilion, and grey for what is not data.
LOSS, SILHOUETTE, CHOSEN = "#0072B2", "#D55E00", "#555555"


def draw_elbow(elbow: Elbow, path: Path) -> None:
    """Write loss and silhouette against k, one above the other, with the chosen k marked. Raises OSError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no window system, and no state of pyplot's
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    _draw(above, [(p.k, p.loss) for p in elbow.curve], LOSS, "o", "mean squared distance\nto the centroid")
    silhouettes = [(p.k, p.silhouette) for p in elbow.curve if p.silhouette is not None]
    _draw(below, silhouettes, SILHOUETTE, "s", "silhouette")
    _mark(above, elbow.knee, dict((p.k, p.loss) for p in elbow.curve)[elbow.knee], LOSS, f"knee at {elbow.knee}")
    highest = dict(silhouettes).get(elbow.silhouette_k)
    if highest is not None:
        _mark(below, elbow.silhouette_k, highest, SILHOUETTE, f"highest at {elbow.silhouette_k}")
    for axes in (above, below):
        axes.axvline(elbow.k, color=CHOSEN, linestyle="--", linewidth=1, zorder=0)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    below.set_xlabel("k, the number of clusters")
    sampled = "" if elbow.sampled == elbow.images else f", a sample of {elbow.sampled:,}"
    figure.suptitle(f"{elbow.k} clusters for {elbow.images:,} images{sampled}", fontsize=13)
    above.set_title(elbow.reason, fontsize=9, color=CHOSEN)
    figure.savefig(path, dpi=120, format="png")


def _draw(axes: Any, points: list[tuple[int, float]], colour: str, marker: str, label: str) -> None:
    axes.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=4, linewidth=1.5)
    axes.set_ylabel(label)
    axes.margins(y=0.15)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _mark(axes: Any, k: int, value: float, colour: str, text: str) -> None:
    axes.plot([k], [value], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=colour)
    axes.annotate(text, (k, value), xytext=(9, 9), textcoords="offset points", color=colour, fontsize=9)
