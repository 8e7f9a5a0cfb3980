"""Is a virtual run the same in any process? `python -m benchmarks.hashseed [--json FILE]`.

The same scenario and seed, each time in a fresh process with another PYTHONHASHSEED: the trace hash
covers every message and every run with its emulated time, and the tokens are hashed beside it.
Another seed must give another hash, or the hash would say nothing.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from hashlib import blake2b

from benchmarks.rows import Row, arguments, report
from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario

HASH_SEEDS = ("0", "1", "4711", "random")
SCENARIOS = ("demo", "poisson")
# Its arrivals, prompts and sampling are drawn; the demo's questions are the same for all seeds.
SEEDED = "poisson"
TIMEOUT_S = 300


def digest(scenario: str, seed: int) -> str:
    """Trace hash of one run, in this process, and a hash of all its answers' tokens."""
    blueprint = Blueprint.draw(load_scenario(scenario, {"seed": seed}))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)

    async def job(world: VirtualWorld) -> str:
        answers = await Driver(world.gateway, world.client).run(workload)
        tokens = blake2b(repr([a.token_ids for a in answers]).encode(), digest_size=8)
        return f"{world.trace.digest()} tokens {tokens.hexdigest()}"

    return run_virtual(blueprint, job)


def digest_elsewhere(scenario: str, seed: int, hash_seed: str) -> str:
    """The same in a process of its own."""
    command = (sys.executable, "-m", "benchmarks.hashseed", "--digest", scenario, str(seed))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout.strip()


def same_row(scenario: str, hashes: Sequence[str]) -> Row:
    distinct = sorted(set(hashes))
    return Row(
        f"trace hash of {scenario}, same seed",
        "identical" if len(distinct) == 1 else f"{len(distinct)} different ones",
        "",
        "identical",
        len(distinct) == 1,
        f"measured: {len(hashes)} processes, PYTHONHASHSEED {', '.join(HASH_SEEDS)}; "
        f"{', '.join(distinct)}",
    )


def main() -> int:
    parser = arguments("Trace hash of virtual runs in processes with different hash seeds.")
    parser.add_argument("--digest", nargs=2, metavar=("SCENARIO", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.digest:
        print(digest(options.digest[0], int(options.digest[1])))
        return 0
    rows, seen = [], {}
    for scenario in SCENARIOS:
        hashes = [digest_elsewhere(scenario, 0, hash_seed) for hash_seed in HASH_SEEDS]
        seen[scenario] = hashes[0]
        rows.append(same_row(scenario, hashes))
    other = digest_elsewhere(SEEDED, 1, HASH_SEEDS[0])
    differs = other != seen[SEEDED]
    rows.append(
        Row(
            f"trace hash of {SEEDED}, another seed",
            "different" if differs else "identical",
            "",
            "different",
            differs,
            f"measured: seed 1 gives {other}",
        )
    )
    return report(rows, options.json, "Same run, same trace")


if __name__ == "__main__":
    sys.exit(main())
