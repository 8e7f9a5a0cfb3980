"""What a user sends holds no event loop, and a cluster that ends lets its streams end.

Each live world serves the demo without emulation. One client reads streams; another one sends all
that fills the gateway's limits (`_loops_client.py`). Then the world is stopped under 16 streams.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.laws._loops_client import NUM_STREAMS
from benchmarks.rows import Row
from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.choice import live_world
from cluster.worlds.live import LiveWorld
from configs.schema import load_scenario

CLIENT = (sys.executable, "-m", "benchmarks.laws._loops_client")
SMALL = {
    "cluster.emulation": False,
    "cluster.dilation": 1,
    "cluster.nodes.experts.count": 1,
    "cluster.nodes.decode.count": 1,
}
USUAL_S = 4.0
CALLBACK_MS, BEYOND_MS, GAP_MS = 50.0, 50.0, 250.0
EVIDENCE = "measured: one run"


def rows(seed: int) -> Iterator[Row]:
    for name in ("process", "local"):
        yield from _world(name, seed)


def _world(name: str, seed: int) -> Iterator[Row]:
    changes = {**SMALL, "cluster.world": name, "seed": seed}
    with live_world(Blueprint.draw(load_scenario("demo", changes))) as world:
        url: str = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        usual_ms = _gaps_ms(url, None)
        _watch(world)
        attacked_ms = _gaps_ms(url, [*CLIENT, "attack", url])
        took_ms, what = _longest_callback(world)
        streams = subprocess.Popen([*CLIENT, "streams", url], stdout=subprocess.PIPE, text=True)
        assert streams.stdout is not None
        assert streams.stdout.readline() == "begun\n", "the streams did not begin"
        begun_s = time.monotonic()
    took_s = time.monotonic() - begun_s
    whole = sum(json.loads(streams.communicate()[0]))
    yield Row(
        f"{name}: longest callback, processor time ({what})",
        took_ms, "ms", f"< {CALLBACK_MS:g} ms", took_ms < CALLBACK_MS, EVIDENCE,
    )  # fmt: skip
    beyond_ms = _p999(attacked_ms) - _p999(usual_ms)
    yield Row(
        f"{name}: another client's gap, p99.9 beyond the usual {_p999(usual_ms):.0f} ms",
        beyond_ms, "ms", f"< {BEYOND_MS:g} ms", beyond_ms < BEYOND_MS, EVIDENCE,
    )  # fmt: skip
    yield Row(
        f"{name}: another client's longest gap of {len(attacked_ms):,}",
        max(attacked_ms), "ms", f"< {GAP_MS:g} ms", max(attacked_ms) < GAP_MS, EVIDENCE,
    )  # fmt: skip
    yield Row(
        f"{name}: streams that end whole when it ends, in {took_s:.1f} s",
        float(whole), f"of {NUM_STREAMS}", "all", whole == NUM_STREAMS, EVIDENCE,
    )  # fmt: skip


def _gaps_ms(url: str, beside: Sequence[str] | None) -> list[float]:
    """Of one client's streams, while that command runs, or for a while."""
    reader = subprocess.Popen(
        [*CLIENT, "read", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if beside is None:
        time.sleep(USUAL_S)
    else:
        subprocess.run(beside, check=True, stdout=subprocess.DEVNULL)
    return [1e3 * gap for gap in json.loads(reader.communicate("")[0])]


def _p999(gaps_ms: Sequence[float]) -> float:
    return sorted(gaps_ms)[int(len(gaps_ms) * 0.999)]


def _watched(world: LiveWorld) -> list[str]:
    """A node of each process."""
    names = [node.name for node in world.blueprint.plan.nodes]
    return names[:1] if world.blueprint.scenario.cluster.world == "process" else names


def _watch(world: LiveWorld) -> None:
    for node in _watched(world):
        world.ask(node, "watch")


def _longest_callback(world: LiveWorld) -> tuple[float, str]:
    found = [one for node in _watched(world) for one in world.ask(node, "longest_callbacks")]
    took_ns, what = max(found)
    return took_ns / 1e6, what
