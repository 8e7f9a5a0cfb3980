"""Every kernel test runs on every instruction set of the machine, and on the reference."""

import os
from collections.abc import Iterator

import numpy as np
import pytest

from kernels import (
    attention,
    bandwidth,
    codec,
    decoder,
    exchange,
    linear,
    mla,
    moe,
    native,
    sampling,
    scan,
)

OPS = (attention, bandwidth, codec, decoder, exchange, linear, mla, moe, sampling, scan)


@pytest.fixture(params=[*native.isas(), native.REFERENCE])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Forces an instruction set, or leaves the library aside, for one test."""
    if request.param == native.REFERENCE:
        for op in OPS:
            monkeypatch.setattr(op, "lib", None)
        yield request.param
        return
    before = native.lib.isa()
    native.force(request.param)
    yield request.param
    native.force(before)


@pytest.fixture(params=native.isas())
def native_isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """The same without the reference."""
    before = native.lib.isa()
    native.force(request.param)
    yield request.param
    native.force(before)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Fresh data each time; the seed is in the report of a test that fails."""
    seed = int.from_bytes(os.urandom(8), "little")
    request.node.add_report_section("setup", "seed", f"np.random.default_rng({seed})")
    return np.random.default_rng(seed)
