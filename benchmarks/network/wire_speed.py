"""Envelopes a second of one core through a switch: links in order, and full max-min sharing.

A whole step of DeepSeek-V3's 58 MoE layers on 32 chips x 32 tokens and 32 shards, with uniform
routing by seed (`_step`): about 118,780 envelopes. Seconds are the core's (CPU time).

Reckoned: without a network the path takes 20 us an envelope (`bench-events`:
50,000/s). A network adds, in order, what a link's line takes twice: 5 us, so 40,000/s. Max-min: a
flow's join and its end cost 2 us each in calls, and solving: shares of a thousand flows over 64
links, of which an end changes some hundred; at 20 ns a visit and three rounds, 30 us: 18,000/s. In
Python a visit takes 1 us: 1,000/s. With 8 tokens for every shard all flows end at one instant, and
solving is free: 40,000/s.

What came out on two cores that twelve processes shared: 25,600/s in order, 19,300/s max-min,
35,400/s where all end at once, and 25,500/s without a network. On the same cores with less to do
four layers came at 40,100, 22,400 and 51,600/s, and at 3,000/s with the solver in Python: an end
changed 430 flows in three rounds there, not some hundred.
"""

from collections.abc import Iterator

from benchmarks.network import _step
from benchmarks.rows import Row
from kernels import paths as native

LAYERS = 58
BARS = {"fifo": 20_000, "fair": 8_000}
STRETCH = 20_000


def rows(layers: int = LAYERS) -> Iterator[Row]:
    solver = "native" if native.available else "Python"
    for sharing, bar in BARS.items():
        done = _step.in_a_child(layers=layers, sharing=sharing, routing="uniform", fabric=True)
        rate = done["events"] / done["cpu_s"]
        more = f" (stretch {STRETCH:,})" if sharing == "fair" else ""
        how = f", {solver} solver" if sharing == "fair" else ""
        yield Row(
            f"envelopes/s through one switch, {sharing} links{how}",
            rate,
            "envelopes/s",
            f">= {bar:,}{more}",
            rate >= bar,
            f"measured: {done['events']:,} envelopes of {layers} layers in {done['cpu_s']:.1f} s "
            f"of one core: {1 / done['cpu_s'] if layers == LAYERS else 0:.2f} steps/s",
        )
    for routing, fabric in (("even", True), ("uniform", False)):
        done = _step.in_a_child(
            layers=max(1, layers // 8), sharing="fair", routing=routing, fabric=fabric
        )
        what = "all of one size" if fabric else "without a network, links shared fairly"
        yield Row(
            f"envelopes/s, {what}",
            done["events"] / done["cpu_s"],
            "envelopes/s",
            "none: beside the others",
            True,
            f"measured: {done['events']:,} envelopes in {done['cpu_s']:.1f} s of one core",
        )
