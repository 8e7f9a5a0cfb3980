"""The benchmark of decode over each wire says by how much, and whether it is enough."""

import pytest

from benchmarks.wires.decode import row


@pytest.mark.parametrize(("per_s", "holds"), [(299, False), (300, True)])
def test_shared_memory_shall_give_three_times_the_tokens(per_s: float, holds: bool) -> None:
    grpc = [{"tokens_per_s": rate, "cpu_ms": 5.0} for rate in (90, 100, 250)]
    shm = [{"tokens_per_s": rate, "cpu_ms": 1.25} for rate in (per_s, 1, 900)]
    found = row("shm", shm, grpc)
    assert (found.value, found.holds) == (per_s / 100, holds)
    assert "1.25 ms of processor time a token" in found.evidence
    assert row("ucx", grpc, grpc).holds, "only shared memory has a bar"
