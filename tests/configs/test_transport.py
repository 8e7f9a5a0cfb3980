"""Which wire a cluster gets, by what is installed."""

import pytest

from configs.schema import load_scenario
from tests.configs.test_plan import problems


def test_ucx_is_refused_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("configs.schema.cluster.find_spec", lambda name: None)
    (found,) = problems({"cluster.world": "local", "cluster.transport": "ucx"})
    assert "is 'ucx', which is not installed here: pip install" in found


def test_auto_takes_ucx_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = load_scenario("demo", {"cluster.world": "local", "cluster.transport": "auto"}).cluster
    for found, taken in ((object(), "ucx"), (None, "grpc")):
        monkeypatch.setattr("configs.schema.cluster.find_spec", lambda name, found=found: found)
        assert cluster.frames_by == taken
    assert load_scenario("demo", {"cluster.transport": "auto"}).cluster.frames_by == "memory"
