"""Puts a workload to a cluster and measures at the gateway what its users would see. The same in
every world.
"""

import asyncio
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.api.output import DELIVERY, PHASES
from cluster.api.request import Request
from cluster.gateway.router_client import MessageRouterClient
from cluster.workload.build import TimedRequest, Workload
from cluster.workload.sessions import Past, continued
from workers.errors import PerfuseError, to_body
from workers.node import Node


@dataclass(slots=True)
class Answer:
    """What one request got, and when. Times are emulated nanoseconds by the clock that judges
    (live: the wall).

    submitted_ns   when its user sent it: in an open loop what the workload says, however late this
                   host may be; in a closed one, when the answer before it had been read
    ttft_ns   submitted -> first output            e2e_ns   submitted -> last output
    tpot_ns   (e2e - ttft) / (tokens - 1); None for one token
    tokens    ids, 4 B each: what all answers of a long run hold
    token_ns  submitted -> each token, as it was read
    num_approximate   tokens that were flagged
    """

    request_id: str
    expected: str | None = None
    text: str = ""
    tokens: "array[int]" = field(default_factory=lambda: array("i"))
    num_output_tokens: int = 0
    finish_reason: str = ""
    error: Mapping[str, Any] | None = None
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    submitted_ns: int = 0
    ttft_ns: int | None = None
    e2e_ns: int = 0
    token_ns: "array[int]" = field(default_factory=lambda: array("q"))
    times_ns: Mapping[str, int] = field(default_factory=dict)
    passages: tuple[str, ...] = ()
    logits: list[NDArray[np.float32]] = field(default_factory=list)
    num_approximate: int = 0

    @property
    def token_ids(self) -> list[int]:
        return self.tokens.tolist()

    @property
    def tpot_ns(self) -> float | None:
        if self.ttft_ns is None or self.num_output_tokens < 2:
            return None
        return (self.e2e_ns - self.ttft_ns) / (self.num_output_tokens - 1)

    @property
    def phases_ns(self) -> dict[str, int]:
        """Where its time went; all of it, so that the phases add up to the end-to-end time."""
        spent = {phase: self.times_ns.get(phase, 0) for phase in PHASES}
        return {**spent, DELIVERY: self.e2e_ns - sum(spent.values())}

    def read(self, num_tokens: int, now_ns: int, late_ns: Sequence[int] = ()) -> None:
        """Whoever asked reads an output, perhaps with tokens, at `now_ns`; so much before could
        each have been read, had it been told at once.
        """
        self.e2e_ns = now_ns - self.submitted_ns
        self.token_ns.extend(map(self.e2e_ns.__sub__, late_ns or [0] * num_tokens))
        if self.ttft_ns is None and num_tokens:
            self.ttft_ns = self.token_ns[0]

    @property
    def itl_ns(self) -> list[int]:
        """From each token to the next one: 0 where they came together."""
        return [later - sooner for sooner, later in pairwise(self.token_ns)]

    @property
    def is_exact(self) -> bool:
        """Whether it is the expected answer, to the character."""
        return self.expected is not None and self.text.strip() == self.expected


SOME_TASKS = 64

OnAnswer = Callable[[Answer], None]


def _ignore(answer: Answer) -> None:
    """Nobody watches."""


