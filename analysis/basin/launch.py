"""Start a command under an interpreter that has its packages."""
import importlib
import logging
import os
import sys
import warnings

SYSTEM_PYTHON = "/usr/bin/python3"  # the interpreter that Debian's packages serve


def with_packages(script, modules=("h5py", "matplotlib")):
    """Return if the modules are there, else start `script` again under Debian's interpreter, or say what to install."""
    try:
        for module in modules:
            import_matplotlib() if module == "matplotlib" else importlib.import_module(module)
    except Exception as error:  # a numpy of another version raises more than ImportError
        if sys.executable != SYSTEM_PYTHON and os.access(SYSTEM_PYTHON, os.X_OK):
            os.execv(SYSTEM_PYTHON, [SYSTEM_PYTHON, os.path.abspath(script), *sys.argv[1:]])
        reason = str(error).partition("\n")[0]
        packages = " ".join(f"python3-{module}" for module in modules)
        sys.exit(f"{os.path.basename(script)}: {reason}; install the Debian packages {packages}")


def import_matplotlib():
    """Import matplotlib without what the user has set for other programs: a matplotlibrc, styles, a backend. So pictures
    agree between machines, and none of these settings can keep it from being imported."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # of folders for its cache, of fonts
    warnings.simplefilter("ignore")  # what PYTHONWARNINGS asks for is not about our code
    os.environ.pop("MPLBACKEND", None)
    os.environ["MATPLOTLIBRC"] = os.devnull
    here = os.open(".", os.O_PATH)
    os.chdir(os.path.dirname(os.path.realpath(__file__)))  # it reads a matplotlibrc in the working directory before all others
    try:
        import matplotlib  # noqa: F401
    finally:
        os.fchdir(here)
        os.close(here)
