"""Interconnect and parallelism: `make bench-network`, one table.

What is expected of each part is said where it is done.
"""

import sys

from benchmarks.network import (
    collectives,
    deepseek,
    digests,
    ep_bound,
    fold,
    fold_engine,
    in_network,
    incast,
    live,
    models,
    parallel,
    replicas,
    sharing,
    standby,
    wire_speed,
)
from benchmarks.parts import chosen_parts

PARTS = {
    "collectives": collectives.rows,
    "models": models.rows,
    "replicas": replicas.rows,
    "sharing": sharing.rows,
    "incast": incast.rows,
    "in_network": in_network.rows,
    "standby": standby.rows,
    "wire_speed": wire_speed.rows,
    "ep_bound": ep_bound.run,
    "digests": digests.run,
    "deepseek": deepseek.run,
    "fold_engine": fold_engine.run,
    "fold": fold.run,
    "parallel": parallel.rows,
    "live": live.rows,
}

TOLD = "Links, incast, collectives, switches, spares, models, digests, folds, ranks, copies, live."


if __name__ == "__main__":
    sys.exit(chosen_parts(PARTS, TOLD, "Network"))
