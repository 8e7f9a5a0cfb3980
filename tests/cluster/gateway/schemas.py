"""What a schema that a client sent lets through, in the end."""

from typing import Any

from cluster.gateway.json_schema import json_schema
from workers.errors import InvalidRequest
from workers.model.grammar import Grammars, Vocabulary, check
from workers.model.shaping import Constraint

# A model that writes single bytes.
END = 255
TEXTS = (*(bytes([byte]) for byte in range(END)), b"")
GRAMMARS = Grammars(lambda: Vocabulary(TEXTS, frozenset(), (END,)))


def lets_through(asked: Any, text: str) -> bool:
    return accepts(json_schema(asked, "asked"), text)


def accepts(constraint: Constraint, text: str) -> bool:
    check(constraint)
    grammar = GRAMMARS.begin(constraint)
    answer = [*text.encode(), END]
    for count, token in enumerate(answer):
        grammar.follow(answer[:count], 0)
        if not grammar.allowed()[token]:
            return False
    return True


def refusal(asked: Any) -> str:
    """Empty where there is none."""
    try:
        check(json_schema(asked, "asked"))
    except InvalidRequest as error:
        return error.message
    return ""
