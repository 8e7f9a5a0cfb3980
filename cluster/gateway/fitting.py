"""What cannot fit the cluster is refused before it travels, once for all choices."""

from collections.abc import Mapping
from typing import Any

from cluster.api.length import check_length
from cluster.gateway.generation import Generation
from workers.errors import InvalidRequest


def check_fits(generation: Generation, model: Mapping[str, Any], max_alternatives: int) -> None:
    """Raises ContextTooLong for a prompt that has too many tokens for certain: ids, or text with so
    many characters that tokens of the longest kind would not do; InvalidRequest for more choices
    than are ever let in together, or more alternatives than an answer in one piece may list. The
    router knows the rest.

    model   what it says of itself, see RouterClient.models
    """
    _check_queue(generation, model.get("max_queue", 0))
    _check_whole(generation, model.get("max_model_len", 0), max_alternatives)
    context, longest = model.get("max_model_len", 0), model.get("max_token_chars", 0)
    if not context:
        return
    for request in generation.requests[:: generation.n]:
        if request.prompt_ids:
            check_length(request, len(request.prompt_ids), context)
        elif request.prompt and longest:
            check_length(request, -(-len(request.prompt) // longest), context, "at least ")


def _check_queue(generation: Generation, most: int) -> None:
    wanted = len(generation.requests)
    if most and wanted > most:
        name = "n" if generation.n > 1 else "prompt"
        asked = f"{generation.num_prompts} prompts times n = {generation.n}"
        raise InvalidRequest(
            f"{asked} are {wanted} choices: the cluster takes at most {most} at once "
            "(slo.admission.max_queue)",
            param=name,
        )


def _check_whole(generation: Generation, context: int, most: int) -> None:
    sampling = generation.requests[0].sampling
    if generation.stream or sampling.logprobs is None:
        return
    tokens = min(sampling.max_tokens, context or sampling.max_tokens)
    listed = len(generation.requests) * tokens * (1 + sampling.logprobs)
    if listed > most:
        raise InvalidRequest(
            f"{len(generation.requests)} choices of up to {tokens} tokens with {sampling.logprobs} "
            f"alternatives list {listed}: at most {most} fit an answer in one piece; set stream to "
            "true, or ask for fewer",
            param="logprobs",
        )
