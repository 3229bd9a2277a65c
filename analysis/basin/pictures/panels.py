"""Figures of several panels: rows for the parts of a result, columns for the values of an axis of words."""
import math

import numpy as np

from .style import SMALL, block_label, new_figure

MOST_IN_A_ROW = 3
DIFFERENCES = "centred/"  # begins the names of kernels of logit differences
FRAME = 1.1  # inches: title, footer, labels of the lowest axes
TITLE = 0.28  # inches: the title of a panel


class Panels:
    """Panels in a grid, with room for a legend under them. `axes` maps (part, column) to each panel."""

    def __init__(self, parts, columns, panel_height, title, footer, handles, legend_columns, share=False):
        across = columns.size if columns else min(len(parts), MOST_IN_A_ROW)
        count = len(parts) * (columns.size if columns else 1)
        rows = math.ceil(count / across)
        legend_height = 0.17 * math.ceil(len(handles) / legend_columns) + 0.06
        self.figure = new_figure(rows * (panel_height + TITLE) + legend_height + FRAME, title, footer)
        grid = self.figure.add_gridspec(rows + 1, across,
                                        height_ratios=[panel_height + TITLE] * rows + [legend_height])
        room = self.figure.add_subplot(grid[rows, :])
        room.axis("off")
        legend = room.legend(handles=handles, loc="upper center", ncol=legend_columns, borderaxespad=0)
        legend.set_in_layout(False)  # its room is set aside
        self._narrow = across > 2
        self.axes, first = {}, None
        for number in range(count):
            row, column = divmod(number, across)
            axes = self.figure.add_subplot(grid[row, column], sharex=first, sharey=first)
            first = axes if share else None
            part = parts[row if columns else number]
            differences = any(other.startswith(DIFFERENCES) for other in parts)
            axes.set_title(panel_title(part, columns.title(column) if columns else "", differences))
            axes.is_lowest, axes.is_leftmost = number + across >= count, column == 0
            self.axes[part, column if columns else 0] = axes

    def label(self, x, y):
        """The label of the axis x of a sweep, the text y, and labels of ticks, at the outer panels only."""
        for axes in self.axes.values():
            axes.tick_params(labelbottom=axes.is_lowest, labelleft=axes.is_leftmost)
            axes.set_xlabel((x.short_label if self._narrow else x.label) if axes.is_lowest else "")
            axes.set_ylabel(y if axes.is_leftmost else "")

    def tick_values(self, x, y=None):
        """Ticks for the values of axes of a sweep that stand at 0, 1, ...: at each, or at every second,
        third, ... where labels would touch. The layout of the figure must be settled otherwise."""
        for axes in self.axes.values():
            box = axes.get_window_extent()
            widest = max(map(len, x.labels)) * 0.7 * SMALL + 4
            set_ticks(axes.set_xticks, x, widest * x.size / (box.width * 72 / axes.figure.dpi))
            if y:
                set_ticks(axes.set_yticks, y, 1.25 * SMALL * y.size / (box.height * 72 / axes.figure.dpi))


def set_ticks(set_axis_ticks, values, crowding):
    """Ticks at every value, or at every k-th for a crowding above 1."""
    places = np.arange(0, values.size, max(1, math.ceil(crowding)))
    set_axis_ticks(places, [values.labels[place] for place in places])


def panel_title(part, column, differences=False):
    """The part and the value of the columns' axis, as far as there are. differences: some parts are kernels of logit
    differences, the others of the logits themselves."""
    kernel = part.removeprefix(DIFFERENCES)
    label = block_label(kernel) + (" on logit differences" if kernel != part else " on the logits" if differences else "")
    return ", ".join(filter(None, (label, column)))
