"""What a tokenizer's normalizer may do to the length of a text."""

import json
import math
from typing import Any

# Characters that one may be made of, by form. Unicode's longest canonical decomposition has four
# (UAX 15), and composing is its inverse; a form that takes apart makes none fewer.
_COMPOSED = {"NFC": 4, "NFKC": 4, "NFD": 1, "NFKD": 1}


def chars_of_one(normalizer: Any) -> int:
    """Of how many characters at most a normalized one is made; 0 where it may drop any number.

    normalizer   of the library `tokenizers`, or None
    """
    if normalizer is None:
        return 1
    described = json.loads(normalizer.__getstate__())
    steps = described.get("normalizers", [described])
    return math.prod(_COMPOSED.get(step.get("type"), 0) for step in steps)
