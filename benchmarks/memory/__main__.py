"""Memory servers at scale: `python -m benchmarks.memory [--only PART ...] [--json FILE]`.

What is expected of each part is said where it is done.
"""

import sys

from benchmarks.memory import growth, retrieval
from benchmarks.parts import report_parts
from benchmarks.rows import arguments

PARTS = {"retrieval": retrieval.run, "growth": growth.run}


def main() -> int:
    parser = arguments("Retrieval at scale: recall, bytes, growth.")
    parser.add_argument("--only", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    options = parser.parse_args()
    wanted = {name: part for name, part in PARTS.items() if name in (options.only or PARTS)}
    return report_parts(wanted, options.json, "Memory")


if __name__ == "__main__":
    sys.exit(main())
