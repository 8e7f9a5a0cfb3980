"""A chip: computes tokens. Prefill and decode are roles that the router gives; the machine is one.

What it is told, and by whom:

    router ── reserve ───▶ room for a sequence whose KV will come
    router ── prefill ───▶ compute a prompt and its first token
    router ── generate ──▶ compute a prompt and all its tokens, in place
    chip   ── kv_blocks ─▶ here is some of a sequence's KV
    chip   ── start ─────▶ all of it is there: decode
    router ── abort ─────▶ forget it, whatever its state
    router ◀── tokens ──── what the last step sampled, with positions, and how sequences ended

One loop: take what came, schedule a step, run it, report. Everything else is a message handler or a
task a sequence.
"""

import asyncio
from collections import OrderedDict
from typing import Any

from workers.chip.job import Job, failure_report, tokens_report
from workers.chip.scheduler import Item, Scheduler, Step
from workers.chip.sequence import Sequence
from workers.chip.stepper import Stepper, StepResult
from workers.errors import Cancelled, InvalidRequest, NotFound, PerfuseError
from workers.host.trace import Sampled
from workers.kv.handover import Destination, Handover, kv_work, verify_blocks
from workers.kv.pool_client import PoolClient
from workers.model.base import ChipModel
from workers.model.sampling import Choice
from workers.model.sampling_params import SamplingParams
from workers.node import Node
from workers.wire.kinds.chip import (
    Abort,
    Aborted,
    ChipState,
    ChipStateIs,
    Generate,
    Prefill,
    Reserve,
    Reserved,
    Tokens,
)
from workers.wire.kinds.kv import KvBlocks, Start
from workers.wire.line import Line
from workers.wire.membership import Member
from workers.wire.message import Message
from workers.wire.port import Port

Prompted = Reserve | Prefill | Generate