class Driver:
    """Sends requests from the node where `client` stands."""

    def __init__(
        self, node: Node, client: MessageRouterClient, on_answer: OnAnswer = _ignore
    ) -> None:
        self._node, self._client, self._on_answer = node, client, on_answer

    async def run(self, workload: Workload) -> list[Answer]:
        """All answers, in the order of the workload; a refused or failed request is an answer with
        an error.
        """
        answers = dict[int, Answer]()
        if workload.concurrency is not None:
            await self._closed(workload, answers, workload.concurrency)
        else:
            await self._open(workload, answers)
        return [answers[index] for index in sorted(answers)]

    async def _closed(
        self, workload: Workload, answers: dict[int, Answer], concurrency: int
    ) -> None:
        """Each of `concurrency` users takes the next question when the last one is answered."""
        clock, waiting = self._node.clock, iter(workload.firsts())

        async def user() -> None:
            clock.join_wall()
            free_ns = begun_ns = clock.wall_now()
            for index in waiting:
                timed = workload.requests[index]
                free_ns = await self._session(workload, answers, index, timed, free_ns, begun_ns)

        num_users = min(concurrency, len(workload.requests))
        users = [self._node.spawn(user(), f"user {i}") for i in range(num_users)]
        for task in users:
            await task

    async def _open(self, workload: Workload, answers: dict[int, Answer]) -> None:
        """Each at its time, however many are inside: what holds them back is the cluster's."""
        clock = self._node.clock
        clock.join_wall()
        begun_ns = clock.now()
        inside = _Inside()
        for index in workload.firsts():
            timed = workload.requests[index]  # before its time, so that its time is kept
            arrives_ns = begun_ns + timed.at_ns
            await clock.wait_until(arrives_ns)
            asking = self._session(workload, answers, index, timed, arrives_ns, begun_ns)
            await inside.add(self._node.spawn(asking, timed.request.request_id))
        await inside.all()

    async def _session(
        self,
        workload: Workload,
        answers: dict[int, Answer],
        index: int,
        timed: TimedRequest,
        arrives_ns: int,
        begun_ns: int,
    ) -> int:
        """Ask, and then whoever follows; returns when the last answer was read."""
        request = workload.cut(timed.request)
        while True:
            answer = answers[index] = Answer(request.request_id, timed.expected_answer)
            await self._ask(request, answer, arrives_ns)
            answered_ns = answer.submitted_ns + answer.e2e_ns
            sessions = workload.sessions
            following = None if sessions is None else sessions.follower(index)
            if sessions is None or following is None:
                return answered_ns
            past = Past.of(request, answer.tokens, answer.text)
            index, arrives_ns = following, sessions.leaves_ns(following, begun_ns, answered_ns)
            del timed, request  # no prompt waits for its time, only what was said
            if arrives_ns > answered_ns:
                await self._node.clock.wait_until(arrives_ns)
            timed = workload.requests[index]
            request = workload.cut(continued(timed.request, timed.history, past))

    async def _ask(self, request: Request, answer: Answer, arrived_ns: int) -> None:
        clock = self._node.clock
        clock.join_wall()
        answer.submitted_ns = arrived_ns
        request = replace(request, arrived_ns=arrived_ns)
        try:
            async for output in self._client.submit(request):
                answer.read(len(output.token_ids), clock.wall_now(), output.late_ns)
                answer.tokens.extend(output.token_ids)
                answer.num_approximate += len(output.approximate)
                answer.text += output.text
                if output.logits is not None:
                    answer.logits.append(output.logits)
                answer.num_prompt_tokens = output.num_prompt_tokens
                answer.num_output_tokens = output.num_output_tokens
                answer.num_cached_tokens = output.num_cached_tokens
                if output.finish_reason:
                    answer.finish_reason, answer.error = output.finish_reason, output.error
                    answer.times_ns, answer.passages = output.times, output.passages
        except PerfuseError as error:
            answer.finish_reason, answer.error = "error", to_body(error)
            answer.read(0, clock.wall_now())
        self._on_answer(answer)


class _Inside:
    """Tasks under way. Those that ended are let go of meanwhile, with what they held."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []
        self._look_at = SOME_TASKS

    async def add(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.append(task)
        if len(self._tasks) >= self._look_at:
            ended = [task for task in self._tasks if task.done()]
            self._tasks = [task for task in self._tasks if not task.done()]
            self._look_at = SOME_TASKS + 2 * len(self._tasks)
            for task in ended:
                await task  # takes no time: raises what it raised

    async def all(self) -> None:
        for task in self._tasks:
            await task
