"""All that is measured of the wires: `make bench-wires`, one table. What is expected of each, and
how it is measured, is said where it is done.
"""

import sys

from benchmarks.rows import arguments, report
from benchmarks.wires import all_to_all, decode, faults, injected, network, round_trip


def main() -> int:
    options = arguments("Round trips, all-to-all, decode, delays and faulty links.").parse_args()
    parts = (round_trip, all_to_all, decode, injected, network, faults)
    rows = [row for part in parts for row in part.run()]
    return report(rows, options.json, "Wires")


if __name__ == "__main__":
    sys.exit(main())
