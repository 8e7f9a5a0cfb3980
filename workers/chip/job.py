"""One sequence on a chip, what it has cost, and what the router is told of a step."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.chip.sequence import Sequence as TokenSequence
from workers.kv.handover import Handover
from workers.model.sampling import Choice
from workers.model.sampling_params import SamplingParams
from workers.wire.line import Report


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


def tokens_report(
    sampled: Sequence[tuple[Job, Choice]],
    finished: Mapping[str, Mapping[str, Any]],
    logits: Mapping[str, NDArray[np.float32]],
) -> Report:
    """What a step sampled: one entry a sequence in the columns, and in the body's lists."""
    body: dict[str, Any] = {
        "requests": [job.seq.seq_id for job, _ in sampled],
        "finished": finished,
        "cached": [job.seq.num_cached for job, _ in sampled],
        "stages": [job.stage for job, _ in sampled],
    }
    if first := {j.seq.seq_id: dict(j.times_ns) for j, _ in sampled if j.stage == "prefill"}:
        body["times_ns"] = first
    wanted = {
        job.seq.seq_id: {"logprob": choice.logprob, "top": choice.top}
        for job, choice in sampled
        if job.sampling.logprobs is not None
    }
    if wanted:
        body["logprobs"] = wanted
    return {
        "body": body,
        "columns": {
            "position": np.array([j.seq.num_outputs - 1 for j, _ in sampled], dtype=np.int64),
            "token": np.array([c.token_id for _, c in sampled], dtype=np.int64),
        },
        "tensors": {
            job.seq.seq_id: logits[job.seq.seq_id]
            for job, _ in sampled
            if job.sampling.return_logits
        },
    }
