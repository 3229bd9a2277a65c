"""python3 -m basin_analysis is basin-plot."""
import sys

from .cli import main

sys.exit(main())
