"""Who asks, when, and what."""

from typing import Any, Self

from pydantic import Field, model_validator

from configs.schema.section import Name, Section
from configs.schema.trace import REQUESTS_MAX, TOKENS_MAX, TraceArrivals, TraceLengths


class OneOf(Section):
    """A choice written as a mapping with exactly one key: the choice's name, then its
    parameters.
    """

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        fields = type(self).model_fields
        chosen = [name for name in fields if getattr(self, name) is not None]
        if len(chosen) != 1:
            given = ", ".join(chosen) or "nothing"
            raise ValueError(f"holds {given}: it must hold exactly one of {', '.join(fields)}")
        return self

    @property
    def chosen(self) -> Any:
        """The parameters of the one choice."""
        return next(
            value for name in type(self).model_fields if (value := getattr(self, name)) is not None
        )


class ClosedArrivals(Section):
    """`concurrency` users, each of whom asks anew as soon as it is answered, until all is asked."""

    concurrency: int = Field(ge=1, le=REQUESTS_MAX)
    num_requests: int = Field(ge=1, le=REQUESTS_MAX)


class PoissonArrivals(Section):
    """Independent users: exponential gaps at `rate_per_s` requests per emulated second."""

    rate_per_s: float = Field(ge=1e-6, le=1e9)
    num_requests: int = Field(ge=1, le=REQUESTS_MAX)


class GammaArrivals(Section):
    """Gamma gaps with coefficient of variation `cv`: above 1 in bursts, below 1 regular, 1 is
    Poisson.
    """

    rate_per_s: float = Field(ge=1e-6, le=1e9)
    cv: float = Field(ge=1e-3, le=1e3)
    num_requests: int = Field(ge=1, le=REQUESTS_MAX)


class Arrivals(OneOf):
    closed: ClosedArrivals | None = None
    poisson: PoissonArrivals | None = None
    gamma: GammaArrivals | None = None
    trace: TraceArrivals | None = None


class Uniform(Section):
    """Each length from `low` to `high`, both included, alike."""

    low: int = Field(ge=1, le=TOKENS_MAX)
    high: int = Field(ge=1, le=TOKENS_MAX)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low is {self.low} and high {self.high}: low must not be above high")
        return self


class LogNormal(Section):
    """`median` with `sigma` of the logarithm, clipped to `low` .. `high`."""

    median: float = Field(ge=1, le=TOKENS_MAX)
    sigma: float = Field(ge=0, le=100)
    low: int = Field(default=1, ge=1, le=TOKENS_MAX)
    high: int | None = Field(default=None, ge=1, le=TOKENS_MAX)


class Zipf(Section):
    """Rank r of `low` .. `high` with probability proportional to r ** -alpha: short ones are
    common.
    """

    alpha: float = Field(gt=0, le=100)
    low: int = Field(default=1, ge=1, le=TOKENS_MAX)
    high: int = Field(ge=1, le=TOKENS_MAX)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low is {self.low} and high {self.high}: low must not be above high")
        return self


class Length(OneOf):
    """A number of tokens: always the same, or drawn."""

    fixed: int | None = Field(default=None, ge=1, le=TOKENS_MAX)
    uniform: Uniform | None = None
    lognormal: LogNormal | None = None
    zipf: Zipf | None = None


class RetrievalPrompt(Section):
    """Ask for `top_k` passages of a store named in placement.collections."""

    store: Name
    top_k: int = Field(default=3, ge=1, le=10_000)


class QuestionPrompts(Section):
    """Questions in file order, again from the start when they run out; `path` left out is the
    shipped file.
    """

    path: str | None = None
    retrieval: RetrievalPrompt | None = None


class SharedPrefix(Section):
    """`length` tokens that all prompts of one group begin with; prompts belong to `groups` groups
    by chance.
    """

    length: int = Field(ge=1, le=TOKENS_MAX)
    groups: int = Field(default=1, ge=1, le=REQUESTS_MAX)


class SyntheticPrompts(Section):
    """Random token ids.

    input_length, output_length   of each turn: new prompt tokens, and tokens to generate
    shared_prefix   tokens before them that others share, or none
    turns           turns of a session; turn t's prompt repeats the session's turns before it, then
                    adds its own
    """

    input_length: Length
    output_length: Length
    shared_prefix: SharedPrefix | None = None
    turns: int = Field(default=1, ge=1, le=10_000)


class Prompts(OneOf):
    questions: QuestionPrompts | None = None
    synthetic: SyntheticPrompts | None = None
    trace: TraceLengths | None = None


class Sampling(Section):
    """How tokens are chosen: OpenAI's names. `temperature` 0 is greedy, `top_k` 0 is all.

    With synthetic and trace prompts `max_tokens` is each request's own output length and end tokens
    are ignored. `seed` left out derives one for each request from the scenario's seed.
    """

    max_tokens: int = Field(default=16, ge=1, le=TOKENS_MAX)
    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0, le=2**31 - 1)
    seed: int | None = None
    ignore_eos: bool = False
    stop: tuple[str, ...] = Field(default=(), max_length=4)
    stop_token_ids: tuple[int, ...] = ()
    logprobs: int | None = Field(default=None, ge=0, le=20)


class WorkloadSection(Section):
    """When requests come, what they ask, and how their answers are sampled."""

    arrivals: Arrivals
    prompts: Prompts
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _trace_with_trace(self) -> Self:
        trace = self.prompts.trace
        if trace is not None and (trace.path is None) == (self.arrivals.trace is None):
            raise ValueError(
                "prompts are trace: name the trace once, in arrivals.trace, or in "
                "prompts.trace.path where arrivals are another's"
            )
        return self


# Where a scenario's mapping holds exactly one choice: another one replaces a base's, instead of
# joining.
ONE_OF_PATHS = frozenset(
    {
        ("model", "routing"),
        ("workload", "arrivals"),
        ("workload", "prompts"),
        ("workload", "prompts", "synthetic", "input_length"),
        ("workload", "prompts", "synthetic", "output_length"),
    }
)
