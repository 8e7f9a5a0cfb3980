"""What the grammar's library says of a constraint, in words for whoever asked for it."""

import re

from workers.errors import InvalidRequest
from workers.model.shaping import Constraint

_ERROR_CHARS = 200
_PLACE = re.compile(r"^at \d+\(\d+\): (failed to compile JSON schema: )?")
_EXCERPT = re.compile(r"\n\s*\d+ \| ")
# It advises options that are not the user's to set.
_ONE_OF = re.compile(r"oneOf constraints are not supported\..*", re.DOTALL)
_ONE_OF_RIGHT = '"oneOf" whose branches no type and no required constant tells apart: use "anyOf"'


def refusal(constraint: Constraint, error: str) -> InvalidRequest:
    said_by = constraint.said_by
    error = _EXCERPT.split(error)[0]  # of the source: ours, but for a user's own grammar
    if constraint.kind != "grammar":
        error = _ONE_OF.sub(_ONE_OF_RIGHT, _PLACE.sub("", error))
    return InvalidRequest(f"{said_by} cannot be enforced: {one_line(error)}", param=said_by)


def one_line(error: str) -> str:
    """Of what may be many."""
    return " ".join(error.split())[:_ERROR_CHARS]
