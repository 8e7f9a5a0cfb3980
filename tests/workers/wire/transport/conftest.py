"""Scenarios of several nodes, on every wire there is."""

import asyncio

import pytest

from tests.workers.wire.transport.wires import FRAMED, KINDS, TIMEOUT_S, Run, Scenario, Wires


def _runner(kind: str) -> Run:
    async def alone(scenario: Scenario) -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires(kind) as wires:
            await scenario(wires)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:  # gRPC's own task of a call that failed ends after the call, of itself
            _, left = await asyncio.wait(left, timeout=1)
        assert not left, f"closing left {left}"

    def run(scenario: Scenario) -> None:
        asyncio.run(alone(scenario))

    return run


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a scenario on fresh wires of each kind, and checks that closing leaves no task."""
    return _runner(request.param)


@pytest.fixture(params=FRAMED)
def run_framed(request: pytest.FixtureRequest) -> Run:
    """The same on each kind that moves frames between processes."""
    return _runner(request.param)
