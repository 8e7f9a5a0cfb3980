"""Memory as machines: `make bench-memory`, one table.

What is expected of each part is said where it is done.
"""

import sys

from benchmarks.memory import (
    bandwidth,
    beside,
    energy,
    flash,
    flash_node,
    formulas,
    growth,
    layouts,
    near_attention,
    near_or_ship,
    offload,
    prefetch,
    retrieval,
    whole,
)
from benchmarks.parts import chosen_parts

PARTS = {
    "formulas": formulas.run,
    "bandwidth": bandwidth.run,
    "layouts": layouts.run,
    "flash": flash.run,
    "flash_node": flash_node.run,
    "whole": whole.rows,
    "beside": beside.rows,
    "energy": energy.rows,
    "offload": offload.run,
    "prefetch": prefetch.run,
    "growth": growth.run,
    "near_or_ship": near_or_ship.rows,
    "near_attention": near_attention.rows,
    "retrieval": retrieval.run,
}

TOLD = "Memory: flash by formula, size, layout and wear; energy; retrieval."


if __name__ == "__main__":
    sys.exit(chosen_parts(PARTS, TOLD, "Memory"))
