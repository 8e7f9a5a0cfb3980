"""The cluster on three hosts of this machine: `make bench-ray`, one table.

Hosts are network namespaces on one switch, with a Ray node each; two of them have clocks that are
3 s off and run 200 ppm fast and slow. What is expected of each part is said where it is done.
"""

import sys

from benchmarks.parts import report_parts
from benchmarks.ray import clocks, exact, failures, networked, paced, scaling, standing
from benchmarks.ray.hosts import hindrance
from benchmarks.ray.ray_hosts import ray_hosts
from benchmarks.rows import arguments

SKEWS = {1: "3 s, 200 ppm", 2: "-3 s, -200 ppm"}


def main() -> int:
    parser = arguments("The cluster on three hosts: tokens, times, clocks, failures.")
    parser.add_argument("--minutes", type=float, default=10.0, help="for which clocks are watched")
    parser.add_argument("--only", nargs="*", metavar="PART", help="of standing, exact, ...")
    chosen = parser.parse_args()
    if why := hindrance():
        print(f"no hosts can be made here: {why}", file=sys.stderr)
        return 1
    with ray_hosts(3, SKEWS) as ray:
        parts = {
            "standing": lambda: standing.run(ray),
            "exact": lambda: exact.run(ray),
            "failures": lambda: failures.run(ray),
            "scaling": lambda: scaling.run(ray),
            "paced": lambda: paced.run(ray),
            "networked": lambda: networked.run(ray),
            "clocks": lambda: clocks.run(ray, chosen.minutes),
        }
        wanted = {name: part for name, part in parts.items() if name in (chosen.only or parts)}
        return report_parts(wanted, chosen.json, "Three hosts")


if __name__ == "__main__":
    sys.exit(main())
