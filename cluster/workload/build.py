"""All requests of a scenario, ready to be submitted: same scenario, same requests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.api.request import Request, Retrieval
from cluster.text.dates import clock_of
from cluster.workload.arrivals import arriving
from cluster.workload.prompts import Prompt, SyntheticSessions, question_prompts
from cluster.workload.requests import Requests, TimedRequest
from cluster.workload.sessions import Sessions
from cluster.workload.streams import stream
from cluster.workload.trace_prompts import TracePrompts
from cluster.workload.traces import Trace, read_trace
from cluster.workload.words import Words
from configs.presets import model_folder, questions_file
from configs.schema import Scenario
from configs.schema.trace import TraceArrivals, TraceLengths
from configs.schema.workload import WorkloadSection

__all__ = ["TimedRequest", "Workload", "build_workload"]

PLACEHOLDERS = (
    "model.numerics is 'counts': nothing is computed; answers are placeholders of the right "
    "length, and nothing checks that what they came of is whole, as numerics: digest does"
)


@dataclass(frozen=True, slots=True)
class Workload:
    """requests      in the order of arrival; each may be made when it is asked for
    concurrency   closed loop: so many are in flight at once, the next is sent when one ends; None:
                  each is sent at its own time
    sessions      which requests wait for another's answer; None: none does
    max_input, words   prompts are cut to so many of these tokens, once they are whole
    num_skipped, notes   rows of a trace that ask for nothing; what else people should know of it
    """

    requests: Sequence[TimedRequest]
    concurrency: int | None = None
    sessions: Sessions | None = None
    max_input: int | None = None
    words: Words | None = None
    num_skipped: int = 0
    notes: tuple[str, ...] = ()

    def firsts(self) -> Iterable[int]:
        """Requests that wait for no answer, in the order of arrival."""
        return range(len(self.requests)) if self.sessions is None else self.sessions.firsts()

    def cut(self, request: Request) -> Request:
        """No longer than prompts may be."""
        if self.max_input is None or self.words is None:
            return request
        return self.words.cut(request, self.max_input)


def build_workload(scenario: Scenario, vocab_size: int) -> Workload:
    """The scenario's requests; prompts made of token ids use all of `vocab_size`.

    Reads the trace or question file that the scenario names; raises TraceError or QuestionsError.
    """
    section, seed = scenario.workload, scenario.seed
    trace = _trace(section)
    arrivals = arriving(section.arrivals, seed, trace)
    count = len(arrivals.times_ns)
    today = clock_of(scenario.cluster.world)
    words = Words(model_folder(scenario.model.path), vocab_size, today)
    questions, recorded = section.prompts.questions, section.prompts.trace
    retrieval = None
    if questions is not None and questions.retrieval is not None:
        retrieval = Retrieval(questions.retrieval.store, questions.retrieval.top_k)
    has_values = scenario.model.numerics != "counts"
    told = () if has_values else (PLACEHOLDERS,)
    requests = Requests(
        scenario.model.name,
        section.sampling,
        stream(seed, "sampling seeds").integers(0, 2**31, size=count),
        _prompts(section, count, seed, trace, words),
        arrivals,
        retrieval,
        is_judged=has_values,
    )
    workload = Workload(requests, arrivals.concurrency, arrivals.sessions, notes=told)
    if trace is None:
        return workload
    return replace(
        workload,
        max_input=None if recorded is None else recorded.max_input,
        words=words,
        num_skipped=trace.num_skipped,
        notes=(*told, *_notes(trace, section, vocab_size)),
    )


def _named(section: WorkloadSection) -> TraceArrivals | TraceLengths | None:
    """Where the scenario names its trace."""
    recorded = section.prompts.trace
    if section.arrivals.trace is None and recorded is not None:
        return recorded
    return section.arrivals.trace


def _trace(section: WorkloadSection) -> Trace | None:
    named = _named(section)
    if named is None or named.path is None:
        return None
    arrivals = section.arrivals.chosen
    return read_trace(
        named.format,
        Path(named.path).expanduser().absolute(),
        arrivals.num_requests,
        block_tokens=named.block_tokens,
        history=named.history,
    )


def _prompts(
    section: WorkloadSection, count: int, seed: int, trace: Trace | None, words: Words
) -> Sequence[Prompt]:
    prompts, vocab_size = section.prompts, words.vocab_size
    if prompts.questions is not None:
        return question_prompts(questions_file(prompts.questions.path), count)
    if prompts.synthetic is not None:
        return SyntheticSessions(prompts.synthetic, count, seed, vocab_size)
    named = _named(section)
    assert prompts.trace is not None, prompts
    assert trace is not None
    assert named is not None
    return TracePrompts(prompts.trace, trace, seed, vocab_size, named.block_tokens, words)


def _notes(trace: Trace, section: WorkloadSection, vocab_size: int) -> tuple[str, ...]:
    """What a user would not expect of this file."""
    notes = list(trace.notes)
    if not trace.has_times and section.arrivals.trace is not None:
        notes.append(
            f"{trace.path}: records no times, so that all sessions begin at once; "
            "workload.prompts.trace.path names it beside closed, poisson or gamma arrivals"
        )
    if section.prompts.trace is None:
        return tuple(notes)
    if trace.most_token_id >= vocab_size:
        notes.append(
            f"{trace.path}: has token ids up to {trace.most_token_id}, recorded with another "
            f"model: they are taken modulo this one's {vocab_size}"
        )
    return (*notes, *trace.histories())
