"""A chip: computes tokens. Prefill and decode are roles that the router gives; the machine is one.

What it is told, and by whom:

    router ── reserve ───▶ room for a sequence whose KV will come
    router ── prefill ───▶ compute a prompt and its first token
    router ── generate ──▶ compute a prompt and all its tokens, in place
    chip   ── kv_blocks ─▶ here is some of a sequence's KV
    chip   ── start ─────▶ all of it is there: decode
    router ── abort ─────▶ forget it, whatever its state
    router ◀── tokens ──── what the last step sampled, with positions, and how sequences ended

One loop: take what came, schedule a step, run it, report; a pipeline has as many at once as stages.
Everything else is a message handler or a task a sequence.
"""

from collections.abc import Awaitable, Iterable
from typing import Any

from workers.chip.approximate import mark
from workers.chip.arrivals import Arrivals
from workers.chip.arriving import as_invalid_request
from workers.chip.deadlines import Deadlines
from workers.chip.figures import chip_state, counts_of
from workers.chip.job import Job, Preempted, account, begin
from workers.chip.lost import computed_again
from workers.chip.reports import Report, failure_report, report_line, sampled_record, tokens_report
from workers.chip.scheduler import Item, Scheduler, Step
from workers.chip.sequence import Sequence
from workers.chip.split import Split
from workers.chip.stepper import Stepper, StepResult
from workers.errors import InvalidRequest, NotFound, PeerDead, PerfuseError
from workers.host.longest import Longest
from workers.kv.handover import Destination, Handover
from workers.kv.pool_client import PoolClient
from workers.model.base import ChipModel
from workers.model.grammar import Grammars
from workers.model.sampling import Choice
from workers.model.shaper import Shaper
from workers.node import Node
from workers.wire.ended import Ended
from workers.wire.kinds.chip import (
    Abort,
    Aborted,
    ChipState,
    ChipStateIs,
    Generate,
    Prefill,
    Prompted,
    Reserve,
    Reserved,
)
from workers.wire.kinds.kv import Start
from workers.wire.membership import Member
from workers.wire.message import Message
from workers.wire.port import Port


