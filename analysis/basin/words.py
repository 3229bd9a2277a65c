"""Numbers and answers in words."""
import re
from html import escape
from math import floor, isfinite, log10


def number(value, digits=3):
    """0.000123, 1.23e-09: with so many digits."""
    return f"{value:.{digits}g}"


def with_error(value, error):
    """12.345678 +- 2.1e-06: the digits that the error leaves, and one more."""
    if not isfinite(error) or not isfinite(value):
        return f"{value:.6g} +- {error:.2g}"
    if error == 0 or value == 0:
        return f"{value:.16g} +- {error:.2g}"
    digits = min(17, max(2, floor(log10(abs(value))) - floor(log10(error)) + 2)) if abs(value) > error else 2
    return f"{value:.{digits}g} +- {error:.2g}"


def in_python(message):
    """A message of a tool, with its options as they are written in Python: --head-dim 3 is head_dim=3."""
    def keyword(found):
        name, value, colon = found.groups()
        name = name.replace("-", "_") + "="
        if value and not colon and re.fullmatch("[a-z]+", value):  # a word of the sentence
            return f"{name} {value}"
        return name + (value or "") + (colon or "")
    return re.sub(r"(?<!\S)--(?!help\b)([a-z][a-z-]*[a-z])(?: ([^\s:,;]+)(:)?)?", keyword, message)


def as_text(lines):
    """Lines for a terminal."""
    return "\n".join(lines)


def as_html(lines):
    """The same for a notebook, the first line as the headline."""
    head, *rest = (escape(line) for line in lines)
    return f"<div><b>{head}</b><pre>" + "\n".join(rest) + "</pre></div>"
