"""Which wire a cluster gets, by what is installed."""

import pytest

from configs.plan import make_plan
from configs.schema import ScenarioError, load_scenario
from configs.schema.wires import shm_hindrance
from kernels.ring import hindrance
from tests.configs.test_plan import TINY, problems

NATIVE = "kernels.native._lib"


def only(monkeypatch: pytest.MonkeyPatch, *installed: str) -> None:
    monkeypatch.delenv("PERFUSE_ISA", raising=False)
    monkeypatch.setattr("configs.schema.wires.sys.platform", "linux")
    found = {name: object() for name in installed}
    monkeypatch.setattr("configs.schema.wires.find_spec", found.get)


def test_ucx_is_refused_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    (found,) = problems({"cluster.world": "local", "cluster.transport": "ucx"})
    assert "is 'ucx', which is not installed here: pip install" in found


def test_shared_memory_is_refused_where_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with what is missing."""
    chosen = {"cluster.world": "local", "cluster.transport": "shm"}
    only(monkeypatch, NATIVE)
    make_plan(load_scenario("demo", chosen), TINY)  # raises nothing
    monkeypatch.setenv("PERFUSE_ISA", "reference")
    assert "is 'shm', which needs the native library, which PERFUSE_ISA" in problems(chosen)[0]
    only(monkeypatch, "ucxx")
    assert "needs the native library: run `python -m kernels.native.build`" in problems(chosen)[0]
    monkeypatch.setattr("configs.schema.wires.sys.platform", "darwin")
    assert "is 'shm', which needs Linux: this is darwin; or use 'ucx'" in problems(chosen)[0]


def test_the_wire_itself_and_the_plan_agree_on_what_is_missing() -> None:
    assert bool(shm_hindrance()) == bool(hindrance())


def test_auto_takes_the_fastest_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = load_scenario("demo", {"cluster.world": "local", "cluster.transport": "auto"}).cluster
    for installed, taken in (((NATIVE, "ucxx"), "shm"), (("ucxx",), "ucx"), ((), "grpc")):
        only(monkeypatch, *installed)
        assert cluster.frames_by == taken
    assert load_scenario("demo", {"cluster.transport": "auto"}).cluster.frames_by == "memory"


def test_who_chooses_none_has_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, NATIVE, "ucxx")
    assert load_scenario("demo", {"cluster.world": "local"}).cluster.frames_by == "shm"


MIXED = {
    "cluster.world": "local",
    "cluster.nodes.gateway.transport": "grpc",
    "cluster.nodes.decode.transport": "shm",
    "cluster.nodes.experts.transport": "shm",
    "cluster.nodes.hbf.transport": "ucx",
}


def test_two_nodes_take_the_wire_that_reaches_further(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, NATIVE, "ucxx")
    cluster = load_scenario("demo", {**MIXED, "cluster.transport": "auto"}).cluster
    decode = cluster.wires_of("decode-0")
    assert "decode-0" not in decode and len(decode) == 10
    assert {name: decode[name] for name in ("gateway", "router", "experts-3", "hbf-0")} == {
        "gateway": "grpc", "router": "shm", "experts-3": "shm", "hbf-0": "ucx",
    }  # fmt: skip
    assert cluster.wires == ["grpc", "shm", "ucx"]
    assert set(cluster.wires_of("gateway").values()) == {"grpc"}
    for one in (*decode, "decode-0"):
        for other, wire in cluster.wires_of(one).items():
            assert cluster.wires_of(other)[one] == wire, "both ends take the same"
    with pytest.raises(ValueError, match="is 'decode-9': the cluster has router, gateway"):
        cluster.wires_of("decode-9")


def test_a_group_s_wire_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, NATIVE)
    (found,) = problems(MIXED)
    assert found.startswith("cluster.nodes.hbf.transport: is 'ucx', which is not installed here")
    assert "or use 'shm', 'grpc' or 'auto'" in found
    make_plan(load_scenario("demo", {**MIXED, "cluster.world": "virtual"}), TINY)


def test_a_group_takes_no_wire_that_is_none() -> None:
    with pytest.raises(ScenarioError, match=r"nodes.decode.transport.*'memory'"):
        load_scenario("demo", {"cluster.nodes.decode.transport": "memory"})
