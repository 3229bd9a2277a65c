"""The loss slice of two dimensions as a surface in space."""
import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from .contour import span
from .field import field
from .style import FIELD, new_figure, printed_length

MOST_TICKS = 7
MOST_POINTS = 121  # per axis: more cannot be told apart on paper, and take long to draw


def draw(data, scale):
    """The figure for a Slice of two dimensions."""
    figure = new_figure(5.4, "Loss surface f(\N{GREEK SMALL LETTER THETA} + a u + b v)", [*data.footer, data.words])
    figure.set_layout_engine("none")  # constrained layout fails on 3D axes
    axes = figure.add_axes((0.02, 0.1, 0.92, 0.86), projection="3d")
    a, b, loss = thin(data.a, data.b, data.loss)
    shown = field(loss, data.centre, scale, data.unit)
    place = np.ma.log10 if shown.log else np.asanyarray  # 3D axes have no logarithmic scale of their own
    corners, mean = quads(a, b, place(shown.values))
    shade = matplotlib.colormaps[FIELD](shown.norm(10.0**mean if shown.log else mean))
    # Pixels, not vectors: viewers draw hairlines between the polygons of a vector surface.
    axes.add_collection3d(Poly3DCollection(corners, facecolors=shade, edgecolors=shade * [0.8, 0.8, 0.8, 1],
                                           linewidths=0.3, rasterized=True))
    if len(corners) == 0:
        axes.text2D(0.5, 0.5, "no cell of the grid has a finite loss at all four corners", ha="center",
                    transform=axes.transAxes)
    axes.set(xlim=span(a), ylim=span(b), zlim=place(shown.levels[[0, -1]]))
    axes.set(xlabel=data.step_label("a"), ylabel=data.step_label("b"))
    label_height(axes, shown, place)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.view_init(elev=32, azim=-58)
    axes.set_box_aspect((4, 4, 3), zoom=0.92)
    return figure


def label_height(axes, shown, place):
    """Ticks of the height at round levels; their labels are centred, so that long ones need a distance."""
    step = -(-len(shown.levels) // MOST_TICKS)
    labels = shown.level_labels[::step]
    axes.set_zticks(place(shown.levels[::step]), labels)
    surplus = max(0, max(map(printed_length, labels)) - 5)
    axes.tick_params(axis="z", pad=3 + 3 * surplus)
    axes.set_zlabel(shown.label, labelpad=6 + 4 * surplus)


def thin(a, b, loss):
    """Every k-th step along each axis, for at most MOST_POINTS of them."""
    columns = slice(None, None, -(-a.size // MOST_POINTS))
    rows = slice(None, None, -(-b.size // MOST_POINTS))
    return a[columns], b[rows], loss[rows, columns]


def quads(a, b, height):
    """The cells of a grid whose four corners are all known: corners (k, 4, 3) and mean heights (k);
    `height` is a masked array (ny, nx)."""
    x, y = np.meshgrid(a, b)
    points = np.stack((x, y, np.ma.getdata(height)), axis=-1)
    ring = (points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1])
    corners = np.stack(ring, axis=2)  # (ny - 1, nx - 1, 4, 3)
    known = ~np.ma.getmaskarray(height)
    whole = known[:-1, :-1] & known[:-1, 1:] & known[1:, 1:] & known[1:, :-1]
    return corners[whole], corners[whole][:, :, 2].mean(axis=1)
