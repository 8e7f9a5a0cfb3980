"""Ranks of the benchmark between namespaces run, and check what comes back."""

import pytest

from benchmarks.wires import ucx_all_to_all


@pytest.mark.live
@pytest.mark.parametrize("kind", ucx_all_to_all.KINDS)
def test_a_block_has_all_its_rounds(kind: str) -> None:
    if why := ucx_all_to_all.hindrance():
        pytest.skip(why)
    taken = ucx_all_to_all.block(kind, 20)
    assert len(taken) == 20
    assert all(0 < each < 60_000_000_000 for each in taken)


@pytest.mark.parametrize(("grpc_us", "holds"), [(300, True), (299, False)])
def test_grpc_takes_three_times_as_long(grpc_us: int, holds: bool) -> None:
    taken = {"ucx": [100_000] * 3, "grpc": [grpc_us * 1_000] * 3}
    ours, theirs, times = ucx_all_to_all.rows_of(taken, 0.5)
    assert (ours.value, theirs.value) == (100.0, float(grpc_us))
    assert (times.value, times.holds, times.bar) == (grpc_us / 100, holds, ">= 3")


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ucx_all_to_all, "hindrance", lambda: "needs root")
    (row,) = ucx_all_to_all.run()
    assert (row.value, row.evidence) == ("left out", "measured: not, needs root")
