"""All requests of a scenario, ready to be submitted: same scenario, same requests."""

from dataclasses import dataclass
from pathlib import Path

from cluster.api.request import Request, Retrieval
from cluster.workload.arrivals import arriving
from cluster.workload.prompts import (
    Prompt,
    question_prompts,
    synthetic_prompts,
    trace_prompts,
)
from cluster.workload.streams import stream
from cluster.workload.traces import TraceEntry, read_trace
from configs.presets import questions_file
from configs.schema import Scenario
from configs.schema.workload import Sampling, WorkloadSection
from workers.model.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class TimedRequest:
    """One request and when it comes.

    at_ns             emulated time from the start of the run; 0 in a closed loop
    expected_answer   the right answer where the question file knows it, else None
    session, turn     which conversation ("" for none), and how many turns came before in it
    """

    at_ns: int
    request: Request
    expected_answer: str | None = None
    session: str = ""
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """requests      in the order of arrival
    concurrency   closed loop: so many are in flight at once, the next is sent when one ends; None:
                  each is sent at its own time
    """

    requests: tuple[TimedRequest, ...]
    concurrency: int | None = None


def build_workload(scenario: Scenario, vocab_size: int) -> Workload:
    """The scenario's requests; prompts made of token ids use all of `vocab_size`.

    Reads the trace or question file that the scenario names; raises TraceError or QuestionsError.
    """
    section, seed = scenario.workload, scenario.seed
    trace = _trace(section)
    times = arriving(section.arrivals, seed, trace)
    count = len(times.times_ns)
    prompts = _prompts(section, count, seed, vocab_size, trace)
    seeds = stream(seed, "sampling seeds").integers(0, 2**31, size=count)
    questions = section.prompts.questions
    retrieval = None
    if questions is not None and questions.retrieval is not None:
        retrieval = Retrieval(questions.retrieval.store, questions.retrieval.top_k)
    requests = tuple(
        TimedRequest(
            at_ns=times.times_ns[i],
            request=Request(
                request_id=f"request-{i}",
                model=scenario.model.name,
                sampling=_sampling(section.sampling, prompt, int(seeds[i])),
                messages=_messages(prompt),
                prompt_ids=prompt.token_ids,
                retrieval=retrieval,
            ),
            expected_answer=prompt.expected_answer,
            session=prompt.session,
            turn=prompt.turn,
        )
        for i, prompt in enumerate(prompts)
    )
    return Workload(requests, times.concurrency)


def _trace(section: WorkloadSection) -> tuple[TraceEntry, ...]:
    named = section.arrivals.trace
    if named is None:
        return ()
    return read_trace(named.format, Path(named.path).expanduser(), named.num_requests)


def _prompts(
    section: WorkloadSection,
    count: int,
    seed: int,
    vocab_size: int,
    trace: tuple[TraceEntry, ...],
) -> tuple[Prompt, ...]:
    prompts = section.prompts
    if prompts.questions is not None:
        return question_prompts(questions_file(prompts.questions.path), count)
    if prompts.synthetic is not None:
        return synthetic_prompts(prompts.synthetic, count, seed, vocab_size)
    assert prompts.trace is not None, prompts
    return trace_prompts(prompts.trace, trace, seed, vocab_size)


def _messages(prompt: Prompt) -> tuple[dict[str, str], ...]:
    return () if prompt.question is None else ({"role": "user", "content": prompt.question},)


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
