"""Start a command under an interpreter that has its packages."""
import os
import sys

SYSTEM_PYTHON = "/usr/bin/python3"  # the interpreter that Debian's packages serve


def with_packages(script):
    """Return if h5py and matplotlib are there, else start `script` again under Debian's interpreter, or say
    what to install."""
    try:
        import h5py  # noqa: F401
        import matplotlib  # noqa: F401
    except Exception as error:  # a numpy of another version raises more than ImportError
        if sys.executable != SYSTEM_PYTHON and os.access(SYSTEM_PYTHON, os.X_OK):
            os.execv(SYSTEM_PYTHON, [SYSTEM_PYTHON, os.path.abspath(script), *sys.argv[1:]])
        reason = str(error).partition("\n")[0]
        sys.exit(f"{os.path.basename(script)}: {reason}; install the Debian packages python3-h5py python3-matplotlib")
