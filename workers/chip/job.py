"""One sequence on a chip, what it has cost, and what the router is told of a step."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.chip.sequence import Sequence as TokenSequence
from workers.chip.sequence import State
from workers.chip.step import Item
from workers.chip.stepper import StepResult
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
    since_ns   until when its time is accounted for
    times_ns   phase -> emulated nanoseconds; together all the time until `since_ns`
    is_preempted   it has lost its blocks, and has none again yet
    """

    seq: TokenSequence
    sampling: SamplingParams
    stage: str
    since_ns: int
    is_preempted: bool = False
    handover: Handover | None = None
    task: "asyncio.Task[Any] | None" = None
    times_ns: dict[str, int] = field(default_factory=dict)

    def spend(self, phase: str, duration_ns: int) -> None:
        self.times_ns[phase] = self.times_ns.get(phase, 0) + duration_ns

    def spend_until(self, phase: str, now_ns: int) -> None:
        """All that is not accounted for yet."""
        self.spend(phase, now_ns - self.since_ns)
        self.since_ns = now_ns

    def begin(self, now_ns: int) -> None:
        """It is in a step. Until then it waited for the chip, or for blocks."""
        self.spend_until("preempted" if self.is_preempted else "queue", now_ns)
        self.is_preempted = False

    def finish_reason(self, choice: Choice, at_end: bool, eos: Sequence[int]) -> str:
        """`stop` on an end token, `length` at max_tokens or the end of the context, "" while it
        goes on.
        """
        params = self.sampling
        if choice.token_id in params.stop_token_ids:
            return "stop"
        if choice.token_id in eos and not params.ignore_eos:
            return "stop"
        if self.stage == "prefill":
            return "length" if params.max_tokens == 1 else ""
        return "length" if at_end else ""


def sampled_record(job: Job, chip: str, now_ns: int, choice: Choice) -> Sampled:
    """For the trace, so that its hash says whether two runs gave the same tokens."""
    return Sampled(now_ns, chip, job.seq.seq_id, job.seq.num_outputs - 1, choice.token_id)


def account(job: Job, item: Item, result: StepResult, now_ns: int) -> None:
    """Where a step's time went, for one of its sequences. What passes until its next one, because
    others have the chip, is queueing.
    """
    if item.seq.num_outputs == 0 or item.count > 1:
        job.spend_until("prefill", now_ns)
        return
    job.spend("attention", result.attention_ns)
    job.spend("expert_wait", result.expert_wait_ns)
    job.spend("sampling", result.sampling_ns)
    job.since_ns = now_ns


def note_preempted(jobs: Mapping[str, Job], now_ns: int) -> Iterator[str]:
    """Sequences that have lost their blocks since this was last asked."""
    for seq_id, job in jobs.items():
        if job.seq.state is State.PREEMPTED and not job.is_preempted:
            job.spend_until("queue", now_ns)
            job.is_preempted = True
            yield seq_id


def tokens_report(
    sampled: Sequence[tuple[Job, Choice]],
    finished: Mapping[str, str],
    logits: Mapping[str, NDArray[np.float32]],
) -> Tokens:
    """What a step sampled; `finished`: sequence -> why it ended."""
    jobs = [job for job, _ in sampled]
    # A stop string is found by the router: whoever has one may end with any token.
    told = [
        job
        for job in jobs
        if job.stage == "prefill" or job.seq.seq_id in finished or job.sampling.stop
    ]
    return Tokens(
        requests=tuple(job.seq.seq_id for job in jobs),
        stages=tuple(job.stage for job in jobs),
        position=np.array([job.seq.num_outputs - 1 for job in jobs], dtype=np.int64),
        token=np.array([choice.token_id for _, choice in sampled], dtype=np.int64),
        cached=np.array([job.seq.num_cached for job in jobs], dtype=np.int64),
        finished=finished,
        failed={},
        logprobs={
            str(row): {"logprob": choice.logprob, "top": choice.top}
            for row, (job, choice) in enumerate(sampled)
            if job.sampling.logprobs is not None
        },
        times={job.seq.seq_id: dict(job.times_ns) for job in told},
        logits={
            str(row): logits[job.seq.seq_id]
            for row, job in enumerate(jobs)
            if job.sampling.return_logits
        },
    )


def failure_report(seq_id: str, error: Exception) -> Tokens:
    """A sequence cannot go on."""
    none = np.zeros(0, dtype=np.int64)
    return Tokens((), (), none, none, none, {}, {seq_id: to_body(error)}, {}, {}, {})


def one_report(reports: Sequence[Tokens]) -> Tokens:
    """Several in one, in their order: what piled up leaves together."""
    if len(reports) == 1:
        return reports[0]
    first_rows = [0, *accumulate(len(report.requests) for report in reports)]
    rows = list(zip(first_rows, reports, strict=False))
    return Tokens(
        requests=tuple(name for report in reports for name in report.requests),
        stages=tuple(stage for report in reports for stage in report.stages),
        position=np.concatenate([report.position for report in reports]),
        token=np.concatenate([report.token for report in reports]),
        cached=np.concatenate([report.cached for report in reports]),
        finished={name: why for report in reports for name, why in report.finished.items()},
        failed={name: why for report in reports for name, why in report.failed.items()},
        logprobs={
            str(first + int(row)): told
            for first, report in rows
            for row, told in report.logprobs.items()
        },
        times={name: spent for report in reports for name, spent in report.times.items()},
        logits={
            str(first + int(row)): told
            for first, report in rows
            for row, told in report.logits.items()
        },
    )
