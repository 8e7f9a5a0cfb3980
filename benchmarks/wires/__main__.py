"""All that is measured of the wires: `make bench-wires`, one table. What is expected of each, and
how it is measured, is said where it is done.
"""

import sys
import traceback

from benchmarks.rows import Row, arguments, report
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
    rows: list[Row] = []
    failed: list[str] = []
    for (
        part
    ) in parts:  # the whole takes half an hour: one that breaks takes no other's figures along
        try:
            rows += part.run()
        except Exception:
            traceback.print_exc()
            failed.append(part.__name__.rpartition(".")[2])
    code = report(rows, chosen.json, "Wires")
    if failed:
        print(f"no figures of {', '.join(failed)}: see above", file=sys.stderr)
    return 1 if failed else code


if __name__ == "__main__":
    sys.exit(main())
