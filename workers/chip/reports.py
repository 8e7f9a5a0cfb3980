"""What the router is told of a step, and the trace with it."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from workers.chip.job import Job
from workers.errors import to_body
from workers.host.trace import Sampled
from workers.model.sampling import Choice
from workers.wire.kinds.chip import Tokens


def sampled_record(job: Job, chip: str, now_ns: int, choice: Choice) -> Sampled:
    """For the trace, so that its hash says whether two runs gave the same tokens."""
    return Sampled(now_ns, chip, job.seq.seq_id, job.seq.num_outputs - 1, choice.token_id)


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
        approximate=tuple(row for row, job in enumerate(jobs) if job.is_approximate),
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
        approximate=tuple(first + row for first, report in rows for row in report.approximate),
    )
