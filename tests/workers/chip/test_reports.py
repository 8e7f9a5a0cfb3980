"""Several steps that leave as one report say what they would have said one by one."""

import numpy as np

from cluster.router.heard import failures_of, steps_of, tokens_of
from cluster.router.machine.events import Fault
from workers.chip.job import Job
from workers.chip.reports import failure_report, one_report, tokens_report
from workers.chip.sequence import Sequence
from workers.errors import PeerDead
from workers.model.sampling import Choice
from workers.model.sampling_params import SamplingParams
from workers.wire.kinds.chip import Tokens


def a_job(name: str, stage: str = "decode") -> Job:
    sampling = SamplingParams(max_tokens=9, logprobs=1, return_logits=True)
    job = Job(Sequence(name, [1, 2], 9), sampling, stage, 0)
    job.spend("attention", 5)
    return job


def step(jobs: list[Job], first_token: int, finished: dict[str, str]) -> Tokens:
    """One token for each, all of them different."""
    sampled, logits = [], {}
    for index, job in enumerate(jobs):
        token = first_token + index
        job.seq.token_ids.append(token)
        choice = Choice(token, -float(token), ((token, -float(token)),), margin=1.0)
        sampled.append((job, choice))
        logits[job.seq.seq_id] = np.full(3, token, np.float32)
    return tokens_report(sampled, finished, logits)


def test_of_three_steps_with_two_sequences_one_of_which_ends_and_one_that_fails() -> None:
    """The same sequence has a row of each step, with its own log-probability and logits."""
    first, second = a_job("one"), a_job("two", "prefill")
    reports = [
        step([first, second], 10, {}),
        failure_report("three", PeerDead("gone")),
        step([first], 20, {"one": "stop"}),
    ]
    merged = one_report(reports)
    assert list(tokens_of(merged)) == [token for told in reports for token in tokens_of(told)]
    assert [[token.token_id for token in one] for one in steps_of(merged)] == [[10, 11], [20]]
    logprobs = [token.logprob.logprob for token in tokens_of(merged) if token.logprob is not None]
    assert logprobs == [-10.0, -11.0, -20.0]
    assert failures_of(merged, as_told) == failures_of(reports[1], as_told)


def as_told(fault: Fault) -> Fault:
    return fault


def test_one_report_alone_is_itself() -> None:
    alone = step([a_job("one")], 10, {})
    assert one_report([alone]) is alone
