"""The benchmark of round trips measures what really comes back, and its bars are what it says."""

import asyncio

import pytest

from benchmarks.wires import round_trip
from tests.workers.wire.transport.wires import NEEDS_SHM, NEEDS_UCX
from workers.wire.transport.frame import frame_length


def test_a_frame_has_the_size_that_is_said() -> None:
    frame = round_trip.frame_of(round_trip.BYTES)
    assert frame_length(frame, 0) == len(frame) == 4096


@pytest.mark.parametrize(("ucx_us", "holds"), [(25, True), (50, True), (51, False)])
def test_ucx_may_take_an_eighth_of_grpc(ucx_us: int, holds: bool) -> None:
    found = {"grpc": ([400_000] * 3, 9_000), "ucx": ([ucx_us * 1_000] * 3, 3_000)}
    *ways, share = round_trip.rows_of(found, "no load")
    assert [row.value for row in ways] == [400.0, float(ucx_us)]
    assert (share.holds, share.bar) == (holds, "<= 1/8")
    assert "CPU 3 us" in ways[0].evidence


@pytest.mark.parametrize(("shm_us", "holds"), [(33, True), (34, False)])
def test_shared_memory_may_take_a_third_of_ucx(shm_us: int, holds: bool) -> None:
    found = {"ucx_shared": ([100_000] * 3, 0), "shm_native": ([shm_us * 1_000] * 3, 0)}
    *_, share = round_trip.rows_of(found, "no load")
    assert (share.value, share.holds, share.bar) == (shm_us / 100, holds, "<= 1/3")


@pytest.mark.live
@pytest.mark.parametrize(
    "way",
    [
        "grpc_tls",
        "grpc_unix",
        pytest.param("ucx_shared", marks=NEEDS_UCX),
        pytest.param("ucx_native", marks=NEEDS_UCX),
        pytest.param("shm", marks=NEEDS_SHM),
        pytest.param("shm_native", marks=NEEDS_SHM),
    ],
)
def test_each_way_is_measured_in_two_processes(way: str) -> None:
    found = asyncio.run(round_trip.measure([way], num_blocks=2, block=5))
    times, cpu_ns = found[way]
    assert len(times) == 10 and min(times) > 0 and cpu_ns >= 0
