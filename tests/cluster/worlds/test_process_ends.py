"""How a world in this process ends, or never begins."""

import tempfile
import threading
from pathlib import Path

import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.process import process_world
from tests.cluster.worlds.test_process import drawn


def threads_beyond(before: list[threading.Thread]) -> list[threading.Thread]:
    """Those that came since, after a moment for the last lines of those that are done."""
    new = [thread for thread in threading.enumerate() if thread not in before]
    for thread in new:
        thread.join(timeout=2)
    return [thread for thread in new if thread.is_alive()]


def test_it_leaves_no_thread_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # others make files meanwhile
    before = threading.enumerate()
    with process_world(drawn()) as world:
        world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        assert [thread for thread in threading.enumerate() if thread not in before]
        assert list(tmp_path.iterdir())
    assert threads_beyond(before) == []
    assert list(tmp_path.iterdir()) == []


def test_a_world_that_cannot_stand_raises_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = threading.enumerate()

    async def fails(self: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("cluster.worlds.seat.Seat.preload", fails)
    plan = drawn({"cluster.world": "process"}, "demo")
    with pytest.raises(RuntimeError, match="no"), process_world(plan):
        raise AssertionError("it stood")
    assert threads_beyond(before) == []


def test_weights_beyond_this_machine_are_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise MemoryError

    for what, changes in (("open_whole", {}), ("open_experts", {"cluster.emulation": True})):
        with monkeypatch.context() as full:
            full.setattr(f"workers.model.factory.{what}", no_room)
            told = r"model.path: perfuse-tiny has 5 MB of weights in fp32 \(exact\)"
            with pytest.raises(ValueError, match=told), process_world(drawn(changes)):
                raise AssertionError("it stood")
