"""Gateway and router: texts in, vectors back."""

from dataclasses import dataclass
from typing import Any

from workers.wire.kind import Kind, kind
from workers.wire.roles import Count, RowsOfIds, Tensor, Text, Texts

# Of one text: an embedder has each n-gram of it in memory at once, 40 MB for this.
EMBED_CHARS_MAX = 1 << 18
# OpenAI's limit of texts in one request.
EMBED_TEXTS_MAX = 2048


@kind("embedded")
@dataclass(frozen=True, slots=True)
class Embedded(Kind[Any]):
    """Vectors [n, dim] in float32, each of length 1, and how many tokens the embedder read."""

    vectors: Tensor
    num_tokens: Count


@kind("embed")
@dataclass(frozen=True, slots=True)
class Embed(Kind[Embedded]):
    """Vectors of texts are wanted, for a user.

    model   an embedder, or the served model: then the one that new stores get
    first   how many texts of the same user's came before these; errors count from there
    ids     texts as the served model's tokens, where there are no `texts`
    """

    model: Text
    texts: Texts
    first: Count
    ids: RowsOfIds = ()
