"""The network and data behind a result, as the lines under each picture."""
import json
from pathlib import PurePath

from ..files import ResultError

BLOCKS = ("W_Q", "W_K", "W_V", "W_O")
MAX_NAME = 60  # characters of a file name in the footer


def footer(result):
    """Lines: kernel, or layers, and sizes; trainable blocks and input file."""
    words = network(result)
    letters = ("N", "n", "D", "H", "d", "D_out")
    if not is_attention(result):  # token ids have no width
        letters = ("N", "n", "D", "D_out") if result.number("/entry/model/D") > 0 else ("N", "n", "D_out")
    sizes = ", ".join(f"{name} = {result.number('/entry/model/' + name):.0f}" for name in letters)
    trainable = _shorten_list(trainable_blocks(result))
    source = _shorten(PurePath(result.text("/entry/provenance/input_file")).name)
    return [f"{words}; {sizes}", f"trainable: {trainable}; input: {source}"]


def is_attention(result):
    """Whether the network is one attention layer."""
    return "/entry/model/architecture" not in result


def network(result):
    """The network in a few words: "softmax kernel", "attention, linear"."""
    if not is_attention(result):
        layers = json.loads(result.text("/entry/model/architecture"))["layers"]
        return _shorten(", ".join(layer["type"] for layer in layers))
    kernel = result.text("/entry/model/kernel")
    if kernel == "gaussian":
        bandwidth = result.number("/entry/model/bandwidth")
        return f"Gaussian kernel, \N{GREEK SMALL LETTER SIGMA} = {bandwidth:.4g}"
    return f"{kernel} kernel"


def trainable_blocks(result):
    """Names of the trainable blocks, in the order of the parameters."""
    names = [name.strip() for name in result.text("/entry/model/trainable").split(",")]
    if not is_attention(result):
        return names
    unknown = set(names).difference(BLOCKS)
    if unknown:
        raise ResultError(f"/entry/model/trainable: found '{min(unknown)}', "
                          f"expected some of {', '.join(BLOCKS)}")
    return [name for name in BLOCKS if name in names]


def _shorten(name):
    if len(name) <= MAX_NAME:
        return name
    half = (MAX_NAME - 1) // 2
    return f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def _shorten_list(names):
    """The names, or the first of them and how many there are."""
    if len(", ".join(names)) <= MAX_NAME:
        return ", ".join(names)
    count = f"\N{HORIZONTAL ELLIPSIS} ({len(names)} blocks)"
    shown = [_shorten(names[0])]
    while len(", ".join([*shown, names[len(shown)], count])) <= MAX_NAME:
        shown.append(names[len(shown)])
    return ", ".join([*shown, count])


def on_rows(result, name):
    """" on logit differences" where the dataset `name` says that the kernel is of these."""
    return " on logit differences" if name in result and result.text(name).startswith("logit differences") else ""
