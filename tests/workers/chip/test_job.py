"""What a sequence has cost: every nanosecond from its arrival in one phase."""

from workers.chip.job import Job, account
from workers.chip.sequence import Sequence
from workers.chip.step import Item
from workers.chip.stepper import StepResult
from workers.model.sampling_params import SamplingParams


def spent(attention_ns: int, expert_wait_ns: int, sampling_ns: int) -> StepResult:
    return StepResult({}, {}, {}, attention_ns, expert_wait_ns, sampling_ns)


def test_what_passes_between_its_steps_is_queueing() -> None:
    """Comes at 0; steps 10 to 40 (prefill), 70 to 100 (decode, 20 + 6 + 4); others have the chip
    from 40 to 70, which was in no phase.
    """
    seq = Sequence("s", [1, 2, 3], 4)
    job = Job(seq, SamplingParams(), "both", 0)
    job.spend_until("queue", 10)
    account({"s": job}, [Item(seq, 0, 3, True)], spent(25, 0, 5), 40)
    seq.token_ids.append(7)
    job.spend_until("queue", 70)
    account({"s": job}, [Item(seq, 3, 1, True)], spent(20, 6, 4), 100)
    assert job.times_ns == {
        "queue": 40,
        "prefill": 30,
        "attention": 20,
        "expert_wait": 6,
        "sampling": 4,
    }
    assert sum(job.times_ns.values()) == job.since_ns == 100
