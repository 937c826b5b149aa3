"""The colours and shapes of pictures.

Colours are Okabe and Ito's, which the colour-blind tell apart; where there are more clusters than colours, shapes go on
where colours end. Ink, paper and the greys between are named by role, so that a page can be dark.
"""

from vecstore.results import Cluster

# Okabe and Ito's colours (https://jfly.uni-koeln.de/color), in an order in which neighbours differ most.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#888888")
SHAPES = ("circle", "square", "triangle", "diamond", "wedge", "cross")
# By role: on light paper, and on dark.
LIGHT = {"ink": "#1c2024", "pale": "#60686f", "line": "#d5dade", "ground": "#f3f5f6", "paper": "#ffffff"}
DARK = {"ink": "#eceff1", "pale": "#a4adb5", "line": "#3a4147", "ground": "#22272b", "paper": "#16191c"}
ROLES = tuple(LIGHT)
# Shapes as polygons in a box from -1 to 1, with y downwards and about the area of the circle of radius 0.8.
POLYGONS = {
    "square": ((-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75)),
    "triangle": ((0, -1), (1, 0.8), (-1, 0.8)),
    "diamond": ((0, -1.05), (1.05, 0), (0, 1.05), (-1.05, 0)),
    "wedge": ((0, 1), (1, -0.8), (-1, -0.8)),
    "cross": (
        *((-0.4, -1), (0.4, -1), (0.4, -0.4), (1, -0.4), (1, 0.4), (0.4, 0.4)),
        *((0.4, 1), (-0.4, 1), (-0.4, 0.4), (-1, 0.4), (-1, -0.4), (-0.4, -0.4)),
    ),
}
CIRCLE_RADIUS = 0.85


# What is in no cluster steps back.
NOISE = ("line", "circle")


def style(number: int) -> tuple[str, str]:
    """Return the colour and the shape of the cluster of this id: the same in every picture, report and page."""
    return COLOURS[number % len(COLOURS)], SHAPES[number // len(COLOURS) % len(SHAPES)]


def style_of(cluster: Cluster) -> tuple[str, str]:
    """Return the colour, or its role, and the shape of a cluster, or of noise."""
    return NOISE if cluster.noise else style(cluster.cluster)
