"""Machines that are no cluster, by name."""

from dataclasses import replace
from typing import Any

import pytest

from cluster.own_packages import ROOT
from cluster.worlds.machines import probe
from cluster.worlds.machines.report import MachineReport, far_wire, report_problems
from configs.schema import load_scenario

ONE = MachineReport(
    node_id="1" * 8, host="h1", address="10.0.0.1", source="s", isa="avx512",
    why="", ucx=True, lacks=(), prefix="/opt/venv",
)  # fmt: skip
TWO = replace(ONE, node_id="2" * 8, host="h2", address="10.0.0.2")


def refused(*reports: MachineReport, **changes: Any) -> list[str]:
    keys = {f"cluster.{key.replace('__', '.')}": value for key, value in changes.items()}
    cluster = load_scenario("demo", {"cluster.world": "ray", **keys}).cluster
    return report_problems(cluster, "s", reports)


def test_two_alike_are_a_cluster() -> None:
    assert refused(ONE, TWO) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"lacks": ("numpy", "grpc")}, "h2 (10.0.0.2): lacks numpy, grpc: pip install perfuse"),
        ({"source": "older"}, "h2 (10.0.0.2): has another Perfuse than this command, or none"),
        ({"source": ""}, "h2 (10.0.0.2): has another Perfuse than this command, or none"),
        (
            {"isa": "avx2"},
            "machines compute with different instruction sets, and so not the same to the last "
            "bit: avx512 on h1 (10.0.0.1); avx2 on h2 (10.0.0.2): set PERFUSE_ISA",
        ),
        (
            {"isa": "reference", "why": "not built"},
            "h2 (10.0.0.2): its native kernels are not built: run",
        ),
        ({"isa": "", "why": "ImportError: x"}, "h2 (10.0.0.2): its native kernels are ImportError"),
    ],
)
def test_one_that_differs_is_named(other: dict[str, Any], said: str) -> None:
    (problem,) = refused(ONE, replace(TWO, **other))
    assert problem.startswith(said)


def test_reference_kernels_on_all_are_as_good_as_any() -> None:
    why = "left aside: PERFUSE_ISA=reference"
    assert refused(*(replace(one, isa="reference", why=why) for one in (ONE, TWO))) == []


def test_a_wire_that_cannot_be_had_there_is_named_once() -> None:
    without = replace(TWO, ucx=False)
    (problem,) = refused(ONE, without, transport="ucx")
    assert problem.startswith("cluster.transport: is 'ucx', which is not installed on h2")
    (problem,) = refused(ONE, without, nodes__decode__transport="ucx")
    assert problem.startswith("cluster.nodes.decode.transport: is 'ucx', which is not installed")
    (problem,) = refused(ONE, TWO, transport="shm")
    assert problem.startswith("cluster.transport: is 'shm', which reaches no other machine")
    assert refused(ONE, transport="shm") == [], "all of it on one machine"
    assert refused(ONE, without, transport="auto") == []


def test_between_machines_it_is_ucx_where_all_have_it() -> None:
    assert far_wire([ONE, TWO], has_certificates=False) == "ucx"
    assert far_wire([ONE, replace(TWO, ucx=False)], has_certificates=False) == "grpc"
    assert far_wire([ONE, TWO], has_certificates=True) == "grpc"


def test_a_release_has_one_digest() -> None:
    """Whatever else lies there; another line of Python is another release."""
    assert probe.digest(ROOT) == probe.digest(ROOT) != ""


def test_another_line_of_python_is_another_release(tmp_path) -> None:
    for name in probe.PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    first = probe.digest(tmp_path)
    (tmp_path / "cluster" / "notes.txt").write_text("no code")
    assert probe.digest(tmp_path) == first
    (tmp_path / "cluster" / "__init__.py").write_text("x = 1\n")
    assert probe.digest(tmp_path) != first
