"""basin-hessian: the largest and the smallest eigenvalues with their error bars."""
from dataclasses import dataclass

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .scales import set_symlog, use_symlog
from .spectrum import signs
from .style import BLACK, SIGN_LOOK, new_figure, say
from .units import unit_text


@dataclass(frozen=True)
class End:
    """One end of a spectrum, outermost eigenvalue first."""
    values: np.ndarray  # (k)
    errors: np.ndarray  # (k)
    converged: np.ndarray  # (k), bool
    requested: int  # k or more: the tool leaves out what did not converge

    def title(self, name):
        """The panel's title, for the name "largest" or "smallest"."""
        missing = self.requested - self.values.size
        return name + (f" (only {self.values.size} of {self.requested} converged)" if missing > 0 else "")


def draw(operator, ends, scale, footer, unit=0):
    """The figure for `ends`, name ("largest", "smallest") -> End, in units of 10^unit; one of them may be empty."""
    counts = " and ".join(f"{end.values.size} {name}" for name, end in ends.items())
    figure = new_figure(4.0, f"Eigenvalues of the {operator}: {counts}", footer)
    places = figure.subplot_mosaic([list(ends), ["legend"] * len(ends)], height_ratios=(1, 0.06))
    values, errors, converged = (np.concatenate([getattr(end, part) for end in ends.values()])
                                 for part in ("values", "errors", "converged"))
    panels = [places[name] for name in ends]
    for axes in panels[1:]:
        axes.sharey(panels[0])
    if values.size and use_symlog(values, errors, scale):
        set_symlog(panels[0].yaxis, values, errors)
    for axes, (name, end) in zip(panels, ends.items()):
        draw_end(axes, end)
        if end.values.size == 0:
            say(axes, "no eigenvalue converged")
        axes.set(title=end.title(name), xlabel=f"number, from the {name} on")
    panels[0].set_ylabel(r"eigenvalue $\lambda$ with error bound" + unit_text(unit))
    handles = [Line2D([], [], linestyle="", marker=SIGN_LOOK[sign][1], color=SIGN_LOOK[sign][0],
                      label=f"{SIGN_LOOK[sign][2]}: {np.count_nonzero(member)}")
               for sign, member in signs(values, errors)]
    if not converged.all():
        handles.append(Line2D([], [], linestyle="", marker="s", color=BLACK, markerfacecolor="none",
                              label=f"hollow: not converged ({np.count_nonzero(~converged)})"))
    places["legend"].set_axis_off()
    if handles:
        places["legend"].legend(handles=handles, loc="center", ncol=2)
    return figure


def draw_end(axes, end):
    """The eigenvalues of one End with their errors; unconverged ones are hollow."""
    number = np.arange(1, end.values.size + 1)
    axes.axhline(0, color="black", linewidth=0.7)
    for sign, member in signs(end.values, end.errors):
        colour, marker, _ = SIGN_LOOK[sign]
        for part, face in ((member & end.converged, colour), (member & ~end.converged, "none")):
            axes.errorbar(number[part], end.values[part], end.errors[part], fmt=marker, color=colour,
                          markerfacecolor=face, markersize=6, capsize=3, elinewidth=0.8)
    axes.set_xlim(0.5, max(end.requested, end.values.size) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
