"""What rows and sums are in a frame, for each precision and on each wire, counted by hand."""

import asyncio
from typing import Any

import numpy as np
import pytest

from configs.precision import EXACT, Precision
from tests.workers.wire.transport.wires import KINDS, TIMEOUT_S, Wires
from workers.model.numerics import Numerics, numerics_of
from workers.wire.kinds.experts import Combine, Dispatch
from workers.wire.message import Message
from workers.wire.transport.frame import encode

TOKENS, HIDDEN, TOP_K = 3, 300, 2
BF16, INT8 = Precision("bf16", "bf16"), Precision("int8", "int8")
# A row of 300 numbers; in int8 a scale of 4 bytes for each of 128, 128 and 44.
ROW_BYTES = {EXACT: 300 * 4, BF16: 300 * 2, INT8: 300 + 3 * 4}
SUM_BYTES = {EXACT: 300 * 8, BF16: 300 * 2, INT8: 300 * 2}  # exact sums in float64
ROW_DTYPE = {EXACT: np.float32, BF16: np.uint16, INT8: np.uint8}
SUM_DTYPE = {EXACT: np.float64, BF16: np.uint16, INT8: np.uint16}
# Numbers of requests and positions of 8 bytes, experts and weights of 4 each.
ROUTE_BYTES = 8 + 8 + TOP_K * (4 + 4)

precisions = pytest.mark.parametrize("precision", [EXACT, BF16, INT8], ids=["fp32", "bf16", "int8"])


def some_rows() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(TOKENS, HIDDEN)).astype(np.float32)


def dispatch(numerics: Numerics) -> Dispatch:
    return Dispatch(
        3,
        np.arange(TOKENS, dtype=np.uint64),
        np.arange(TOKENS, dtype=np.int64),
        np.zeros((TOKENS, TOP_K), np.int32),
        np.ones((TOKENS, TOP_K), np.float32),
        numerics.sent(some_rows()),
    )


def combine(numerics: Numerics, precision: Precision) -> Combine:
    """As experts give them: float64 in exact mode, else float32."""
    sums = some_rows().astype(np.float64 if precision.exact else np.float32)
    return Combine(numerics.answered(sums))


@precisions
@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_sums_cross_in_their_own_precision(kind: str, precision: Precision) -> None:
    numerics = numerics_of(precision, HIDDEN)
    contents = dispatch(numerics), combine(numerics, precision)

    async def scenario() -> list[Message[Any]]:
        async with asyncio.timeout(TIMEOUT_S), Wires(kind) as wires:
            a, b = await wires.connected("a", "b")
            for number, content in enumerate(contents):
                await a.send("b", Message(content, "a", "b", message_id=number + 1))
            return list(await b.received(2))

    there, back = asyncio.run(scenario())
    assert there.carried_bytes() == TOKENS * (ROUTE_BYTES + ROW_BYTES[precision])
    assert there.content.hidden.dtype == ROW_DTYPE[precision]
    assert back.carried_bytes() == TOKENS * SUM_BYTES[precision]
    assert back.content.sums.dtype == SUM_DTYPE[precision]
    arrived = numerics.received(there.content.hidden)
    assert np.array_equal(arrived, numerics.received(numerics.sent(some_rows())))
    # bf16 keeps 8 bits. Beside the largest of its 128 numbers, M, int8 is off by half of M / 127.
    most = {EXACT: 0, BF16: 2.0**-8, INT8: 0.5 / 126}[precision] * np.abs(some_rows()).max()
    assert np.abs(arrived - some_rows()).max() <= most


@precisions
def test_a_frame_carries_the_bytes_that_a_link_is_charged(precision: Precision) -> None:
    """Beside the header: five arrays, each at a multiple of 64 bytes from the start."""
    numerics = numerics_of(precision, HIDDEN)
    content = dispatch(numerics)
    frame = encode(Message(content, "a", "b"))
    rows = TOKENS * ROW_BYTES[precision]
    assert frame.endswith(content.hidden.tobytes())
    assert (len(frame) - rows) % 64 == 0
    charged = content.wire_bytes(numerics)
    assert charged == 64 + 4 + TOKENS * (8 + 4 + TOP_K * 8) + rows
