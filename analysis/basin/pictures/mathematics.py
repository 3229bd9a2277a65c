"""Formulas in the plain text of result files, typeset; and how wide texts are."""
import re

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from .style import SMALL, escape

SYMBOLS = {
    ">=": r"\geq", "<=": r"\leq", "..": r"\ldots", "=": "=", "+": "+", "[h]": "[h]",
    "D_out": r"D_\mathrm{out}", "r~": r"\tilde{r}",
    "lambda_min": r"\lambda_\mathrm{min}", "lambda_max": r"\lambda_\mathrm{max}",
    "sigma_min": r"\sigma_\mathrm{min}",
}
# Names that are symbols by themselves, and the heads of symbols with an index, such as W_O and sum_h.
LETTERS = "NnDHdPerXU"
INDEXED = {"lambda": r"\lambda", "sigma": r"\sigma", "omega": r"\omega", "sum": r"\sum", "min": r"\min"}

_SYMBOL = "|".join(re.escape(symbol) for symbol in sorted(SYMBOLS, key=len, reverse=True))
_INDEX = rf"(?P<head>{'|'.join(INDEXED)}|[A-Za-z])_(?P<index>[A-Za-z0-9]{{1,2}})(?![A-Za-z0-9])"
_ATOM = re.compile(rf"(?P<symbol>{_SYMBOL})|{_INDEX}|(?P<call>min)(?=\()|(?P<letter>[{LETTERS}])(?![A-Za-z])"
                   r"|\^(?P<power>[T\d])(?!\^)|(?P<plain>\d+|[-()\[\],|])")
_PLAIN = re.compile(r"[-\d()\[\],|]+")  # a formula only behind one: a number or a dash


def typeset(text):
    """`text` for matplotlib, its formulas as mathematics without blanks; words that are none as they are."""
    parts = []  # (whether it is a formula, typeset word)
    for word in text.split():
        formula = _formula(word)
        if formula and parts and parts[-1][0]:
            parts[-1] = True, rf"{parts[-1][1]}\,{formula}"
        elif formula and not _PLAIN.fullmatch(word):
            parts.append((True, formula))
        else:
            parts.append((False, escape(word)))
    # A relation brings its own blank along.
    return " ".join(f"${part}$" if formula else part for formula, part in parts).replace(" $=", r"$\,=")


def wrap_typeset(text, width, size=SMALL):
    """`text` in typeset lines at most `width` inches wide at a font `size` in points, if words allow it."""
    lines = [[]]
    for word in text.split():
        if lines[-1] and text_width(typeset(" ".join([*lines[-1], word])), size) > width:
            lines.append([])
        lines[-1].append(word)
    return [typeset(" ".join(line)) for line in lines]


def text_width(text, size=SMALL, weight="normal"):
    """Inches that a line of `text`, which may hold mathematics, takes at a font `size` in points."""
    mathematics = "$" in text.replace(r"\$", "")
    font = FontProperties(size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, mathematics)
    return width / 72


def _formula(word):
    """The word in the language of mathematics; empty when it is none."""
    atoms, end = [], 0
    while end < len(word):
        atom = _ATOM.match(word, end)
        if atom is None:
            return ""
        atoms.append(atom)
        end = atom.end()
    return "".join(map(_atom, atoms))


def _atom(atom):
    if atom["symbol"]:
        return SYMBOLS[atom["symbol"]]
    if atom["index"]:
        return f"{INDEXED.get(atom['head'], atom['head'])}_{{{atom['index']}}}"
    if atom["call"]:
        return r"\min"
    return f"^{atom['power']}" if atom["power"] else atom["letter"] or atom["plain"]
