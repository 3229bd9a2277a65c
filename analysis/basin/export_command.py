"""The command line of basin-export."""
import argparse
import json
import math
import os
import shlex
import signal
import sys
import textwrap
import warnings
from collections import Counter
from pathlib import Path

from .export import STATES, TYPES, load, save, shown, type_of

EPILOG = """example:
  basin-export ckpt.pt -o model/model.safetensors
  basin-export encoder.pt -o model/model.safetensors --config model_type=torch_transformer_encoder d_model=64 nhead=4
writes the tensors, bit for bit, and model/config.json: from --config, and from the model_args of nanoGPT

exit code: 0 done, 1 the work failed, 2 wrong command line or wrong input"""
DONE, FAILED, WRONG_INPUT = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message):
        self.exit(WRONG_INPUT, f"{self.prog}: {message}; see {self.prog} --help\n")


def parse(arguments):
    """The checked options."""
    parser = Parser(prog="basin-export", allow_abbrev=False, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
                    description="Turn a PyTorch file into the .safetensors file that basin-problem checkpoint reads.")
    parser.add_argument("file", metavar="FILE.pt", help="what torch.save wrote (.pt, .pth, .bin, .ckpt): a state dict, or a "
                        f"checkpoint with one under {', '.join(STATES)}")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.safetensors",
                        help="file to write, in a folder of its own for config.json, made if missing")
    parser.add_argument("--key", help="where in the file the state dict is")
    parser.add_argument("--config", nargs="+", action="extend", type=setting, default=[], metavar="KEY=VALUE",
                        help="members of config.json, which says what the model is; values are JSON, or else text")
    parser.add_argument("--overwrite", action="store_true", help="replace the files that are there")
    parser.add_argument("--unsafe", action="store_true",
                        help="read objects of any kind, whole modules, too: this runs what code the file says")
    return parser.parse_args(arguments)


def setting(text):
    """The key and the value in KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"found '{text}', expected KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def main(arguments=None):
    """Run basin-export; the exit code is 0 done, 1 the work failed, 2 wrong command line or input."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed by the caller
        stream.reconfigure(errors="surrogateescape")  # file names need not be text
    options = parse(arguments)
    warnings.simplefilter("ignore")
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        return export(options)
    except (FileExistsError, TypeError, ValueError) as error:
        return complain(options.file, error, WRONG_INPUT)
    except OSError as error:
        return complain(options.file, f"cannot write {error.filename or options.output}: {error.strerror or error}", FAILED)
    except KeyboardInterrupt:
        return complain(options.file, "stopped; a file that is there is whole", FAILED)
    except Exception as error:  # not foreseen: still one line
        return complain(options.file, f"cannot be exported: {type(error).__name__}: {error}", FAILED)


def export(options):
    """Read, write, say what was written; the exit code."""
    if options.unsafe:
        complain(options.file, "warning: --unsafe runs what code is in the file", DONE)
    try:
        loaded = load(options.file, options.key, options.unsafe)
        if options.output.exists() and os.path.samefile(options.file, options.output):
            raise ValueError(f"{options.output} is this file; give another name with --output")
    except OSError as error:
        return complain(options.file, f"cannot be read: {error.strerror or error}", WRONG_INPUT)
    config = {**(loaded.config or {}), **dict(options.config)} or None
    os.makedirs(options.output.parent, exist_ok=True)
    save(loaded.state, options.output, config, overwrite=options.overwrite)
    for line in report(options.output, loaded, config):
        announce(line)
    return DONE


def report(output, loaded, config):
    """What was written, in lines, the last of which says how to go on."""
    kinds = Counter(TYPES[type_of(tensor)][0] for tensor in loaded.state.values())
    tensors = {(tensor.data_ptr(), *tensor.shape, *tensor.stride()) if hasattr(tensor, "data_ptr") else name: tensor
               for name, tensor in loaded.state.items()}  # tied ones once
    numbers = sum(math.prod(tensor.shape) for tensor in tensors.values() if "float" in type_of(tensor))
    names = [shown(name) for name in list(loaded.state)[:4]] + ["..."] * (len(loaded.state) > 4)
    yield (f"{output}: {len(loaded.state)} tensors ({', '.join(f'{count} {kind}' for kind, count in kinds.items())}), {numbers} "
           f"parameters{' (tied ones once)' if len(tensors) < len(loaded.state) else ''}: {', '.join(names)}")
    beside = output.with_name("config.json")
    if config:
        yield f"{beside}: " + textwrap.shorten(json.dumps(config), 300, placeholder=" ...")
    elif beside.exists():
        yield f"{beside}: as it was"
    else:
        yield ("no config.json: heads and activation are in no state dict; say them with --config model_type=..., or give "
               "basin-problem a --config or a --map")
    if loaded.hint is not None:
        yield "hyper_parameters in the file, not used: " + textwrap.shorten(repr(loaded.hint), 300, placeholder=" ...")
    yield (f"next: basin-problem checkpoint {shlex.quote(str(output))} -o problem.h5 --inputs inputs.npy --targets targets.npy "
           "--expect-loss VALUE")


def announce(text):
    """A line on stdout, at once."""
    try:
        print(text, flush=True)
    except OSError as error:
        sys.stdout = None  # or it is tried again at the end
        raise OSError(error.errno, error.strerror, "standard output") from error


def complain(path, error, code):
    """One line on stderr."""
    print(" ".join(f"basin-export: {path}: {error}".splitlines()), file=sys.stderr)
    return code
