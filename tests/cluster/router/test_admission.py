"""Who is refused at the door because of the name: whoever has it, as a request or as a sequence."""

from types import SimpleNamespace
from typing import Any

import pytest

from cluster.router.admission import check_admission
from tests.cluster.router.machine.requests import APART, asked, machine
from tests.cluster.router.machine.told import kinds, prepared, restarted, running, submitted
from workers.errors import InvalidRequest, QueueFull

# All of the settings that a door looks at.
SETTINGS: Any = SimpleNamespace(model="m", max_queue=2, has_values=True)


def test_a_name_is_taken_from_submission_to_the_end() -> None:
    """Before it is placed, there is a request and no sequence of that name."""
    one = machine(APART)
    check_admission(one.state, SETTINGS, asked("r"))
    one.apply(submitted("r"))
    assert "r" in one.state.requests and not one.state.sequences
    with pytest.raises(InvalidRequest, match="'r' is in use"):
        check_admission(one.state, SETTINGS, asked("r"))
    check_admission(one.state, SETTINGS, asked("other"))
    assert kinds(one.apply(prepared("r")))[-1] == "Reserve"
    with pytest.raises(InvalidRequest, match="'r' is in use"):
        check_admission(one.state, SETTINGS, asked("r"))


def test_the_name_of_somebody_s_sequence_is_taken_too() -> None:
    """r goes on as r~1 after a restart: a request of that name would be taken for it."""
    one = machine(APART)
    running(one, "r")
    one.apply(restarted(one))
    assert list(one.state.sequences) == ["r~1"] and list(one.state.requests) == ["r"]
    with pytest.raises(InvalidRequest, match="'r~1' is in use"):
        check_admission(one.state, SETTINGS, asked("r~1"))


def test_a_queue_is_full_at_its_limit_and_not_before() -> None:
    """Room for two."""
    one = machine(APART)
    for name in ("a", "b"):
        check_admission(one.state, SETTINGS, asked(name))
        one.apply(submitted(name))
    with pytest.raises(QueueFull, match="2 requests"):
        check_admission(one.state, SETTINGS, asked("c"))
