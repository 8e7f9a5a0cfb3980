"""A chip whose steps are computed with those of others, several decode steps of one batch at once.

    begin ─▶ step 1 · step 2 · step 3 · ...          begun together, times by the engine
                        ▲
             something comes: the stretch ends with the step under way; what is over by now counts,
             and what is known of the steps beyond waits for the next stretch

Whoever asks the chip, or tells it something, finds it as it is after the step that ended last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.fold import Ended
from workers.chip import batching
from workers.chip.batch import Batch
from workers.chip.chip import Chip
from workers.chip.job import Job, account_steps, begin
from workers.chip.reports import sampled_record, stretch_report, tokens_report
from workers.chip.scheduler import Step
from workers.chip.sequence import Sequence as TokenSequence
from workers.chip.stepper import StepResult
from workers.chip.wanted import Wanted
from workers.fold.fold import Member
from workers.fold.lookahead import Lookahead
from workers.fold.stretch import Stretch
from workers.model.program import Experts
from workers.model.sampling import Choice
from workers.wire.kinds.chip import Abort, Aborted, ChipState, ChipStateIs, Prompted, Reserve
from workers.wire.kinds.kv import Start
from workers.wire.message import Message


class FoldedChip(Chip):
    """member   its place in the fold; given before anything comes"""

    def __init__(self, *arguments: Any, member: Member, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._member = member
        self._stretch: Stretch | None = None
        self._result: StepResult | None = None  # of a stretch that is one step of any kind
        self._ahead = member.looking = Lookahead(member, self._scheduler, self._jobs, self._eos)

    # -- the loop ----------------------------------------------------------------------------------

    async def _run(self, step: Step) -> None:
        wanted = begin(step, self._jobs, self._node.clock.now())
        try:
            self._stretch = self._begun(step, wanted)
        except Exception as error:
            self._step_failed(step, error)
            return
        await self._stretch.over()
        self._stepped()

    def _stepped(self) -> None:
        self._catch_up()
        self._ahead.make_room()

    def _begun(self, step: Step, wanted: Mapping[str, Wanted]) -> Stretch:
        member, now_ns = self._member, self._node.clock.now()
        if self._is_plain(step, wanted):
            costs, tokens, experts = self._ahead.steps_of(step)
            stretch = Stretch(step, now_ns, costs, tokens, self._stepped)
            self._ahead.stretch = stretch
        else:
            batch = Batch(step.items)
            x, experts = member.fold.step(member.model, batch)
            self._tell_routed(batch, experts[0])
            choices, logits = self._stepper.choose([(batch, x)], wanted)
            cost = member.costs.of(batch.layout, len(batch.sampled), batch.cause)
            self._result = StepResult(choices, logits, batch.failures, 0, 0, cost.logits_ns)
            stretch = Stretch(step, now_ns, [cost], [], self._stepped)
        member.begin(stretch, experts)
        return stretch

    def _tell_routed(self, batch: Batch, experts: NDArray[np.int32]) -> None:
        """Of all sparse layers' tokens, as an exchange would: [X, T, K]."""
        if self._node.on_routed is None:
            return
        config = self._member.model.config
        layers = [n for n in range(config.num_layers) if not config.is_dense(n)]
        rows, weights = np.empty((len(batch.token_ids_T), 0)), np.ones(experts.shape[1:])
        for layer, experts_TK in zip(layers, experts, strict=True):
            told = Experts(layer, rows, experts_TK, weights.astype(np.float32))
            self._node.on_routed(batch.tokens(told))

    def _is_plain(self, step: Step, wanted: Mapping[str, Wanted]) -> bool:
        """Whether its tokens may be known before their time: greedy ones of sequences that decode,
        of which nothing is told but the tokens.
        """
        if self._node.on_routed is not None:
            return False
        return all(
            item.count == 1 and item.samples and item.seq.num_outputs and _is_simple(
                self._jobs.get(item.seq.seq_id), wanted[item.seq.seq_id]
            )
            for item in step.items
        )  # fmt: skip

    # -- what is over ------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Take note of all steps that have ended."""
        stretch = self._stretch
        if stretch is None:
            return
        ended = stretch.take()
        if stretch.is_over:
            self._stretch = self._ahead.stretch = None
        if not ended:
            return
        if self._result is not None:
            result, self._result = self._result, None
            attention_ns = ended[0].compute_ns - result.sampling_ns
            told = replace(result, attention_ns=attention_ns, expert_wait_ns=ended[0].wait_ns)
            self._step_ended(stretch.step, told)
            return
        self._steps_ended(stretch, ended)

    def _steps_ended(self, stretch: Stretch, ended: Sequence[Ended]) -> None:
        first, count = ended[0].step, len(ended)
        rows = stretch.tokens[first : first + count]
        items = stretch.step.items
        columns = zip(*rows, strict=True)
        tokens = {item.seq.seq_id: list(ids) for item, ids in zip(items, columns, strict=True)}
        jobs = [j for item in items if (j := self._jobs.get(item.seq.seq_id)) is not None]
        sampling_ns = sum(stretch.costs[one.step].logits_ns for one in ended)
        attention_ns = sum(one.compute_ns for one in ended) - sampling_ns
        wait_ns, end_ns = sum(one.wait_ns for one in ended), ended[-1].end_ns
        for job in jobs:
            account_steps(job, attention_ns, wait_ns, sampling_ns, end_ns)
        (step,) = self._scheduler.roster.steps  # its first one is in flight
        at_end = batching.advance_by(
            self._scheduler.roster, step, tokens, count, goes_on=not stretch.is_over
        )
        now_ns = self._node.clock.now()
        late_ns = tuple([now_ns - one.end_ns for one in ended])
        self._conclude_steps(jobs, tokens, {seq.seq_id for seq in at_end}, late_ns)

    def _conclude_steps(
        self,
        jobs: Sequence[Job],
        tokens: Mapping[str, list[int]],
        at_end: set[str],
        late_ns: tuple[int, ...],
    ) -> None:
        finished, sampled = dict[str, str](), list[tuple[Job, Choice]]()
        for job in jobs:
            seq_id = job.seq.seq_id
            choice = Choice(tokens[seq_id][-1], None, (), 0.0)
            sampled.append((job, choice))
            self._node.trace.add(sampled_record(job, self._name, self._node.clock.now(), choice))
            if reason := job.finish_reason(choice, seq_id in at_end, self._eos):
                finished[seq_id] = reason
            self._ahead.passed(job.seq)
        if jobs and late_ns == (0,):
            self._reports.put(tokens_report(sampled, finished, {}))
        elif jobs:
            told = [tokens[job.seq.seq_id] for job in jobs]
            self._reports.put(stretch_report(jobs, told, finished, late_ns))
        for seq_id in finished:
            self._forget(seq_id)

    # -- what comes in between ---------------------------------------------------------------------

    def _look_again(self) -> None:
        super()._look_again()
        if self._stretch is not None:
            self._member.cut()

    def _reserve(self, message: Message[Reserve]) -> Any:
        self._catch_up()
        self._ahead.make_room()
        return super()._reserve(message)

    def _begin_job(self, message: Message[Prompted], seq: TokenSequence, stage: str) -> Job:
        self._catch_up()
        return super()._begin_job(message, seq, stage)

    def _start(self, message: Message[Start]) -> None:
        self._catch_up()
        super()._start(message)

    def _abort(self, message: Message[Abort]) -> Aborted:
        self._catch_up()
        return super()._abort(message)

    def _forget(self, seq_id: str) -> bool:
        self._catch_up()
        self._ahead.drop(seq_id)
        return super()._forget(seq_id)

    def _state(self, message: Message[ChipState]) -> ChipStateIs:
        self._catch_up()
        return super()._state(message)


def _is_simple(job: Job | None, wanted: Wanted) -> bool:
    params = wanted.params
    return (
        job is not None
        and job.handover is None
        and wanted.shaper is None
        and not params.temperature
        and not params.stop
        and params.logprobs is None
        and not params.return_logits
        and job.seq.num_outputs >= params.min_tokens
    )
