"""Events as a test writes them down, and what it looks at in the actions that follow."""

from collections.abc import Sequence
from typing import Any

from cluster.router.machine import actions as act
from cluster.router.machine import events as of
from cluster.router.machine.sampled import SampledToken
from tests.cluster.router.machine.requests import asked

IDS = tuple(range(30))
HASHES = ("a" * 32,)
FAULT = {"code": "peer_dead", "message": "gone", "facts": {}}


def submitted(name: str, at_ns: int = 0, **fields: object) -> of.RequestSubmitted:
    return of.RequestSubmitted(at_ns, asked(name, **fields), 1_000, "gateway", 1)


def prepared(name: str, at_ns: int = 0, ids: Sequence[int] = IDS) -> of.PromptPrepared:
    return of.PromptPrepared(at_ns, name, tuple(ids), HASHES)


def restarted(one: Any, at_ns: int = 0, **others: int) -> of.RouterRestarted:
    """All chips live as they did, but for `others`: incarnations, 0 for none."""
    epochs = {name: chip.epoch for name, chip in one.state.chips.items()} | others
    return of.RouterRestarted(at_ns, {name: epoch for name, epoch in epochs.items() if epoch})


def sampled(chip: str, *tokens: SampledToken, at_ns: int = 0) -> of.TokensSampled:
    return of.TokensSampled(at_ns, chip, tokens)


def token(
    name: str, stage: str, position: int, token_id: int = 65, reason: str = ""
) -> SampledToken:
    times_ns = {"attention": 4} if reason else {"prefill": 3} if stage == "prefill" else None
    return SampledToken(name, stage, position, token_id, 16, reason, times_ns)


def kinds(actions: Sequence[act.Action]) -> list[str]:
    return [type(action).__name__ for action in actions]


def said_by(actions: Sequence[act.Action]) -> list[tuple[str, str]]:
    """(request id, error message) of each output."""
    said = [one for action in actions if isinstance(action, act.Say) for one in action.said]
    return [(one.output.request_id, (one.output.error or {}).get("message", "")) for one in said]


def placed(one: Any, *names: str) -> None:
    """Each waits for the answer to its reserve."""
    for name in names:
        one.apply(submitted(name))
        assert kinds(one.apply(prepared(name)))[-1] == "Reserve"


def running(one: Any, *names: str) -> None:
    """Each has room and its first token."""
    for name in names:
        placed(one, name)
        one.apply(of.RoomReserved(0, name, 0))
        chip = one.state.requests[name].placement.prefill_chip
        one.apply(sampled(chip, token(name, "prefill", 0)))
