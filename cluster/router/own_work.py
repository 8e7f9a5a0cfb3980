"""What a router's own work asks of the machine on which it stands.

No public source counts a router's operations; each figure here is assumed, with what it rests on.
Whoever routes much faster or slower changes the device's `scalar` resource.
"""

from collections.abc import Sequence

from cluster.api.request import Request
from workers.hardware.machine import SCALAR
from workers.hardware.work import Demand, Work

# Assumed: a byte-pair tokeniser in compiled code does 10 MB/s on a core of 4e9 operations a second.
OPERATIONS_PER_BYTE = 400
# Assumed: XXH3 of the 4 bytes of a token id, and looking its block up in a chip's prefixes.
OPERATIONS_PER_TOKEN = 10
# Assumed: what is known of a chip is read and compared: some cache misses.
OPERATIONS_PER_CHIP = 200


def tokenise_work(request: Request, passages: Sequence[str]) -> Work | None:
    """Rendering and tokenising; None where token ids came."""
    if request.prompt_ids:
        return None
    num_bytes = sum(len(text.encode()) for text in (*passages, *request.texts()))
    return Work("tokenise", (Demand(SCALAR, num_bytes * OPERATIONS_PER_BYTE),))


def route_work(num_tokens: int, num_chips: int) -> Work:
    """Hashing a prompt's blocks, and choosing the chips that compute it."""
    operations = num_tokens * OPERATIONS_PER_TOKEN * num_chips + num_chips * OPERATIONS_PER_CHIP
    return Work("route", (Demand(SCALAR, operations),))
