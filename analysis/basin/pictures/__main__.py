"""python3 -m basin.pictures is basin-plot."""
import sys

from ..launch import import_matplotlib

import_matplotlib()
from .cli import main  # noqa: E402

sys.exit(main())
