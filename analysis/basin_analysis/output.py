"""Write pictures whole or not at all."""
import os

# No dates, so that equal data give equal files.
METADATA = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


def write(figure, path, dpi):
    """Write the figure to `path`, whose ending is the format; the path. It appears only when it is whole."""
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    ending = path.suffix[1:]
    try:
        figure.savefig(part, format=ending, dpi=dpi, metadata=METADATA[ending])
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path
