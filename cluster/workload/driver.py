"""Puts a workload to a cluster and measures at the gateway what its users would see. The same in
every world.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.api.output import DELIVERY, PHASES
from cluster.gateway.router_client import MessageRouterClient
from cluster.workload.build import TimedRequest, Workload
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
    token_ns  submitted -> each token, as it was read
    """

    request_id: str
    expected: str | None = None
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    num_output_tokens: int = 0
    finish_reason: str = ""
    error: Mapping[str, Any] | None = None
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    submitted_ns: int = 0
    ttft_ns: int | None = None
    e2e_ns: int = 0
    token_ns: list[int] = field(default_factory=list)
    times_ns: Mapping[str, int] = field(default_factory=dict)
    passages: tuple[str, ...] = ()
    logits: list[NDArray[np.float32]] = field(default_factory=list)

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

    def read(self, num_tokens: int, now_ns: int) -> None:
        """Whoever asked reads an output, perhaps with tokens, at `now_ns`."""
        self.e2e_ns = now_ns - self.submitted_ns
        self.token_ns.extend([self.e2e_ns] * num_tokens)
        if self.ttft_ns is None and num_tokens:
            self.ttft_ns = self.e2e_ns

    @property
    def itl_ns(self) -> list[int]:
        """From each token to the next one: 0 where they came together."""
        return [later - sooner for sooner, later in pairwise(self.token_ns)]

    @property
    def is_exact(self) -> bool:
        """Whether it is the expected answer, to the character."""
        return self.expected is not None and self.text.strip() == self.expected


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
        answers = [Answer(r.request.request_id, r.expected_answer) for r in workload.requests]
        if workload.concurrency is not None:
            await self._closed(workload.requests, answers, workload.concurrency)
        else:
            await self._open(workload.requests, answers)
        return answers

    async def _closed(
        self, requests: tuple[TimedRequest, ...], answers: list[Answer], concurrency: int
    ) -> None:
        """Each of `concurrency` users takes the next question when the last one is answered."""
        clock, waiting = self._node.clock, iter(range(len(requests)))

        async def user() -> None:
            clock.join_wall()
            free_ns = clock.wall_now()
            for index in waiting:
                await self._ask(requests[index], answers[index], free_ns)
                free_ns += answers[index].e2e_ns

        users = [
            self._node.spawn(user(), f"user {i}") for i in range(min(concurrency, len(requests)))
        ]
        for task in users:
            await task

    async def _open(self, requests: tuple[TimedRequest, ...], answers: list[Answer]) -> None:
        """Each at its time, however many are inside: what holds them back is the cluster's."""
        clock = self._node.clock
        clock.join_wall()
        begun_ns = clock.now()
        tasks = []
        for timed, answer in zip(requests, answers, strict=True):
            arrives_ns = begun_ns + timed.at_ns
            await clock.wait_until(arrives_ns)
            asking = self._ask(timed, answer, arrives_ns)
            tasks.append(self._node.spawn(asking, timed.request.request_id))
        for task in tasks:
            await task

    async def _ask(self, timed: TimedRequest, answer: Answer, arrived_ns: int) -> None:
        clock = self._node.clock
        clock.join_wall()
        answer.submitted_ns = arrived_ns
        request = replace(timed.request, arrived_ns=arrived_ns)
        try:
            async for output in self._client.submit(request):
                answer.read(len(output.token_ids), clock.wall_now())
                answer.token_ids.extend(output.token_ids)
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