# Aborts that are remembered: far more than can be overtaken at once.
ABORTED_MAX = 4096


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
        timeout_ns: int,
        pool: PoolClient | None = None,
    ) -> None:
        self._node, self._name, self._model, self._scheduler = node, name, model, scheduler
        self._eos, self._timeout_ns, self._pool = eos_token_ids, timeout_ns, pool
        self._stepper, self._router = stepper, router
        self._port: Port = node.port(name)
        self._jobs: dict[str, Job] = {}
        # What was aborted, and by which message: an older one that comes later must not bring it
        # back.
        self._aborted: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._wake = node.mailbox(1 << 16)
        self._reports: Line[Tokens] = Line(
            node, self._port, router, "tokens", timeout_ns, lambda reports: reports
        )
        self._port.on(Reserve, self._reserve)
        self._port.on(Prefill, self._prefill)
        self._port.on(Generate, self._generate)
        self._port.on(KvBlocks, self._kv_blocks)
        self._port.on(Start, self._start)
        self._port.on(Abort, self._abort)
        self._port.on(ChipState, self._state)
        node.members.on_join.append(self._joined)

    # -- messages ----------------------------------------------------------------------------------

    def _new_sequence(self, message: Message[Prompted], max_tokens: int) -> Sequence:
        try:
            return Sequence(message.request_id, message.content.prompt_ids, max_tokens)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error

    def _reserve(self, message: Message[Reserve]) -> Reserved:
        """Room for a prompt's KV and the tokens after it."""
        self._check_wanted(message)
        sampling = message.content.sampling
        seq = self._new_sequence(message, sampling.max_tokens)
        try:
            room = self._scheduler.reserve(seq)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        if room:
            self._jobs[seq.seq_id] = Job(seq, sampling, "decode", self._node.clock.now())
        first_block = seq.num_cached // self._model.block_size
        return Reserved(room, first_block)

    async def _prefill(self, message: Message[Prefill]) -> None:
        """Compute a prompt and its first token; its KV goes to the decode chip."""
        job = await self._accept(message, "prefill")
        if job is not None:
            seq_id = job.seq.seq_id
            destination = Destination(message.content.decode_chip, message.content.first_block)
            job.handover = Handover(
                self._node, self._port, self._model, seq_id, destination, self._timeout_ns
            )
            job.task = self._node.spawn(self._hand_over(job), f"handover {seq_id}")
            self._wake.put(None)

    async def _generate(self, message: Message[Generate]) -> None:
        """Compute a prompt and all its tokens here: its KV stays where it is."""
        if await self._accept(message, "both") is not None:
            self._wake.put(None)

    async def _accept(self, message: Message[Prefill | Generate], stage: str) -> Job | None:
        """Queue a prompt up, with what the pool has of it; None if it was aborted meanwhile."""
        self._check_wanted(message)
        sampling = message.content.sampling
        seq = self._new_sequence(message, 1 if stage == "prefill" else sampling.max_tokens)
        job = Job(seq, sampling, stage, self._node.clock.now())
        self._jobs[seq.seq_id] = job
        try:
            if self._pool is not None:
                await self._pool.fetch(self._scheduler, seq)
            if seq.seq_id not in self._jobs:
                return None
            self._scheduler.add(seq)
        except ValueError as error:
            self._forget(seq.seq_id)
            raise InvalidRequest(str(error)) from error
        return job

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
        self._wake.put(None)  # its blocks are free now

    async def _kv_blocks(self, message: Message[KvBlocks]) -> None:
        job = self._known(message)
        verify_blocks(message.request_id, message.content)
        block_ids = tuple(job.seq.block_ids[i] for i in message.content.index.tolist())
        work = kv_work(self._model, len(block_ids), "kv_write")
        blocks = message.content.blocks
        await self._node.hardware.run(work, self._write_live, job, block_ids, blocks)

    def _write_live(self, job: Job, block_ids: tuple[int, ...], blocks: Any) -> None:
        """Not after an abort: its blocks are another's by now, perhaps one of the same name."""
        if self._jobs.get(job.seq.seq_id) is not job:
            return
        self._model.write_blocks(block_ids, blocks)

    def _start(self, message: Message[Start]) -> None:
        job = self._known(message)
        now_ns = self._node.clock.now()
        job.spend("kv_transfer", now_ns - message.content.prefilled_ns)
        job.since_ns = now_ns
        try:
            self._scheduler.received(message.request_id, [message.content.token])
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        self._wake.put(None)

    def _known(self, message: Message[Any]) -> Job:
        job = self._jobs.get(message.request_id)
        if job is None:
            raise NotFound(f"{self._name} has no sequence {message.request_id!r}")
        return job

    def _check_wanted(self, message: Message[Any]) -> None:
        if _moment(message) < self._aborted.get(message.request_id, (0, 0)):
            raise Cancelled(f"{message.request_id} was aborted before its {message.kind} came")

    def _abort(self, message: Message[Abort]) -> Aborted:
        self._aborted[message.request_id] = _moment(message)
        if len(self._aborted) > ABORTED_MAX:
            self._aborted.popitem(last=False)
        return Aborted(self._forget(message.request_id))

    def _forget(self, seq_id: str) -> bool:
        """Let go of all that a sequence holds here; False if there was nothing."""
        job = self._jobs.pop(seq_id, None)
        known = self._scheduler.abort(seq_id)
        if job is not None and job.task is not None and job.task is not asyncio.current_task():
            job.task.cancel()
        if known:
            self._wake.put(None)
        return job is not None or known

    def _joined(self, member: Member) -> None:
        """The router's next incarnation asks anew for all that it wants."""
        if member.node == self._node.members.node_of(self._router):
            for seq_id in list(self._jobs):
                self._forget(seq_id)

    def _state(self, message: Message[ChipState]) -> ChipStateIs:
        scheduler = self._scheduler
        return ChipStateIs(
            {
                "num_running": scheduler.num_running,
                "num_waiting": scheduler.num_waiting,
                "num_blocks": scheduler.blocks.num_blocks,
                "num_blocks_free": scheduler.blocks.num_free,
                "num_preemptions": scheduler.num_preemptions,
                "prefix_queries": scheduler.num_prefix_queries,
                "prefix_hits": scheduler.num_prefix_hits,
                **self.held(),
            }
        )

    def held(self) -> dict[str, int]:
        """What is held for requests: all zero when idle."""
        blocks = self._scheduler.blocks
        return {
            "jobs": len(self._jobs),
            "blocks": blocks.num_blocks - blocks.num_free,
            "reports": self._reports.in_flight,
        }

    # -- the loop ----------------------------------------------------------------------------------

    async def serve(self) -> None:
        while True:
            self._wake.take_due()
            step = self._scheduler.schedule()
            if step is None:
                await self._wake.get_due()
                continue
            await self._run(step)

    async def _run(self, step: Step) -> None:
        begun_ns = self._node.clock.now()
        for item in step.items:
            self._begin(item, begun_ns)
        sampling = {i.seq.seq_id: self._sampling_of(i) for i in step.items if i.samples}
        try:
            result = await self._stepper.run(step, sampling)
        except Exception as error:
            if not isinstance(error, PerfuseError):
                # A bug. It must not end the loop: whoever comes next would wait for nobody.
                self._node.failed(f"{self._name} step", error)
            self._scheduler.abandon(step)
            for item in step.items:
                self._fail(item.seq.seq_id, error)
            return
        for seq_id, lost in result.failures.items():
            # Before `advance`, which would let others find what was computed without its experts.
            self._fail(seq_id, lost)
        live = [item for item in step.items if item.seq.seq_id in self._jobs]
        for item in live:
            self._account(item, result, begun_ns)
        tokens = {seq_id: choice.token_id for seq_id, choice in result.choices.items()}
        at_end = {seq.seq_id for seq in self._scheduler.advance(step, tokens)}
        self._conclude(live, result, at_end)

    def _sampling_of(self, item: Item) -> SamplingParams:
        job = self._jobs.get(item.seq.seq_id)
        return job.sampling if job is not None else SamplingParams()

    def _begin(self, item: Item, now_ns: int) -> None:
        """The time from arrival to the first step is queueing."""
        job = self._jobs.get(item.seq.seq_id)
        if job is not None and "queue" not in job.times_ns:
            job.spend("queue", now_ns - job.since_ns)

    def _account(self, item: Item, result: StepResult, begun_ns: int) -> None:
        job = self._jobs[item.seq.seq_id]
        if item.seq.num_outputs == 0 or item.count > 1:
            job.spend("prefill", self._node.clock.now() - begun_ns)
            return
        job.spend("attention", result.attention_ns)
        job.spend("expert_wait", result.expert_wait_ns)
        job.spend("sampling", result.sampling_ns)

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
                self._note(job, choice)
                if reason := self._finish_reason(job, choice, seq_id in at_end):
                    finished[seq_id] = reason
            self._pass_on(job, choice, seq_id in finished)
        if sampled:
            self._reports.put(tokens_report(sampled, finished, result.logits))

    def _note(self, job: Job, choice: Choice) -> None:
        """Into the trace, so that its hash says whether two runs gave the same tokens."""
        seq, now_ns = job.seq, self._node.clock.now()
        position = seq.num_outputs - 1
        self._node.trace.add(Sampled(now_ns, self._name, seq.seq_id, position, choice.token_id))

    def _finish_reason(self, job: Job, choice: Choice, at_end: bool) -> str:
        """`stop` on an end token, `length` at max_tokens or the end of the context, "" while it
        goes on.
        """
        params = job.sampling
        if choice.token_id in params.stop_token_ids:
            return "stop"
        if choice.token_id in self._eos and not params.ignore_eos:
            return "stop"
        if job.stage == "prefill":
            return "length" if params.max_tokens == 1 else ""
        return "length" if at_end else ""

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
        if self._forget(seq_id):
            self._reports.put(failure_report(seq_id, error))


def _moment(message: Message[Any]) -> tuple[int, int]:
    """When a router said it: its ids rise within an incarnation, and incarnations follow."""
    return message.source_epoch, message.message_id
