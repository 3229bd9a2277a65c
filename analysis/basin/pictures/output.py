"""Write pictures whole or not at all."""
import io
import os
import secrets
from pathlib import Path

# No dates, so that equal data give equal files.
METADATA = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
PICTURE_STARTS = (b"\x89PNG", b"%PDF", b"<?xml", b"<svg")


class NoPicture(Exception):
    """What stands where a picture is to go is none, and is left alone."""


def check_replaceable(path):
    """Raise NoPicture if there is a file at `path` that is not a picture: a result, notes, whatever its name is."""
    if path.is_file():
        with open(path, "rb") as file:
            start = file.read(5)
        if start and not start.startswith(PICTURE_STARTS):
            raise NoPicture(f"{path} is there and is no picture; it is not replaced")
    elif path.exists():
        raise NoPicture(f"{path}: found a directory or device, expected nothing or a picture")


def write(figure, path, dpi):
    """Write the figure to `path`, whose ending is the format; the path. It appears only when it is whole. A link is
    followed."""
    ending = path.suffix[1:]
    data = io.BytesIO()
    figure.savefig(data, format=ending, dpi=dpi, metadata=METADATA[ending])
    replace(Path(os.path.realpath(path)), data.getbuffer())
    return path


def replace(path, data):
    """Let `path` hold the bytes `data`, or stay as it is."""
    part = path.with_name(f".basin-plot-{secrets.token_hex(8)}.part")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(file, "wb") as stream:
            stream.write(data)
        if path.exists():
            os.chmod(part, path.stat().st_mode & 0o777)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
