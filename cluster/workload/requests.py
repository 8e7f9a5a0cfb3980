"""A workload's requests, each made when it is asked for: what they take together does not grow with
the prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.api.request import Request, Retrieval
from cluster.workload.arrivals import Arriving
from cluster.workload.lazy import Lazy
from cluster.workload.prompts import Prompt
from cluster.workload.traces import History
from configs.schema.workload import Sampling
from workers.model.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class TimedRequest:
    """One request and when it comes.

    at_ns             emulated time from the start of the run; 0 in a closed loop
    expected_answer   the right answer where the question file knows it, else None
    session, turn     which conversation ("" for none), and how many turns came before in it
    history           whether its prompt is put behind the turns before and their answers; see
                      cluster.workload.sessions
    """

    at_ns: int
    request: Request
    expected_answer: str | None = None
    session: str = ""
    turn: int = 0
    history: History = "none"


class Requests(Lazy[TimedRequest]):
    """Request i is made of prompt i, arrival i and the sampling section."""

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        seeds: NDArray[np.int64],
        prompts: Sequence[Prompt],
        arrivals: Arriving,
        retrieval: Retrieval | None,
        *,
        is_judged: bool = True,
    ) -> None:
        """is_judged   answers are compared with the right ones, where these are known"""
        self._model, self._sampling, self._seeds = model, sampling, seeds
        self._prompts, self._times_ns = prompts, arrivals.times_ns
        self._retrieval, self._is_judged = retrieval, is_judged

    def __len__(self) -> int:
        return len(self._times_ns)

    def _made(self, index: int) -> TimedRequest:
        prompt = self._prompts[index]
        return TimedRequest(
            at_ns=self._times_ns[index],
            request=Request(
                request_id=f"request-{index}",
                model=self._model,
                sampling=_sampling(self._sampling, prompt, int(self._seeds[index])),
                messages=_messages(prompt),
                prompt_ids=prompt.token_ids,
                retrieval=self._retrieval,
            ),
            expected_answer=prompt.expected_answer if self._is_judged else None,
            session=prompt.session,
            turn=prompt.turn,
            history=prompt.history,
        )

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list


def _messages(prompt: Prompt) -> tuple[Mapping[str, str], ...]:
    if prompt.question is None:
        return prompt.messages
    return ({"role": "user", "content": prompt.question},)


def _sampling(section: Sampling, prompt: Prompt, seed: int) -> SamplingParams:
    """A prompt that knows its answer's length gets exactly that many tokens."""
    return SamplingParams(
        max_tokens=prompt.max_tokens or section.max_tokens,
        temperature=section.temperature,
        top_p=section.top_p,
        top_k=section.top_k,
        seed=seed if section.seed is None else section.seed,
        stop=section.stop,
        stop_token_ids=section.stop_token_ids,
        ignore_eos=section.ignore_eos or prompt.max_tokens is not None,
        logprobs=section.logprobs,
    )
