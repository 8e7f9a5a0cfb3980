"""How the lowest dilation is found."""

from typing import Any

import pytest

from benchmarks.rows import Row
from benchmarks.wires import dilation
from cluster.worlds.blueprint import Blueprint


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Dilations that were run; all hold from 1,500 on."""
    asked: list[float] = []

    def run_live(blueprint: Blueprint) -> tuple[list[Any], list[Any]]:
        asked.append(blueprint.scenario.cluster.dilation)
        return [], []

    def beside(_: Any, __: Any, ___: Any, at: float) -> list[Row]:
        row = Row("TTFT", 100.0 * (at < 1_500), "%", "within 15 %", at >= 1_500, "measured: here")
        return [row] * 4

    monkeypatch.setattr(dilation, "run_live", run_live)
    monkeypatch.setattr(dilation, "beside", beside)
    return asked


def test_a_ladder_is_halved_until_the_lowest_rung_that_holds(tried: list[float]) -> None:
    way = dilation.Descent("grpc")
    while not way.is_done:
        way.step([])
    assert way.lowest == 2_000
    assert len(tried) <= 4 and set(tried) >= {1_400, 2_000}
    assert any(told.startswith("1,400 does not (TTFT +100.0 %") for told in way.told)


def test_bars_are_of_shared_memory_and_beside_grpc() -> None:
    ways = [dilation.Descent("grpc"), dilation.Descent("shm")]
    ways[0]._held, ways[1]._held = 6, 4
    grpc, shm, ratio = dilation.rows(ways)
    assert (grpc.value, shm.value, ratio.value) == (4_000, 2_000, 0.5)
    assert grpc.holds and shm.holds and ratio.holds
    ways[1]._held = 6
    _, shm, ratio = dilation.rows(ways)
    assert not shm.holds and not ratio.holds
    ways[1]._held = len(dilation.LADDER)
    _, shm = dilation.rows(ways)
    assert shm.value == "none" and not shm.holds
