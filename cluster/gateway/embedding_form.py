"""Vectors as /v1/embeddings writes them."""

import base64

import orjson

from cluster.api.embedding import Embedded

# Of writing one number: 100 ns. ASSUMED, for how it queues.
OPERATIONS_PER_NUMBER = 100


def write_embeddings(model: str, embedded: Embedded, is_base64: bool) -> bytes:
    """One row after the other, so that none of many holds Python's lock for long. A number is the
    shortest that float32 tells from its neighbours; base64 is of little-endian float32.
    """
    rows = [
        orjson.dumps(
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode()
                if is_base64
                else row,
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        for index, row in enumerate(embedded.vectors)
    ]
    usage = {"prompt_tokens": embedded.num_tokens, "total_tokens": embedded.num_tokens}
    rest = orjson.dumps({"model": model, "usage": usage})
    return b'{"object":"list","data":[' + b",".join(rows) + b"]," + rest[1:]
