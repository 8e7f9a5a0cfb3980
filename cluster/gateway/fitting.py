"""What cannot fit the model's context is refused before it travels, once for all choices."""

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.gateway.generation import Generation
from workers.errors import ContextTooLong


def check_fits(generation: Generation, models: Sequence[Mapping[str, Any]]) -> None:
    """Raises ContextTooLong for a prompt that has too many tokens for certain: ids, or text with so
    many characters that tokens of the longest kind would not do. The router knows the rest.
    """
    model = next((known for known in models if known["id"] == generation.model), None)
    if model is None:
        return  # the router refuses it
    context, longest = model.get("max_model_len", 0), model.get("max_token_chars", 0)
    for request in generation.requests[:: generation.n]:
        least = len(request.prompt_ids)
        if request.prompt and longest:
            least = -(-len(request.prompt) // longest)
        max_tokens = request.sampling.max_tokens
        if context and least + max_tokens > context:
            raise ContextTooLong(
                f"the prompt has at least {least} tokens and max_tokens is {max_tokens}: together "
                f"they must not exceed the context of {context} tokens",
                param="prompt",
            )
