"""Sequences whose keys are approximate from somewhere on: nobody else finds those."""

from collections.abc import Collection, Iterable, Mapping

from workers.chip.job import Job
from workers.chip.scheduler import Item, Scheduler
from workers.chip.sequence import State


def mark(
    scheduler: Scheduler, jobs: Mapping[str, Job], items: Iterable[Item], whose: Collection[str]
) -> None:
    """A step replaced shares of these: before it counts."""
    for item in items:
        seq = item.seq
        if seq.seq_id in whose:
            job = jobs[seq.seq_id]
            job.is_approximate = True
            if seq.state is State.RUNNING:
                scheduler.mark_approximate(seq.seq_id, seq.num_computed)
            if job.handover is not None:
                job.handover.approximate_from = seq.approximate_from


def mark_sent(scheduler: Scheduler, job: Job, since: int | None) -> None:
    """Another chip has sent the keys, exact up to a position: before they count."""
    job.is_approximate = since is not None
    if since is not None:  # what is found here already was computed exactly
        scheduler.mark_approximate(job.seq.seq_id, max(since, job.seq.num_computed))
