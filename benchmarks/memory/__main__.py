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
from benchmarks.parts import report_parts
from benchmarks.rows import arguments

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


def main() -> int:
    parser = arguments("Memory: flash by formula, size, layout and wear; energy; retrieval.")
    parser.add_argument("--only", nargs="*", metavar="PART", choices=PARTS, help="of these parts")
    chosen = parser.parse_args()
    wanted = {name: part for name, part in PARTS.items() if name in (chosen.only or PARTS)}
    return report_parts(wanted, chosen.json, "Memory")


if __name__ == "__main__":
    sys.exit(main())
