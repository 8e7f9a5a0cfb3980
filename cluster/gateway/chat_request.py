"""The body of POST /v1/chat/completions."""

from dataclasses import replace
from typing import Any

from cluster.api.request import Request
from cluster.gateway.fields import Fields
from cluster.gateway.generation import Generation, fan_out, sampling
from cluster.gateway.messages import read_messages
from cluster.gateway.naming import Name
from cluster.gateway.retrieval_request import read_retrieval
from cluster.gateway.settings import GatewaySettings
from cluster.gateway.tools.calling import read_calling
from cluster.gateway.tools.forced import forced
from workers.errors import InvalidRequest

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "modalities": (["text"],),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "echo": (False,),
    "chat_template_kwargs": ({},),
    "documents": ([],),
    "include_reasoning": (True,),
}


def parse_chat(
    body: object, name: Name, default_seed: int, settings: GatewaySettings
) -> Generation:
    """Raises InvalidRequest naming the first field that is wrong or not supported."""
    fields = Fields(body)
    model = fields.string("model")
    messages = read_messages(fields, settings.max_messages)
    calling = read_calling(fields)
    retrieval = read_retrieval(fields, "'function' or 'file_search'")
    max_tokens = _max_tokens(fields)
    params = sampling(
        fields,
        default_seed,
        max_tokens,
        settings.default_max_tokens_chat,
        _logprobs(fields),
        settings,
    )
    request = Request(
        shortens=max_tokens is None,
        request_id=name.unique,
        model=model,
        sampling=forced(params, calling),
        messages=messages,
        tools=calling.offered if calling else (),
        retrieval=retrieval,
    )
    generation = fan_out(
        [request], fields, f"chatcmpl-{name.answer}", retrieval, settings, _NEUTRAL
    )
    return replace(generation, calling=calling)


def _max_tokens(fields: Fields) -> int | None:
    old = fields.integer("max_tokens", None, 1)
    new = fields.integer("max_completion_tokens", None, 1)
    if old is not None and new is not None and old != new:
        raise InvalidRequest(
            f"max_tokens is {old} but max_completion_tokens is {new}: give one of them",
            param="max_tokens",
        )
    return new or old


def _logprobs(fields: Fields) -> int | None:
    wanted = fields.boolean("logprobs")
    top = fields.integer("top_logprobs", None, 0, 20)
    if not wanted and top:
        raise InvalidRequest(
            f"top_logprobs is {top} but logprobs is not true: set both", param="top_logprobs"
        )
    return (top or 0) if wanted else None
