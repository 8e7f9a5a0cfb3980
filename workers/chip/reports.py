"""What the router is told of a step, and the trace with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby

import numpy as np
from numpy.typing import NDArray

from workers.chip.job import Job
from workers.errors import to_body
from workers.host.trace import Sampled
from workers.model.sampling import Choice
from workers.node import Node
from workers.wire.kinds.chip import Stretch, Tokens
from workers.wire.line import Line
from workers.wire.port import Port

Report = Tokens | Stretch
# Told of reports that were heard (True) or given up.
OnTold = Callable[[Sequence[Report], bool], None]


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


def stretch_report(
    jobs: Sequence[Job],
    tokens: Sequence[Sequence[int]],
    finished: Mapping[str, str],
    late_ns: tuple[int, ...],
) -> Stretch:
    """What several steps of one batch sampled for each of these, the last of it by now."""
    count = len(late_ns)
    return Stretch(
        requests=tuple(job.seq.seq_id for job in jobs),
        stages=tuple(job.stage for job in jobs),
        position=np.array([job.seq.num_outputs - count for job in jobs], dtype=np.int64),
        token=np.array(tokens, dtype=np.int64).reshape(len(jobs), count),
        cached=np.array([job.seq.num_cached for job in jobs], dtype=np.int64),
        finished=finished,
        times={job.seq.seq_id: dict(job.times_ns) for job in jobs if job.seq.seq_id in finished},
        late_ns=late_ns,
    )


def apart(reports: Sequence[Report]) -> Iterator[Sequence[Report]]:
    """In order: a stretch is a report by itself, others that follow each other are one."""
    for is_stretch, some in groupby(reports, lambda report: isinstance(report, Stretch)):
        if is_stretch:
            yield from ((report,) for report in some)
        else:
            yield tuple(some)


def report_line(
    node: Node, port: Port, router: str, timeout_ns: int, on_told: OnTold
) -> Line[Report]:
    """Of a chip to its router."""
    return Line(node, port, router, "tokens", timeout_ns, _one, on_told, apart)


def _one(reports: Sequence[Report]) -> Report:
    """Of those that `apart` leaves together."""
    if isinstance(reports[0], Stretch):
        return reports[0]
    return one_report([report for report in reports if isinstance(report, Tokens)])


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
