"""The part `rolling`: every process of a local cluster restarts while eight clients read.

Expected before the first run: no request fails, every stream is the reference's, and each node but
the gateway is another incarnation at the end; some requests wait at the gateway for as long as a
process takes to start, some seconds each.
"""

from collections.abc import Iterable

from benchmarks.chaos.local import CLUSTER, EVIDENCE
from benchmarks.chaos.streams import STREAMS, Tally, asking
from benchmarks.rows import Row
from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import local_world
from cluster.worlds.rolling import to_restart
from configs.schema import load_scenario

FIRST, NEXT = 1, 2  # incarnations


def rows() -> Iterable[Row]:
    tally = Tally()
    with local_world(Blueprint.draw(load_scenario("demo", CLUSTER))) as world:
        url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        with asking(lambda: url, tally, seed=1):
            world.restart_each(lambda step: None)
        again = to_restart(world.blueprint)
        epochs = {member.node: member.epoch for member in world.members}
    num_new = sum(epochs.get(node) == NEXT for node in again)
    where = f"{EVIDENCE}, {STREAMS} streams, {tally.num_begun} requests"
    longest = f"{max(tally.lasted_s, default=0):.1f} s at most"
    yield Row(
        "nodes that restarted", num_new, f"of {len(again)}", "all", num_new == len(again), where
    )
    failed = tally.num_begun - tally.num_finished
    codes = ", ".join(tally.errors) or f"each took {longest}"
    yield Row(
        "failed requests", failed, "", "0", not failed and tally.num_begun > 0, f"{where}; {codes}"
    )
    yield Row("not the reference's", len(tally.wrong), "", "0", not tally.wrong, where)
