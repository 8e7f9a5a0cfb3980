"""All that is measured of memory tiers: `python -m benchmarks.memory`, one table."""

import sys

from benchmarks.memory import flash
from benchmarks.parts import report_parts
from benchmarks.rows import arguments


def main() -> int:
    parts = {"flash": flash.run}
    parser = arguments("Memory tiers: flash with a file behind it.")
    parser.add_argument("--only", nargs="*", metavar="PART", choices=parts, help="of these parts")
    chosen = parser.parse_args()
    wanted = {name: part for name, part in parts.items() if name in (chosen.only or parts)}
    return report_parts(wanted, chosen.json, "Memory tiers")


if __name__ == "__main__":
    sys.exit(main())
