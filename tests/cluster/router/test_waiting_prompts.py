"""What waits to be tokenised is bounded in characters; the same number of small prompts is not."""

from dataclasses import replace

import pytest

from cluster.api.request import Request
from cluster.router.admission import LARGE_CHARS, WAITING_CHARS_MAX, check_admission
from cluster.router.machine.stages import stages_of
from cluster.router.machine.state import RequestState, RouterState
from cluster.router.settings import RouterSettings
from workers.errors import QueueFull
from workers.model.sampling_params import SamplingParams

SETTINGS = RouterSettings("m", 512, 1024, 16, True, 64, 1)


def chat(name: str, chars: int) -> Request:
    message = {"role": "user", "content": "x" * chars}
    return Request(name, "m", SamplingParams(), messages=(message,))


def inside(*requests: Request, accepted: bool = False) -> RouterState:
    state = RouterState.fresh(16, [])
    for request in requests:
        known = RequestState(request, "gateway", 1, 1, stages_of(request), 0)
        state.requests[request.request_id] = replace(known, is_accepted=accepted)
    return state


def test_large_prompts_that_are_not_read_yet_keep_another_large_one_out() -> None:
    """Four of 4 Mi characters fill the 16 Mi."""
    quarter = WAITING_CHARS_MAX // 4
    four = [chat(f"r{i}", quarter) for i in range(4)]
    check_admission(inside(*four[:3]), SETTINGS, four[3])
    with pytest.raises(QueueFull, match=f"{WAITING_CHARS_MAX} characters"):
        check_admission(inside(*four), SETTINGS, chat("r9", LARGE_CHARS + 1))
    check_admission(inside(*four), SETTINGS, chat("r9", LARGE_CHARS))
    check_admission(inside(*four, accepted=True), SETTINGS, chat("r9", quarter))


def test_one_prompt_of_any_size_comes_in_alone() -> None:
    check_admission(inside(), SETTINGS, chat("r", WAITING_CHARS_MAX + 1))
