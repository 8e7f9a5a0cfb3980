"""A step of 256 decoding sequences costs about half a millisecond, told by what a busy machine does
not change: calls, and the ratio of times taken in turns.
"""

import sys
import time
from statistics import median

from workers.chip.scheduler import Scheduler
from workers.chip.sequence import Sequence
from workers.kv.blocks import BlockManager


def decoding(num: int) -> Scheduler:
    """So many sequences, all with their prompts computed."""
    blocks = BlockManager(6_000, 16)
    scheduler = Scheduler(blocks, max_num_seqs=256, max_num_batched_tokens=8192, max_model_len=4096)
    for n in range(num):
        scheduler.add(Sequence(f"s{n}", [n, *range(100 + n % 16)], 1000))
    while one_step(scheduler) != num:
        pass
    return scheduler


def one_step(scheduler: Scheduler) -> int:
    """Its tokens."""
    step = scheduler.schedule()
    assert step is not None
    scheduler.advance(step, {i.seq.seq_id: 1 for i in step.items if i.samples})
    return step.num_tokens


def test_a_step_costs_in_proportion_to_its_decoding_sequences() -> None:
    """Steps of 256 and of 32, in turns, by the thread's own time: 8 times the sequences take about
    7 times as long; O(n^2) would take 64 times.
    """
    few, many = decoding(32), decoding(256)
    took_s: dict[Scheduler, list[float]] = {few: [], many: []}
    for _ in range(60):
        for scheduler, taken_s in took_s.items():
            begun_s = time.thread_time()
            one_step(scheduler)
            taken_s.append(time.thread_time() - begun_s)
    assert median(took_s[many]) < 12 * median(took_s[few])


def test_a_step_makes_few_calls_for_each_decoding_sequence() -> None:
    """16 steps, in which each of 256 goes through one whole block: 24 calls a sequence and step,
    where a half of a millisecond went when they were counted. Calls cost alike on a busy machine.
    """
    scheduler, calls = decoding(256), list[str]()

    def called(_: object, event: str, __: object) -> None:
        if event in ("call", "c_call"):
            calls.append(event)

    sys.setprofile(called)
    try:
        for _ in range(16):
            one_step(scheduler)
    finally:
        sys.setprofile(None)
    assert len(calls) < 16 * 256 * 48
