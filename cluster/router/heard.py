"""What a router hears from chips, in the machine's own terms."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from cluster.router.machine.events import Fault
from cluster.router.machine.sampled import Logprob, SampledToken
from cluster.router.wire import plain_fault
from workers.wire.kinds.chip import Stretch, Tokens


def failures_of(told: Tokens, judged: Callable[[Fault], Fault]) -> list[tuple[str, Fault]]:
    """(sequence id, fault) of what a chip says to have failed, as the router judges it."""
    return [(name, judged(plain_fault(fault))) for name, fault in told.failed.items()]


def steps_of(told: Tokens) -> Iterator[list[SampledToken]]:
    """Tokens of one chip, a step at a time: a sequence has one of each."""
    step: dict[str, SampledToken] = {}
    for token in tokens_of(told):
        if token.sequence_id in step:
            yield list(step.values())
            step = {}
        step[token.sequence_id] = token
    yield list(step.values())


def stretches_of(told: Stretch) -> Iterator[SampledToken]:
    """Several tokens of each of a chip's sequences."""
    late_ns = tuple(told.late_ns)
    for name, stage, position, ids, cached in zip(
        told.requests, told.stages, told.position.tolist(), told.token.tolist(),
        told.cached.tolist(), strict=True,
    ):  # fmt: skip
        times_ns, why = told.times.get(name), told.finished.get(name, "")
        first, *more = ids
        yield SampledToken(
            name, stage, position, first, cached, why, times_ns, more=tuple(more), late_ns=late_ns
        )


def tokens_of(told: Tokens) -> Iterator[SampledToken]:
    """Tokens of one chip, in the order of its steps. A sequence ends with the last of its own."""
    last_rows = {name: row for row, name in enumerate(told.requests)}
    columns = told.position.tolist(), told.token.tolist(), told.cached.tolist()
    rows = zip(told.requests, told.stages, *columns, strict=True)
    for index, (name, stage, position, token, cached) in enumerate(rows):
        is_last = last_rows[name] == index
        times_ns, logits = told.times.get(name) if is_last else None, told.logits.get(str(index))
        yield SampledToken(
            sequence_id=name,
            stage=stage,
            position=position,
            token_id=token,
            num_cached=cached,
            finish_reason=told.finished.get(name, "") if is_last else "",
            times_ns=None if times_ns is None else dict(times_ns),
            logprob=_logprob(told.logprobs.get(str(index))),
            logits=b"" if logits is None else np.asarray(logits, "<f4").tobytes(),
            approximate=index in told.approximate,
        )


def _logprob(told: Mapping[str, Any] | None) -> Logprob | None:
    if told is None:
        return None
    return Logprob(float(told["logprob"]), tuple((int(i), float(p)) for i, p in told["top"]))
