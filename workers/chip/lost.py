"""Sequences of which KV is lost that lay elsewhere: computed again, from what is known of them."""

from workers.chip.scheduler import Scheduler
from workers.chip.sequence import State
from workers.kv.far_queries import KvLost


def computed_again(scheduler: Scheduler, seq_id: str, error: Exception) -> bool:
    """Whether a sequence whose step failed goes on: it has lost KV, gives away what it has left and
    queues up, as one that is preempted does. Nothing of the step may count for it.
    """
    seq = scheduler.get(seq_id)
    if not isinstance(error, KvLost) or seq is None or seq.state is not State.RUNNING:
        return False
    scheduler.preempt(seq_id)
    return True