class Chip:
    """`serve` is its loop; `held` says whether it let go of everything."""

    def __init__(
        self,
        node: Node,
        name: str,
        model: ChipModel,
        scheduler: Scheduler,
        stepper: Stepper,
        *,
        router: str,
        eos_token_ids: tuple[int, ...],
        grammars: Grammars,
        timeout_ns: int,
        pool: PoolClient | None = None,
        split: Split | None = None,
    ) -> None:
        self._node, self._name, self._model, self._scheduler = node, name, model, scheduler
        self._eos, self._timeout_ns, self._pool = eos_token_ids, timeout_ns, pool
        self._stepper, self._router, self._grammars = stepper, router, grammars
        self._port: Port = node.port(name)
        self._jobs: dict[str, Job] = {}
        self._ended = Ended()  # what was aborted: nothing from before brings it back
        self._deadlines = Deadlines(node.clock, self._forget)
        self._wake = node.mailbox()
        self._longest_queue = node.queues.setdefault(f"requests of {name}", Longest())
        scheduler.blocks.on_unpinned = self._look_again
        self._preempted = Preempted(node, name, self._jobs)
        self._reports = report_line(node, self._port, router, timeout_ns, self._on_told)
        self._port.on(Reserve, self._reserve)
        self._port.on(Prefill, self._prefill)
        self._port.on(Generate, self._generate)
        self._split = split or Split()
        self._split.follow(self._lost)
        self._arrivals = Arrivals(node, self._port, model, self._split, self._known, self._is_here)
        self._port.on(Start, self._start)
        self._port.on(Abort, self._abort)
        self._port.on(ChipState, self._state)
        node.members.on_join.append(self._joined)

    def _new_sequence(self, message: Message[Prompted], more: int | None = None) -> Sequence:
        """For all its tokens, or so many more. Raises Cancelled, InvalidRequest, PeerDead."""
        self._ended.check(message)
        self._split.check()
        if message.request_id in self._jobs:
            raise InvalidRequest(f"{self._name} has sequence {message.request_id!r} already")
        told = message.content
        most = told.sampling.max_tokens if more is None else len(told.sent_ids) + more
        with as_invalid_request():
            return Sequence(message.request_id, told.prompt_ids, most, told.sent_ids)

    def _reserve(self, message: Message[Reserve]) -> Reserved | Awaitable[Reserved]:
        """Room for a prompt's KV and the tokens after it, on all ranks."""
        seq = self._new_sequence(message)
        with as_invalid_request():
            room = self._scheduler.reserve(seq, seq.num_tokens)
        if room and (job := self._begin_job(message, seq, "decode")).shaper is not None:
            self._node.spawn(self._get_ready(job), f"grammar {seq.seq_id}")
        answer = Reserved(room, seq.num_cached // self._model.block_size)
        return self._split.reserved(seq, answer, self._forget)

    def _begin_job(self, message: Message[Prompted], seq: Sequence, stage: str) -> Job:
        job = Job(seq, message.content.sampling, stage, self._node.clock.now())
        job.shaper = Shaper.of(job.sampling, self._grammars, self._eos)
        self._jobs[seq.seq_id] = job
        self._deadlines.begin(seq.seq_id, message.content.deadline_ns)
        return job

    def _prefill(self, message: Message[Prefill]) -> None:
        """Compute a prompt and its first token; its KV goes to the decode chip."""
        job = self._begin_job(message, self._new_sequence(message, 1), "prefill")
        seq_id, content = job.seq.seq_id, message.content
        to = content.decode_chip, content.first_block, content.deadline_ns, job.seq.token_ids
        ways = self._split.forms_of(self._model).to(content.decode_chip), self._split.parts
        what = self._scheduler.blocks, seq_id, Destination(*to), self._timeout_ns, *ways
        job.handover = Handover(self._node, self._port, self._model, *what)
        job.task = self._node.spawn(self._hand_over(job), f"handover {seq_id}")
        self._queue_up(job)

    def _generate(self, message: Message[Generate]) -> None:
        """Compute a prompt and all its tokens here: its KV stays where it is."""
        self._queue_up(self._begin_job(message, self._new_sequence(message), "both"))

    def _queue_up(self, job: Job) -> None:
        """The router is answered at once: a silent pool holds up none of its calls."""
        if self._pool is not None or job.shaper is not None:
            self._node.spawn(self._get_ready(job), f"fetch {job.seq.seq_id}")
            return
        try:
            self._add(job)
        except PerfuseError:
            self._forget(job.seq.seq_id)
            raise

    async def _get_ready(self, job: Job) -> None:
        """First its grammar, and what the pool has of its prompt; it may be aborted meanwhile."""
        try:
            if job.shaper is not None:
                await self._node.hardware.beside(job.shaper.size, job.shaper.prepare)
            if self._pool is not None and job.stage != "decode":
                await self._pool.fetch(self._scheduler, job.seq)
                job.spend_until("kv_transfer", self._node.clock.now())
            if self._is_here(job) and job.stage != "decode":
                self._add(job)
        except Exception as error:
            if self._is_here(job):
                self._fail(job.seq.seq_id, error)
            if not isinstance(error, PerfuseError):
                raise

    def _add(self, job: Job) -> None:
        """Raises InvalidRequest if it can never fit."""
        with as_invalid_request():
            self._scheduler.add(job.seq)
        self._look_again()

    def _look_again(self) -> None:
        """There is something new to schedule, or room for it."""
        self._wake.put(None)

    def _is_here(self, job: Job) -> bool:
        return self._jobs.get(job.seq.seq_id) is job

    async def _hand_over(self, job: Job) -> None:
        assert job.handover is not None
        seq_id = job.seq.seq_id
        try:
            await job.handover.send()
        except PerfuseError as error:
            self._fail(seq_id, error)
            return
        self._scheduler.release(seq_id)
        self._forget(seq_id)
        self._look_again()  # its blocks are free now

    def _start(self, message: Message[Start]) -> None:
        with as_invalid_request():
            self._arrivals.start(self._scheduler, message)
        self._look_again()

    def _known(self, message: Message[Any]) -> Job:
        job = self._jobs.get(message.request_id)
        if job is None:
            raise NotFound(f"{self._name} has no sequence {message.request_id!r}")
        return job

    def _abort(self, message: Message[Abort]) -> Aborted:
        self._ended.note(message)
        return Aborted(self._forget(message.request_id))

    def _forget(self, seq_id: str) -> bool:
        """Let go of all that a sequence holds here; False if there was nothing."""
        job = self._jobs.pop(seq_id, None)
        self._deadlines.end(seq_id)
        known = self._scheduler.abort(seq_id)
        self._split.ended(seq_id)
        if job is not None:
            job.end()
        if known:
            self._look_again()
        return job is not None or known

    def _joined(self, member: Member) -> None:
        """The router's next incarnation asks anew for all that it wants."""
        if member.node == self._node.members.node_of(self._router):
            for seq_id in list(self._jobs):
                self._forget(seq_id)

    def _state(self, _: Message[ChipState]) -> ChipStateIs:
        return chip_state(self._scheduler, self.held() | self._arrivals.figures)

    @property
    def counts(self) -> dict[str, int]:
        return counts_of(self._scheduler, self._stepper) | self._arrivals.figures

    def held(self) -> dict[str, int]:
        """What is held for requests: all zero when idle."""
        held = self._scheduler.blocks.num_used
        return {"jobs": len(self._jobs), "blocks": held, "reports": self._reports.in_flight}

    async def serve(self) -> None:
        while True:
            await self._reports.room()
            self._wake.take_due()
            self._longest_queue.seen(self._scheduler.num_waiting)
            step = None if self._scheduler.is_full else self._scheduler.schedule()
            self._preempted.tell(self._scheduler.num_preemptions)
            if step is None:
                if not self._scheduler.roster.steps:
                    await self._split.rest()
                await self._wake.get_due()
            elif self._scheduler.roster.max_steps == 1:
                await self._run(step)
            else:
                self._node.spawn(self._run_beside(step), f"a step of {self._name}")

    async def _run_beside(self, step: Step) -> None:
        await self._run(step)  # while other stages of the pipeline have others
        self._wake.put(None)

    async def _run(self, step: Step) -> None:
        wanted = begin(step, self._jobs, self._node.clock.now())
        try:
            result = await self._stepper.run(step, wanted)
        except Exception as error:
            self._step_failed(step, error)
        else:
            self._step_ended(step, result)

    def _step_failed(self, step: Step, error: Exception) -> None:
        if not isinstance(error, PerfuseError):
            # A bug. It must not end the loop: whoever comes next would wait for nobody.
            self._node.failed(f"{self._name} step", error)
        self._scheduler.abandon(step)
        for item in step.items:
            self._fail(item.seq.seq_id, error)

    def _step_ended(self, step: Step, result: StepResult) -> None:
        for seq_id, lost in result.failures.items():  # before `advance` lets others find its KV
            if not computed_again(self._scheduler, seq_id, lost):
                self._fail(seq_id, lost)
        going = self._jobs.keys() - result.failures if result.failures else self._jobs
        live = [item for item in step.items if item.seq.seq_id in going]
        account(self._jobs, live, result, self._node.clock.now())
        mark(self._scheduler, self._jobs, live, result.approximated)
        tokens = {seq_id: choice.token_id for seq_id, choice in result.choices.items()}
        at_end = {seq.seq_id for seq in self._scheduler.advance(step, tokens)}
        self._conclude(live, result, at_end)

    def _conclude(self, live: list[Item], result: StepResult, at_end: set[str]) -> None:
        """Report what was sampled, hand over what was prefilled, let go of what ended."""
        sampled: list[tuple[Job, Choice]] = []
        finished: dict[str, str] = {}
        for item in live:
            seq_id = item.seq.seq_id
            job = self._jobs[seq_id]
            choice = result.choices.get(seq_id)
            if choice is not None:
                sampled.append((job, choice))
                now_ns = self._node.clock.now()
                self._node.trace.add(sampled_record(job, self._name, now_ns, choice))
                if reason := job.finish_reason(choice, seq_id in at_end, self._eos):
                    finished[seq_id] = reason
            self._pass_on(job, choice, seq_id in finished)
        if sampled:
            self._reports.put(tokens_report(sampled, finished, result.logits))

    def _pass_on(self, job: Job, choice: Choice | None, is_finished: bool) -> None:
        """KV that is new goes to the decode chip and the pool; a finished sequence lets go of
        its blocks.
        """
        seq = job.seq
        if self._pool is not None and job.stage != "decode" and seq.num_outputs <= 1:
            self._pool.store(self._scheduler, seq)
        if is_finished:
            self._forget(seq.seq_id)
        elif job.handover is not None:
            first_token = None if choice is None else choice.token_id
            job.handover.computed(seq.block_ids, seq.num_computed, first_token)

    def _fail(self, seq_id: str, error: Exception) -> None:
        """A sequence cannot go on: the router hears why."""
        self._scheduler.distrust(seq_id, error)
        if self._forget(seq_id):
            self._reports.put(failure_report(seq_id, error))

    def _lost(self, error: PerfuseError) -> None:
        """A rank of the chip is gone, and with it a part of all KV."""
        for seq_id in list(self._jobs):
            self._fail(seq_id, error)

    def _on_told(self, reports: Iterable[Report], is_heard: bool) -> None:
        """What the router did not take makes a gap, and a stream with a gap is none: its sequences
        end.
        """
        gone = [] if is_heard else [seq_id for report in reports for seq_id in report.requests]
        for seq_id in dict.fromkeys(gone):
            error = PeerDead(f"{self._name} could not tell what it sampled")
            self._forget(seq_id)
            self._reports.put(failure_report(seq_id, error))
