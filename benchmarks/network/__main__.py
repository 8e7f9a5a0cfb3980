"""Networks, parallelism and models of any size: `make bench-network`, one table.

What is expected of each part is said where it is done.
"""

import sys

from benchmarks.network import deepseek, digests, ep_bound
from benchmarks.parts import report_parts
from benchmarks.rows import arguments

PARTS = {
    "ep_bound": ep_bound.run,
    "digests": digests.run,
    "deepseek": deepseek.run,
}


def main() -> int:
    parser = arguments("Networks, parallelism, and models of any size without their weights.")
    parser.add_argument("--only", nargs="*", metavar="PART", choices=PARTS, help="of these parts")
    chosen = parser.parse_args()
    wanted = {name: part for name, part in PARTS.items() if name in (chosen.only or PARTS)}
    return report_parts(wanted, chosen.json, "Network")


if __name__ == "__main__":
    sys.exit(main())
