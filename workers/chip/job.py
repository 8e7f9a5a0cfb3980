"""One sequence on a chip, what it has cost, and what the router is told of a step."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.chip.sequence import Sequence as TokenSequence
from workers.errors import to_body
from workers.host.trace import Sampled
from workers.kv.handover import Handover
from workers.model.sampling import Choice
from workers.model.sampling_params import SamplingParams
from workers.wire.kinds.chip import Tokens


@dataclass(slots=True)
class Job:
    """One sequence on this chip and what it has cost so far.

    stage      "prefill" here and decode elsewhere, "decode" of KV that came, or "both" here
    times_ns   phase -> emulated nanoseconds
    """

    seq: TokenSequence
    sampling: SamplingParams
    stage: str
    since_ns: int
    handover: Handover | None = None
    task: "asyncio.Task[Any] | None" = None
    times_ns: dict[str, int] = field(default_factory=dict)

    def spend(self, phase: str, duration_ns: int) -> None:
        self.times_ns[phase] = self.times_ns.get(phase, 0) + duration_ns


def sampled_record(job: Job, chip: str, now_ns: int, choice: Choice) -> Sampled:
    """For the trace, so that its hash says whether two runs gave the same tokens."""
    return Sampled(now_ns, chip, job.seq.seq_id, job.seq.num_outputs - 1, choice.token_id)


def finish_reason(job: Job, choice: Choice, eos: tuple[int, ...], at_end: bool) -> str:
    """`stop` on an end token, `length` at max_tokens or the end of the context, "" while it goes
    on.
    """
    params = job.sampling
    if choice.token_id in params.stop_token_ids:
        return "stop"
    if choice.token_id in eos and not params.ignore_eos:
        return "stop"
    if job.stage == "prefill":
        return "length" if params.max_tokens == 1 else ""
    return "length" if at_end else ""


def tokens_report(
    sampled: Sequence[tuple[Job, Choice]],
    finished: Mapping[str, str],
    logits: Mapping[str, NDArray[np.float32]],
) -> Tokens:
    """What a step sampled; `finished`: sequence -> why it ended."""
    jobs = [job for job, _ in sampled]
    told = [job for job in jobs if job.stage == "prefill" or job.seq.seq_id in finished]
    return Tokens(
        requests=tuple(job.seq.seq_id for job in jobs),
        stages=tuple(job.stage for job in jobs),
        position=np.array([job.seq.num_outputs - 1 for job in jobs], dtype=np.int64),
        token=np.array([choice.token_id for _, choice in sampled], dtype=np.int64),
        cached=np.array([job.seq.num_cached for job in jobs], dtype=np.int64),
        finished=finished,
        failed={},
        logprobs={
            job.seq.seq_id: {"logprob": choice.logprob, "top": choice.top}
            for job, choice in sampled
            if job.sampling.logprobs is not None
        },
        times={job.seq.seq_id: dict(job.times_ns) for job in told},
        logits={
            job.seq.seq_id: logits[job.seq.seq_id] for job in jobs if job.sampling.return_logits
        },
    )


def failure_report(seq_id: str, error: Exception) -> Tokens:
    """A sequence cannot go on."""
    none = np.zeros(0, dtype=np.int64)
    return Tokens((), (), none, none, none, {}, {seq_id: to_body(error)}, {}, {}, {})
