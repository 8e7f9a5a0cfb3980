"""Interconnect and parallelism: `make bench-network`, one table.

What is expected of each part is said where it is done.
"""

import sys

from benchmarks.network import collectives, replicas
from benchmarks.parts import report_parts
from benchmarks.rows import arguments

PARTS = {
    "collectives": collectives.rows,
    "replicas": replicas.rows,
}


def main() -> int:
    parser = arguments("Collectives by hand arithmetic; expert replicas under skewed loads.")
    parser.add_argument("--only", nargs="*", metavar="PART", choices=PARTS, help="of these parts")
    chosen = parser.parse_args()
    wanted = {name: part for name, part in PARTS.items() if name in (chosen.only or PARTS)}
    return report_parts(wanted, chosen.json, "Network")


if __name__ == "__main__":
    sys.exit(main())
