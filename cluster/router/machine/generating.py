"""What chips say of the sequences that they compute."""

from collections.abc import Mapping

from cluster.router.machine.actions import Said
from cluster.router.machine.anew import EXPERTS_OF, OF_CHIPS, UNKNOWN, lost
from cluster.router.machine.chips import grown
from cluster.router.machine.ending import fail, leave
from cluster.router.machine.events import (
    AbortSettled,
    ImpossibleEvent,
    SequenceFailed,
    TokensSampled,
)
from cluster.router.machine.life import advance
from cluster.router.machine.room import first_token_sampled
from cluster.router.machine.sampled import SampledToken
from cluster.router.machine.state import RequestState
from cluster.router.machine.stream import contradicts, push
from cluster.router.machine.turn import Turn
from workers.errors import PerfuseError, to_body


def sampled(turn: Turn, event: TokensSampled) -> None:
    """Each token goes to its stream, all outputs for one reader leave together, then whoever ended
    is let go.
    """
    said: dict[tuple[str, int], list[Said]] = {}
    ended: list[RequestState] = []
    for token, request in _checked(turn, event):
        if contradicts(request, token):
            ended.append(request)
            continue
        _account(turn, request, event.chip, token)
        outputs = push(request, token, turn.texts)
        said.setdefault((request.reader, request.reader_epoch), []).extend(outputs)
        if request.stream.finish_reason:
            ended.append(request)
    for (reader, epoch), outputs in said.items():
        turn.say(reader, epoch, outputs)
    for request in ended:
        if request.stream.finish_reason:
            leave(turn, request)
        else:
            fail(turn, request, _contradiction(request))


def sequence_failed(turn: Turn, event: SequenceFailed) -> None:
    turn.check(event.chip in turn.state.chips, f"there is no chip {event.chip!r}")
    request = turn.state.request_of(event.sequence_id)
    if request is None:
        return
    facts = event.fault.get("facts") or {}
    if event.fault["code"] in (*OF_CHIPS, UNKNOWN) and EXPERTS_OF not in facts:
        lost(turn, request, event.fault, [event.chip])
    else:
        fail(turn, request, event.fault)


def abort_settled(turn: Turn, event: AbortSettled) -> None:
    aborts: Mapping[str, list[str]] = turn.state.aborts
    is_open = event.sequence_id in aborts.get(event.chip, ())
    turn.check(is_open, f"{event.chip} was not asked to abort {event.sequence_id}")
    turn.state.aborts[event.chip].remove(event.sequence_id)
    if not aborts[event.chip]:
        del turn.state.aborts[event.chip]


def _checked(turn: Turn, event: TokensSampled) -> list[tuple[SampledToken, RequestState]]:
    """Tokens with their requests, without those that ended here first: cancelled, stopped or out of
    time.
    """
    turn.check(event.chip in turn.state.chips, f"there is no chip {event.chip!r}")
    tokens: dict[str, tuple[SampledToken, RequestState]] = {}
    for token in event.tokens:
        name = token.sequence_id
        request = turn.state.request_of(name)
        if request is None:
            continue
        if token.position < 0 or name in tokens:
            raise ImpossibleEvent(f"{name} is sampled twice in one step, or before its first token")
        placement = request.placement
        if placement is None or event.chip not in (placement.prefill_chip, placement.decode_chip):
            raise ImpossibleEvent(f"{name} is not on {event.chip}")
        tokens[name] = token, request
    return list(tokens.values())


def _account(turn: Turn, request: RequestState, chip: str, token: SampledToken) -> None:
    """Times and whereabouts. What is told again, because the first answer was lost, counts once."""
    placement, prompt = request.placement, request.prompt
    assert placement is not None, f"{token.sequence_id} names a request that is placed"
    assert prompt is not None, f"{token.sequence_id} is placed, so its prompt is known"
    num_tokens = len(prompt.ids) + token.position + 1 + len(token.more)
    grown(turn.state.chips, placement, prompt, turn.state.blocks_for(num_tokens))
    if token.stage != "decode" and placement.is_prefilling:
        request.stream.num_cached = min(token.num_cached, len(prompt.ids))  # of its prompt
        first_token_sampled(turn, request)
        if token.stage == "prefill":
            _finished(request, chip, token)
        advance(turn, request)
    placement.is_handed_over |= token.stage == "decode"
    is_last = token.finish_reason and chip == placement.decode_chip
    if is_last and chip not in placement.finished_on:
        _finished(request, chip, token)


def _finished(request: RequestState, chip: str, token: SampledToken) -> None:
    assert request.placement is not None, f"{token.sequence_id} names a request that is placed"
    request.placement.finished_on.append(chip)
    for phase, duration_ns in (token.times_ns or {}).items():
        request.spend(phase, duration_ns)


def _contradiction(request: RequestState) -> Mapping[str, object]:
    """Streams repeat themselves after a restart; where arithmetic does not, honesty is left."""
    text = f"{request.request_id} was begun anew and did not repeat itself"
    return to_body(PerfuseError(text))
