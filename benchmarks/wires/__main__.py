"""All that is measured of the wires: `make bench-wires`, one table. What is expected of each, and
how it is measured, is said where it is done.
"""

import sys

from benchmarks.rows import arguments, report
from benchmarks.wires import all_to_all, round_trip


def main() -> int:
    options = arguments("Round trips and all-to-all between processes of one machine.").parse_args()
    return report([*round_trip.run(), *all_to_all.run()], options.json, "Wires")


if __name__ == "__main__":
    sys.exit(main())
