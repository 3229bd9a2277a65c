"""Places for the labels of contour lines. matplotlib's own choice lets the labels in a steep bowl overlap."""
import numpy as np

from .style import printed_length

ROOM = 24  # points: the length that a label of up to five characters takes
CELL = 6  # points: what is nearer than this to a label touches it
STEP = 4  # points between the places on a line that are tried
STRAIGHT = 0.96  # distance over length of a line under a label


def label_places(axes, lines, labels):
    """Points (x, y) for the labels of contour lines: one for each piece of a line that is straight somewhere
    and has room there. The layout of the figure must be settled."""
    point = axes.figure.dpi / 72
    room = ROOM * point * max(1, max(map(printed_length, labels)) / 5)
    pieces = [(level, resample(axes.transData.transform(piece), STEP * point))
              for level, level_pieces in enumerate(lines.allsegs) for piece in level_pieces]
    frame = axes.get_window_extent()
    crowd = crowded(pieces, len(labels), frame, CELL * point)
    inner = frame.padded(-room / 2)
    taken = [axes.transData.transform((0, 0))]  # the mark of the point
    for level, piece in pieces:
        places = piece[straight(piece, room)]
        places = places[[inner.contains(*place) for place in places]]
        places = places[~crowd[(level, *cells(places, frame, CELL * point))]]
        free = distance(places, np.array(taken))
        if (free > room).any():
            taken.append(places[free.argmax()])
    return axes.transData.inverted().transform(taken[1:])


def resample(line, step):
    """A line of points (k, 2) as points about `step` apart along it, ends included."""
    arc = np.concatenate(([0], np.hypot(*np.diff(line, axis=0).T).cumsum()))
    places = np.linspace(0, arc[-1], int(arc[-1] / step) + 2)
    return np.stack([np.interp(places, arc, values) for values in line.T], axis=1)


def straight(line, length):
    """(k), bool: where a line of evenly spaced points (k, 2) is almost straight over `length` around the
    point; never so close to an end that the line is shorter."""
    spacing = np.hypot(*(line[1] - line[0]))
    half = int(np.ceil(length / 2 / spacing)) if spacing > 0 else len(line)
    result = np.full(len(line), False)
    if len(line) > 2 * half:
        chord = np.hypot(*(line[2 * half:] - line[:-2 * half]).T)
        result[half:-half] = chord > STRAIGHT * 2 * half * spacing
    return result


def crowded(pieces, levels, frame, size):
    """(levels, rows, columns), bool: for the cells of `size` pixels of the frame, whether a line of another
    level passes through the cell or a neighbour of it."""
    shape = int(frame.height / size) + 1, int(frame.width / size) + 1
    passed = np.zeros((levels, *shape), bool)
    for level, piece in pieces:
        passed[(level, *cells(piece, frame, size))] = True
    others = passed.sum(axis=0) > passed
    padded = np.pad(others, ((0, 0), (1, 1), (1, 1)))
    return np.logical_or.reduce([padded[:, i:i + shape[0], j:j + shape[1]]
                                 for i in range(3) for j in range(3)])


def cells(places, frame, size):
    """Row and column (k) of the cell of each of the places (k, 2) in pixels, or of the nearest cell."""
    column, row = ((places - frame.min) / size).astype(int).T
    return row.clip(0, int(frame.height / size)), column.clip(0, int(frame.width / size))


def distance(places, others):
    """(k): the distance of each of the places (k, 2) from the nearest of the others (l, 2)."""
    return np.array([np.hypot(*(others - place).T).min() for place in places])
