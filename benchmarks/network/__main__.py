"""Interconnect and parallelism: `make bench-network`, one table.

What is expected of each part is said where it is done.
"""

import sys

from benchmarks.network import (
    collectives,
    deepseek,
    digests,
    ep_bound,
    incast,
    models,
    parallel,
    replicas,
    sharing,
    wire_speed,
)
from benchmarks.parts import report_parts
from benchmarks.rows import arguments

PARTS = {
    "collectives": collectives.rows,
    "models": models.rows,
    "replicas": replicas.rows,
    "sharing": sharing.rows,
    "incast": incast.rows,
    "wire_speed": wire_speed.rows,
    "ep_bound": ep_bound.run,
    "digests": digests.run,
    "deepseek": deepseek.run,
    "parallel": parallel.rows,
}


def main() -> int:
    parser = arguments("Links, incast, collectives, models, digests, ranks, replicas.")
    parser.add_argument("--only", nargs="*", metavar="PART", choices=PARTS, help="of these parts")
    chosen = parser.parse_args()
    wanted = {name: part for name, part in PARTS.items() if name in (chosen.only or PARTS)}
    return report_parts(wanted, chosen.json, "Network")


if __name__ == "__main__":
    sys.exit(main())
