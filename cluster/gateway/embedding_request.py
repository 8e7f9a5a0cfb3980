"""The body of POST /v1/embeddings."""

from dataclasses import dataclass

from cluster.api.embedding import EMBED_CHARS_MAX, EMBED_TEXTS_MAX
from cluster.gateway.embed_calls import Input
from cluster.gateway.fields import Fields
from cluster.gateway.generation import token_ids
from workers.errors import InvalidRequest

_IGNORED = frozenset(("user",))


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A parsed request. `dimensions` 0: as many as the embedder has."""

    model: str
    texts: tuple[Input, ...]
    dimensions: int
    is_base64: bool


def parse_embeddings(body: object) -> Embeddings:
    """Raises InvalidRequest naming the first field that is wrong or not supported."""
    fields = Fields(body)
    model = fields.string("model")
    texts = _texts(fields)
    encoding = fields.string("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise fields.wrong("encoding_format", encoding, "'float' or 'base64'")
    dimensions = fields.integer("dimensions", 0, 1) or 0
    fields.refuse_rest(_IGNORED, {})
    return Embeddings(model, texts, dimensions, encoding == "base64")


def check_dimensions(wanted: int, dim: int) -> None:
    """Raises InvalidRequest: the first values of a vector mean nothing without the others, unless
    its embedder was trained so.
    """
    if wanted not in (0, dim):
        raise InvalidRequest(
            f"dimensions is {wanted}: this embedder's vectors have {dim} and cannot be shortened",
            param="dimensions",
        )


def _texts(fields: Fields) -> tuple[Input, ...]:
    raw = fields.take("input")
    right = "a non-empty string, a list of token ids, or a list of either"
    if isinstance(raw, str) or (raw and token_ids(raw)):
        raw = [raw]
    if not isinstance(raw, list) or not raw:
        raise fields.wrong("input", raw, right)
    if len(raw) > EMBED_TEXTS_MAX:
        raise InvalidRequest(
            f"input has {len(raw)} texts: at most {EMBED_TEXTS_MAX} fit one request", param="input"
        )
    return tuple(_text(fields, f"input[{index}]", one) for index, one in enumerate(raw))


def _text(fields: Fields, name: str, one: object) -> Input:
    # What a token stands for is not known here: the router counts its characters.
    if (ids := token_ids(one)) and len(ids) <= EMBED_CHARS_MAX:
        return ids
    if not isinstance(one, str) or not one:
        raise fields.wrong(name, one, "a non-empty string, or a list of token ids")
    if len(one) > EMBED_CHARS_MAX:
        raise InvalidRequest(
            f"{name} has {len(one)} characters: at most {EMBED_CHARS_MAX} are embedded",
            param="input",
        )
    return one
