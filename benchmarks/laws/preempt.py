"""Memory pressure: KV for a third of what is asked at once, under `placement.reserve: watermark`.

Tokens are those of a run with room for all, somebody is preempted, and nothing is held in the end.
"""

from collections.abc import Iterator, Mapping

from benchmarks.laws._pressure import (
    CONCURRENCY,
    NUM_REQUESTS,
    TOPOLOGIES,
    run_pressed,
    tokens_of,
    unpressed,
)
from benchmarks.rows import Row

NUM_SEEDS = 3
LIVE: Mapping[str, object] = {"cluster.emulation": False, "cluster.dilation": 1}
LIVE_RUNS = (("process", "single"), ("process", "demo"), ("local", "demo"))


def _row(world: str, name: str, seeds: range, changes: Mapping[str, object]) -> Row:
    """One for all seeds."""
    wrong, held, counts = 0, 0, []
    for seed in seeds:
        run = run_pressed(name, {**changes, "seed": seed})
        whole, found = unpressed(name, seed), tokens_of(run.answers)
        wrong += sum(found[request_id] != answer for request_id, answer in whole.items())
        held += sum(run.held.values())
        counts.append(run.preemptions)
    shown = f"{wrong} wrong, {held} held, {min(counts)} to {max(counts)} preempted"
    return Row(
        f"KV for a third of the load, {world}, {name}",
        shown,
        "",
        "0 wrong, 0 held, >= 1 preempted",
        not wrong and not held and min(counts) > 0,
        f"measured: {NUM_REQUESTS} requests, {CONCURRENCY} at once, of each of {len(seeds)} seeds; "
        "token by token beside a run with room for all, reserved in full",
    )


def rows(seed: int) -> Iterator[Row]:
    for name in TOPOLOGIES:
        yield _row("virtual", name, range(seed, seed + NUM_SEEDS), {})
    for world, name in LIVE_RUNS:
        changes = {**LIVE, "cluster.world": world}
        yield _row(world, name, range(seed, seed + 1), changes)
