"""One sequence on a chip, and what it has cost."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workers.chip.sequence import Sequence as TokenSequence
from workers.chip.sequence import State
from workers.chip.step import Item, Step
from workers.chip.stepper import StepResult
from workers.chip.wanted import ANY, Wanted
from workers.kv.handover import Handover
from workers.kv.receipt import Receipt
from workers.model.sampling import Choice
from workers.model.sampling_params import SamplingParams
from workers.model.shaper import Shaper
from workers.node import Node


@dataclass(slots=True)
class Job:
    """One sequence on this chip and what it has cost so far.

    stage      "prefill" here and decode elsewhere, "decode" of KV that came, or "both" here
    since_ns   until when its time is accounted for
    times_ns   phase -> emulated nanoseconds; together all the time until `since_ns`
    is_preempted   it has lost its blocks, and has none again yet
    is_approximate   a share of one of its tokens was replaced
    shaper     what changes its logits, if anything does
    receipt    what of its KV has come, while it is awaited
    """

    seq: TokenSequence
    sampling: SamplingParams
    stage: str
    since_ns: int
    is_preempted: bool = False
    is_approximate: bool = False
    shaper: Shaper | None = None
    handover: Handover | None = None
    receipt: Receipt | None = None
    task: "asyncio.Task[Any] | None" = None
    times_ns: dict[str, int] = field(default_factory=dict)

    def spend(self, phase: str, duration_ns: int) -> None:
        self.times_ns[phase] = self.times_ns.get(phase, 0) + duration_ns

    def spend_until(self, phase: str, now_ns: int) -> None:
        """All that is not accounted for yet."""
        self.spend(phase, now_ns - self.since_ns)
        self.since_ns = now_ns

    def was_sent(self, prefilled_ns: int, now_ns: int) -> None:
        """Its KV has come, of which the last was computed then."""
        self.since_ns = prefilled_ns
        self.spend_until("kv_transfer", now_ns)

    def begin(self, now_ns: int) -> None:
        """It is in a step. Until then it waited for the chip, or for blocks."""
        self.spend_until("preempted" if self.is_preempted else "queue", now_ns)
        self.is_preempted = False

    def end(self) -> None:
        """Nothing more is done for it."""
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
        if self.handover is not None:
            self.handover.close()

    def finish_reason(self, choice: Choice, at_end: bool, eos: Sequence[int]) -> str:
        """`stop` on an end token, `length` at max_tokens or the end of the context, "" while it
        goes on.
        """
        params = self.sampling
        if choice.token_id in params.stop_token_ids:
            return "stop"
        if choice.token_id in eos and params.may_end:
            return "stop"
        if self.stage == "prefill":
            return "length" if self.seq.num_outputs == params.max_tokens else ""
        return "length" if at_end else ""


def begin(step: Step, jobs: Mapping[str, Job], now_ns: int) -> dict[str, Wanted]:
    """A step begins: how to choose the tokens of all that it samples."""
    wanted = {}
    for item in step.items:
        job = jobs.get(item.seq.seq_id)
        if job is not None:
            job.begin(now_ns)
        if item.samples:
            wanted[item.seq.seq_id] = ANY if job is None else Wanted(job.sampling, job.shaper)
    return wanted


def account(
    jobs: Mapping[str, Job], items: Iterable[Item], result: StepResult, now_ns: int
) -> None:
    """Where a step's time went, for each of its sequences. What passes until its next one, because
    others have the chip, is queueing.
    """
    times_ns = result.attention_ns, result.expert_wait_ns, result.sampling_ns
    for item in items:
        job = jobs[item.seq.seq_id]
        if item.seq.num_outputs == 0 or item.count > 1:
            job.spend_until("prefill", now_ns)
        else:
            account_steps(job, *times_ns, now_ns)


def account_steps(
    job: Job, attention_ns: int, expert_wait_ns: int, sampling_ns: int, end_ns: int
) -> None:
    """Of decode, one step or several without a gap."""
    job.spend("attention", attention_ns)
    job.spend("expert_wait", expert_wait_ns)
    job.spend("sampling", sampling_ns)
    job.since_ns = end_ns


class Preempted:
    """Tells the trace of a chip's sequences that lose their blocks."""

    def __init__(self, node: Node, chip: str, jobs: Mapping[str, Job]) -> None:
        self._node, self._chip, self._jobs, self._num_known = node, chip, jobs, 0

    def tell(self, num_preemptions: int) -> None:
        """So many there were so far."""
        if num_preemptions != self._num_known:
            self._num_known, now_ns = num_preemptions, self._node.clock.now()
            for seq_id in note_preempted(self._jobs, now_ns):
                self._node.trace.note(now_ns, "preempted", self._chip, request_id=seq_id)


def note_preempted(jobs: Mapping[str, Job], now_ns: int) -> Iterator[str]:
    """Sequences that have lost their blocks since this was last asked."""
    for seq_id, job in jobs.items():
        if job.seq.state is State.PREEMPTED and not job.is_preempted:
            job.spend_until("queue", now_ns)
            job.is_preempted = True
            yield seq_id
