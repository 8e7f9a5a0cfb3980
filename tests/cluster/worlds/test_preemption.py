"""Under `placement.reserve: watermark` memory fills up: who finds no KV block preempts the newest,
which is computed again; and nobody's tokens change.
"""

import pytest

from benchmarks.laws._pressure import TOPOLOGIES, run_pressed, tokens_of, unpressed


@pytest.mark.parametrize(
    ("name", "seed"), [*((name, 0) for name in TOPOLOGIES), ("single", 1), ("demo", 1)]
)
def test_preempted_requests_give_the_tokens_of_a_run_with_room_for_all(
    name: str, seed: int
) -> None:
    run = run_pressed(name, {"seed": seed})
    assert tokens_of(run.answers) == unpressed(name, seed)
    assert run.preemptions > 0
    assert not any(run.held.values()), run.held
