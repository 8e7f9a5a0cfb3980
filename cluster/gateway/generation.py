"""One POST as the cluster sees it: which submissions, and how the user wants them back."""

from dataclasses import dataclass, replace
from typing import Any

from cluster.api.request import Request, Retrieval
from cluster.gateway.constraint import read_shaping
from cluster.gateway.fields import Fields, whole_number
from cluster.gateway.naming import SEED_MAX, choice_seed
from cluster.gateway.settings import GatewaySettings
from cluster.gateway.stream_options import stream_options
from cluster.gateway.tools.calling import Calling
from cluster.gateway.values import check_values
from workers.errors import InvalidRequest
from workers.model.sampling_params import SamplingParams

# These cannot change one character of the answer: bookkeeping, billing tiers, cache and latency
# hints.
IGNORED = frozenset(
    (
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "prediction",
        "parallel_tool_calls",
        "cache_salt",
    )
)

# These would change it, except at the value that means "as if absent".
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "length_penalty": (1,),
    "min_p": (0,),
    "best_of": (1,),
    "use_beam_search": (False,),
    "bad_words": ([],),
    "allowed_token_ids": ([],),
    "priority": (0,),
    "detokenize": (True,),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "add_special_tokens": (False,),  # a prompt is tokenised as it is
    "vllm_xargs": ({},),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True, False),
    "include_stop_str_in_output": (False,),
}


@dataclass(frozen=True, slots=True)
class Generation:
    """A parsed request.

    requests       num_prompts x n submissions, those of one prompt side by side; their index is the
                   choice's
    include_usage  a last chunk carries usage          usage_each   every chunk does (vLLM's
                   extension)
    is_seeded      the user chose the seed
    calling        functions that answers may call, or None
    echoed         what each choice's text begins with: its prompt, where that is asked for
    """

    response_id: str
    model: str
    requests: tuple[Request, ...]
    num_prompts: int
    stream: bool
    include_usage: bool
    usage_each: bool
    retrieval: Retrieval | None
    is_seeded: bool
    calling: Calling | None = None
    echoed: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        return len(self.requests) // self.num_prompts

    def seeded(self, seed: int) -> "Generation":
        """The same with that seed, as if the user had given it."""
        return replace(
            self,
            requests=tuple(
                _with_seed(request, choice_seed(seed, index % self.n))
                for index, request in enumerate(self.requests)
            ),
            is_seeded=True,
        )


def sampling(
    fields: Fields,
    default_seed: int,
    max_tokens: int | None,
    default_max_tokens: int,
    logprobs: int | None,
    settings: GatewaySettings,
) -> SamplingParams:
    """What both APIs spell alike. Seeds are taken modulo 2^63, so that negative ones are welcome
    too. A default of max_tokens is no less than min_tokens.
    """
    min_tokens = fields.integer("min_tokens", 0) or 0
    seed = fields.integer("seed", default_seed, -(1 << 63), SEED_MAX)
    params = SamplingParams(
        max_tokens=max_tokens or max(default_max_tokens, min_tokens),
        min_tokens=min_tokens,
        temperature=fields.number("temperature", settings.default_temperature, 0.0, 2.0),
        top_p=fields.number("top_p", 1.0, 0.0, 1.0),
        # vLLM writes "all" as -1, and its clients send it.
        top_k=max(0, fields.integer("top_k", 0, -1) or 0),
        seed=(seed or 0) & SEED_MAX,
        stop=_strings(fields, "stop"),
        stop_token_ids=_token_ids(fields, "stop_token_ids"),
        ignore_eos=fields.boolean("ignore_eos"),
        logprobs=logprobs,
        shaping=read_shaping(fields),
    )
    params.validate()
    return params


def fan_out(
    prompts: list[Request],
    fields: Fields,
    response_id: str,
    retrieval: Retrieval | None,
    settings: GatewaySettings,
    extra_neutral: dict[str, tuple[Any, ...]],
) -> Generation:
    """Read the fields about the answer's shape, refuse what is left, and make n submissions a
    prompt.
    """
    n = fields.integer("n", 1, 1, settings.max_choices) or 1
    if n * len(prompts) > settings.max_choices:
        raise InvalidRequest(
            f"{len(prompts)} prompts times n = {n} are {n * len(prompts)} choices: at most "
            f"{settings.max_choices} fit one request",
            param="n",
        )
    if retrieval is not None and len(prompts) > 1:
        raise InvalidRequest(
            f"retrieval with {len(prompts)} prompts: send one prompt a request", param="retrieval"
        )
    check_values("messages", prompts[0].messages)
    check_values("tools", prompts[0].tools)
    stream = fields.boolean("stream")
    include_usage, usage_each = stream_options(fields, stream)
    fields.refuse_rest(IGNORED, NEUTRAL | extra_neutral)
    requests = tuple(
        _choice(prompt, p * n + i, i) for p, prompt in enumerate(prompts) for i in range(n)
    )
    if len(requests) == 1:
        requests = (prompts[0],)
    return Generation(
        response_id=response_id,
        model=prompts[0].model,
        requests=requests,
        num_prompts=len(prompts),
        stream=stream,
        include_usage=include_usage,
        usage_each=usage_each,
        retrieval=retrieval,
        is_seeded=fields.has_had("seed"),
    )


def _choice(prompt: Request, index: int, i: int) -> Request:
    named = replace(prompt, request_id=f"{prompt.request_id}-{index}")
    return _with_seed(named, choice_seed(prompt.sampling.seed, i))


def _with_seed(request: Request, seed: int) -> Request:
    return replace(request, sampling=replace(request.sampling, seed=seed))


def _strings(fields: Fields, key: str) -> tuple[str, ...]:
    value = fields.take(key)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(s, str) for s in value):
        raise fields.wrong(key, value, "a string or a list of strings")
    return tuple(value)


def _token_ids(fields: Fields, key: str) -> tuple[int, ...]:
    value = fields.take(key)
    if value is None:
        return ()
    ids = token_ids(value)
    if ids is None:
        raise fields.wrong(key, value, "a list of token ids")
    return ids


def token_ids(value: object) -> tuple[int, ...] | None:
    """Of a list of integers of 31 bits; which of them the vocabulary has is the router's to say."""
    if not isinstance(value, list):
        return None
    if not all(type(x) is int for x in value):
        value = [-1 if (whole := whole_number(x)) is None else whole for x in value]
    return tuple(value) if all(0 <= x < 1 << 31 for x in value) else None
