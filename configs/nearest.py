"""Hints for names that do not exist."""

import difflib
from collections.abc import Iterable


def nearest(wrong: str, known: Iterable[str]) -> str:
    """The names nearest to a wrong one, first those that it begins ("h100" is no "h800", one letter
    away), or all of them when none is near; a clause for an error message.
    """
    names = sorted(known)
    begun = [name for name in names if wrong and name.startswith(wrong)]
    # The search is quadratic in length, and no name is as long.
    near = difflib.get_close_matches(wrong[:100], names, n=3, cutoff=0.5)
    close = list(dict.fromkeys(begun + near))[:3]
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"known: {', '.join(names)}" if names else "there is none"
