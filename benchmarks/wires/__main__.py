"""All that is measured of the wires: `make bench-wires`, one table. What is expected of each, and
how it is measured, is said where it is done.
"""

import sys

from benchmarks.parts import report_parts
from benchmarks.rows import arguments
from benchmarks.wires import (
    all_to_all,
    decode,
    dilation,
    faults,
    hidden,
    injected,
    network,
    round_trip,
    tail,
    ucx_all_to_all,
)


def main() -> int:
    parser = arguments(
        "Round trips, all-to-all, decode, dilation, delays, hidden and faulty links."
    )
    parts = (
        round_trip, all_to_all, ucx_all_to_all, tail, decode, dilation, injected, network, hidden,
        faults,
    )  # fmt: skip
    chosen = parser.parse_args()
    named = {part.__name__.rpartition(".")[2]: part.run for part in parts}
    return report_parts(named, chosen.json, "Wires")


if __name__ == "__main__":
    sys.exit(main())
