"""How much shorter a normalizer may make a text."""

import sys
import unicodedata
from typing import Any

import pytest
from tokenizers import normalizers as of

from cluster.text.normalizing import chars_of_one


@pytest.mark.parametrize(
    ("normalizer", "most"),
    [
        (None, 1), (of.NFC(), 4), (of.NFKC(), 4), (of.NFD(), 1), (of.Sequence([]), 1),
        (of.Sequence([of.NFC()]), 4), (of.Sequence([of.NFD(), of.NFC()]), 4),
        (of.Strip(), 0), (of.StripAccents(), 0), (of.Replace("a", ""), 0),
        (of.Sequence([of.NFC(), of.Lowercase()]), 0),
    ],
    ids=str,
)  # fmt: skip
def test_known_forms_have_a_bound_and_others_none(normalizer: Any, most: int) -> None:
    """Qwen's tokenizers have NFC, DeepSeek's an empty sequence."""
    assert chars_of_one(normalizer) == most


def test_no_character_is_made_of_more_than_four() -> None:
    everything = map(chr, range(sys.maxunicode + 1))
    assert max(len(unicodedata.normalize("NFD", one)) for one in everything) == 4
    longest = "\u1f82"
    assert of.NFC().normalize_str(unicodedata.normalize("NFD", longest)) == longest
