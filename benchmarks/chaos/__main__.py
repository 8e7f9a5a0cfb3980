"""What breaks, and what must hold then: `make bench-chaos`, one table.

What is expected of each part is said where it is done, of each experiment in its file.
"""

import sys

from benchmarks.chaos import experiments, overload, searching
from benchmarks.parts import chosen_parts

PARTS = {
    "experiments": experiments.rows,
    "overload": overload.overload,
    "search": searching.rows,
}

TOLD = "Experiments with faults, overload, and a short search for broken laws."


if __name__ == "__main__":
    sys.exit(chosen_parts(PARTS, TOLD, "Chaos"))
