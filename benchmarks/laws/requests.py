"""The six laws under adversarial scenarios: late, doubled and reordered calls of every kind, links
between every two nodes cut at every point of life, for a while or for good, readers that leave,
nodes that die.

    python -m benchmarks.laws --only requests
    python -m benchmarks.laws.requests 17        # one scenario, by its seed
"""

import sys
from collections.abc import Iterator

from benchmarks.laws._adversary import Adversary, adversaries, adversary
from benchmarks.laws._trial import run_trial
from benchmarks.rows import Row

NUM_SCENARIOS = 300
# Every so many scenarios, one is run again: the same seed gives the same trace.
AGAIN_EVERY = 5


def broken_laws(trial: Adversary, *, again: bool) -> list[str]:
    """What the scenario broke, a line each."""
    try:
        result = run_trial(trial)
        if again and run_trial(trial).trace_hash != result.trace_hash:
            result.broken.append("same: another run gave another trace")
    except Exception as error:  # a bug anywhere: it is shown with the scenario that found it
        return [f"failed: {type(error).__name__}: {error}"]
    return result.broken


def rows(seed: int) -> Iterator[Row]:
    count, held, first = 0, 0, ""
    for trial in adversaries(seed, NUM_SCENARIOS):
        count += 1
        broken = broken_laws(trial, again=count % AGAIN_EVERY == 0)
        held += not broken
        if broken:
            print(f"{trial}\n    " + "\n    ".join(broken), file=sys.stderr)
            first = first or f", first broken by seed {trial.seed}"
    yield Row(
        "adversarial scenarios in which all laws hold",
        held,
        f"of {count}",
        f"{NUM_SCENARIOS}",
        held == NUM_SCENARIOS,
        f"measured: virtual world, seeds from {1_000 * seed}{first}",
    )


if __name__ == "__main__":
    for number in map(int, sys.argv[1:]):
        one = adversary(number)
        print(one, *broken_laws(one, again=True), sep="\n    ")
