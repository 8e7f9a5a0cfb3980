"""Every event and every part of the state comes back as it was written."""

from dataclasses import fields

import pytest

from cluster.api.output import Output, TokenLogprob
from cluster.api.request import Retrieval
from cluster.router.journal.codec import decode, encode
from cluster.router.machine import events as of
from cluster.router.machine.actions import Said
from cluster.router.machine.sampled import Logprob, SampledToken
from cluster.router.machine.scaling_events import (
    ChipAdded,
    ChipDrainBegan,
    ChipDrainEnded,
    ChipRemoved,
)
from cluster.router.machine.state import Outbox
from tests.cluster.router.machine.requests import asked, fresh, request_state

WANTED = asked(
    "r\u00e9\u20ac\U0001f600",
    prompt=None,
    messages=({"role": "user", "content": 'a "b"\n\u2028'},),
    retrieval=Retrieval("cards", 3),
    seed=2**63 - 1,
    temperature=0.1 + 0.2,
    stop=("\u20ac", "x"),
    stop_token_ids=(1, 2),
    logprobs=0,
)
TOKEN = SampledToken(
    "r~1", "both", 3, 65, 16, "length", {"queue": 2**60},
    Logprob(-1e-300, ((1, -0.25), (2, float("-inf")))), bytes(range(256)),
)  # fmt: skip


@pytest.mark.parametrize(
    "event",
    [
        of.RequestSubmitted(2**62, WANTED, 1, "gateway", 7),
        of.RequestSubmitted(0, asked("r", prompt=None, prompt_ids=(3, 4)), 1, "gateway", 7),
        of.PromptPrepared(1, "r", (5, 6), ("0f" * 16,)),
        of.RequestFailed(1, "r", {"code": "c", "message": "m", "facts": {"a": [1, None, {}]}}),
        of.TokensSampled(1, "d0", (TOKEN, SampledToken("s", "decode", 0, 1))),
        of.TokensSampled(1, "d0", ()),
        ChipAdded(1, "d2", "decode", 9, None),
        ChipAdded(1, "d2", "decode", 9, 1),
        ChipAdded(1, "d2", "decode", 9, 1, True),
        ChipDrainBegan(1, "d2"),
        ChipDrainEnded(1, "d2"),
        ChipRemoved(1, "d2"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_events_come_back(event: of.Event) -> None:
    again = decode(encode(event))
    assert again == event and type(again) is type(event)
    for field in fields(event):
        assert type(getattr(again, field.name)) is type(getattr(event, field.name))


def test_a_state_comes_back_with_all_its_parts() -> None:
    state, request = fresh(), request_state("r", retrieval=Retrieval("s"))
    request.stream.early.append(TOKEN)
    state.requests["r"] = request
    logprob = TokenLogprob(1, b"a", -0.5, ((2, b"\xff", -1.5),), False)
    fault = {"code": "x", "message": "y", "facts": {}}
    output = Output("r", 3, (65,), "A", (logprob,), "error", fault, 1, 2, 3, {"queue": 4}, ("p",))
    state.outboxes["gateway"] = Outbox(1, [Said(output), Said(output, b"\0\1")])
    state.aborts["d0"] = ["r"]
    again = decode(encode(state))
    assert again == state
    assert encode(again) == encode(state)


def test_what_json_cannot_hold_is_refused_before_anything_is_written() -> None:
    with pytest.raises(TypeError):
        encode(of.RequestSubmitted(0, asked("r", seed=2**70), 1, "gateway", 1))
    with pytest.raises(TypeError):
        encode(of.RequestSubmitted(0, asked("r", prompt="\ud800"), 1, "gateway", 1))
