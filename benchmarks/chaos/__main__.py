"""What breaks, and what must hold then: `make bench-chaos`, one table.

What is expected of each part is said where it is done, of each experiment in its file.
"""

import sys

from benchmarks.chaos import (
    cost,
    experiments,
    local,
    overload,
    overload_local,
    rolling,
    searching,
)
from benchmarks.parts import chosen_parts

PARTS = {
    "experiments": experiments.rows,
    "overload": overload.overload,
    "overload-local": overload_local.rows,
    "search": searching.rows,
    "local": local.rows,
    "rolling": rolling.rows,
    "cost": cost.rows,
}

TOLD = "Faults, planned and drawn, in virtual time and of real processes; overload; what it costs."


if __name__ == "__main__":
    sys.exit(chosen_parts(PARTS, TOLD, "Chaos"))
