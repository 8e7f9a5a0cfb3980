"""What every kind of message costs a link, by hand; and that each says the same after a frame."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cluster.api import embedding
from cluster.api import kinds as api
from cluster.api.output import Output, TokenLogprob
from cluster.api.request import Request, Retrieval
from cluster.faults.words import kind_words
from configs.precision import Precision
from tests.cluster.api import fold_kinds, rank_kinds, store_prices, switched_kinds
from workers.memory.hit import Hit
from workers.model.numerics import EXACT_NUMERICS, Numerics, numerics_of
from workers.model.sampling_params import SamplingParams
from workers.model.shaping import Constraint, Shaping
from workers.wire.kind import KINDS, Failed, Kind, Reply
from workers.wire.kinds import chip, collectives, experts, kv, memory, near, shipping, there
from workers.wire.message import Message
from workers.wire.transport.frame import decode, encode

ENVELOPE = 64
BF16 = numerics_of(Precision("bf16", "bf16"), 10)
INT4 = numerics_of(Precision("int4", "int8"), 10)
FREE = replace(EXACT_NUMERICS, free_metadata=True)

INDEX = np.arange(3, dtype=np.int64)
SUMS = np.arange(3, dtype=np.uint64)
HASHES = np.zeros((3, 16), dtype=np.uint8)
BLOCKS = np.zeros((3, 2, 8), dtype=np.float32)
KV_IN_INT8 = np.zeros((3, 2, 8), dtype=np.int8)
# max_tokens, temperature, top_p, top_k, seed of 8 each; a stop string of 3; ignore_eos and
# return_logits of 1 each; logprobs 8.
SAMPLING = SamplingParams(max_tokens=5, stop=("end",), logprobs=2)
SAMPLING_BYTES = 5 * 8 + 3 + 2 + 8
# The numbers and truth values of SAMPLING without stop and logprobs; three penalties of 8, an id
# and a number of 8 each, a constraint's kind of 1 and text of 3 ("ü" has two bytes).
SHAPING = Shaping(Constraint("regex", "aü"), ((5, 1.5),), 0.5)
SHAPED = SamplingParams(max_tokens=5, shaping=SHAPING)
SHAPED_BYTES = 5 * 8 + 2 + 3 * 8 + 2 * 8 + 1 + 3
TOKENS = np.array([7, 8], dtype=np.int64)
ROW = np.zeros(11, dtype=np.float32)
# "r1" and "m"; role and text of two messages, "ü" of two bytes; store and top_k; a deadline of 8.
REQUEST = Request(
    "r1",
    "m",
    SAMPLING,
    messages=({"role": "system", "content": "ü"}, {"role": "user", "content": "hello"}),
    retrieval=Retrieval("cards", 3),
    deadline_ns=9,
)
REQUEST_BYTES = 2 + 1 + SAMPLING_BYTES + (6 + 2) + (4 + 5) + (5 + 8) + 8
# A position, three counts, two token ids: 4 each. "r1", the text, a reason; a probability of one
# token and of one more, each with an id and a number; a passage. Not the times.
OUTPUT = Output(
    "r1",
    0,
    (5, 6),
    "hi",
    (TokenLogprob(5, b"h", -0.5, ((6, b"i", -1.0),)),),
    "stop",
    num_prompt_tokens=9,
    times={"queue": 5},
    passages=("a passage",),
)
OUTPUT_BYTES = 4 * 4 + 2 * 4 + 2 + 2 + 4 + (2 * 8 + 2 + 1) + 9

# T = 3 tokens, K = 2 experts each, H = 10: per token a number of 8, a position of 4, K experts and
# weights of 4 each, and the row.
DISPATCH = experts.Dispatch(
    3,
    np.zeros(3, np.uint64),
    np.zeros(3, np.int64),
    np.zeros((3, 2), np.int32),
    np.zeros((3, 2), np.float32),
    np.zeros((3, 10), np.float32),
)
COMBINE = experts.Combine(np.zeros((3, 10), np.float64))
# Of 2 sequences with 3 queries of 4 heads, 10 wide: a number of 8, a limit and a count of 4 each.
NUMBERS = np.array([1, 2], dtype=np.uint64)
FEW = np.array([1, 2], dtype=np.int64)
NEAR = np.zeros((3, 4, 10), np.float32)
BYTES = np.zeros((3, 128), dtype=np.uint8)
TERMS = {
    f"{chunk}.{rank}": np.full(5 - chunk // 3, rank, float) for chunk in (0, 3) for rank in (0, 2)
}

# content -> bytes beside the envelope, of an exact model
BY_HAND: list[tuple[Kind[Any], int]] = [
    *fold_kinds.BY_HAND,
    *rank_kinds.BY_HAND,
    *switched_kinds.BY_HAND,
    (Reply(), 0),
    (Failed({"code": "not_found", "message": "no", "facts": {"param": "x"}}), 9 + 2 + 1),
    (DISPATCH, 4 + 3 * (8 + 4 + 2 * 4 + 2 * 4) + 3 * 10 * 4),
    (COMBINE, 3 * 10 * 4),
    (experts.WeightsRead(3, 7, 0, 262_144), 4 + 4 + 2 * 8),
    (experts.Weights(np.zeros(8, np.float32), 16), 16),
    (experts.ExpertHint(3, np.array([7, 9], np.int32)), 4 + 2 * 4),
    (there.IsThere(), 0),
    # Two chunks with the terms of two ranks each: charged is every chunk once.
    (collectives.Piece("tp-0", 7, 1, (0, 3), (20, 16), TERMS), 4 + 8 + 4 + 20 + 16),
    (kv.KvBlocks(INDEX, SUMS, BLOCKS), 3 * 4 + 3 * 8 + 3 * 16 * 4),
    (kv.KvBlocks(INDEX, SUMS, KV_IN_INT8), 3 * 4 + 3 * 8 + 3 * 16),
    (kv.Start(5, 10**12), 4 + 8),
    (kv.PoolGet(HASHES), 3 * 16),
    (kv.KvBlocks(INDEX, SUMS, BLOCKS, 16, "int8", True), 3 * 4 + 3 * 8 + 3 * 16 * 4 + 4 + 1 + 1),
    (kv.PoolBlocks(INDEX, SUMS, BLOCKS), 3 * 4 + 3 * 8 + 3 * 16 * 4),
    (kv.PoolPut(HASHES, SUMS, BLOCKS), 3 * 16 + 3 * 8 + 3 * 16 * 4),
    (kv.PoolStored(2, 1), 4 + 4),
    (kv.PoolDrop(HASHES), 3 * 16),
    (near.NearPut(7, INDEX, SUMS, BYTES), 8 + 3 * 4 + 3 * 8 + 3 * 128),
    (near.NearStored(True), 1),
    (near.NearDrop(NUMBERS), 2 * 8),
    (near.NearAttend(1, NUMBERS, FEW, FEW, NEAR), 4 + 2 * (8 + 4 + 4) + 3 * 4 * 10 * 4),
    (near.NearParts(FEW, NEAR, NEAR[..., 0]), 2 * 4 + 3 * 4 * 10 * 4 + 3 * 4 * 4),
    (near.NearFetch(1, NUMBERS, FEW), 4 + 2 * (8 + 4)),
    (near.NearBlocks(FEW, BYTES), 2 * 4 + 3 * 128),
    (chip.Reserve((1, 2, 3), SAMPLING, 9), 3 * 4 + SAMPLING_BYTES + 8),
    (chip.Reserved(True, 2), 1 + 4),
    (chip.Prefill((1, 2, 3), SAMPLING, "decode-0", 2, 9), 3 * 4 + SAMPLING_BYTES + 8 + 4 + 8),
    (chip.Generate((1, 2, 3), SAMPLING, 9), 3 * 4 + SAMPLING_BYTES + 8),
    (chip.Generate((1, 2, 3), SHAPED, 9), 3 * 4 + SHAPED_BYTES + 8),
    (chip.Abort(), 0),
    (chip.Aborted(True), 1),
    (
        # Two tokens: "r1" and "r2", a stage of 1, position, token and cached of 4 each. r1 ended,
        # r3 failed, r2 asked for probabilities and for logits; times cost nothing.
        chip.Tokens(
            ("r1", "r2"),
            ("both", "prefill"),
            TOKENS,
            TOKENS,
            TOKENS,
            {"r1": "stop"},
            {"r3": {"code": "peer_dead", "message": "gone", "facts": {}}},
            {"r2": {"logprob": -0.5, "top": [[7, -0.5]]}},
            {"r1": {"queue": 5}},
            {"r2": ROW},
        ),
        2 * (2 + 1 + 3 * 4) + 4 + (9 + 4) + (8 + 2 * 8) + 11 * 4,
    ),
    (chip.ChipState(), 0),
    (chip.ChipStateIs({"num_running": 1, "jobs": 2}), 2 * 8),
    (memory.ShardCreate("cards", 1024), 5 + 4),
    (
        memory.ShardAdd("cards", INDEX, ("a", "bb", "ü"), ("f", "f", "f"), BLOCKS, False),
        5 + 3 * 8 + (1 + 2 + 2) + 3 + 3 * 16 * 4 + 1,
    ),
    (memory.ShardAdd("cards", INDEX, ("a", "bb", "ü"), ("f", "f", "f"), BLOCKS, True), 0),
    (memory.ShardSize(3, 100), 8 + 8),
    (memory.ShardTakeBack("cards", 7, 2), 5 + 2 * 8),
    (memory.ShardDelete("cards"), 5),
    (memory.ShardDeleted(True), 1),
    (memory.Search("cards", 3, np.zeros((1, 1024), np.float32)), 5 + 4 + 4096),
    (memory.Search("cards", 3, np.zeros((1, 8), np.float32), INDEX, INDEX + 1), 5 + 4 + 32 + 48),
    (memory.ShardRead("cards", 7, 2), 5 + 2 * 8),
    (memory.ShardTexts(INDEX, ("a", "bb", "ü")), 3 * 8 + 5),
    (memory.Hits(((Hit(1, 0.5, "text", "f"), Hit(2, 0.25, "ü", "f")),)), 2 * 16 + 4 + 1 + 2 + 1),
    (
        shipping.SearchShipped("cards", 3, np.zeros((1, 8), np.float32), ("hbf-0", "pnm-0")),
        5 + 4 + 32 + 10,
    ),
    (shipping.VectorsRead("cards", 7, 64, INDEX, INDEX + 1), 5 + 8 + 4 + 48),
    (shipping.Vectors(INDEX, np.zeros((3, 8), np.float32), 8), 3 * 8 + 3 * 32 + 8),
    (shipping.PassagesRead("cards", INDEX), 5 + 3 * 8),
    (shipping.PassagesAre(("a", "ü"), ("f", "")), 1 + 2 + 1),
    (memory.MemoryState(), 0),
    (memory.MemoryStateIs({"cards": 3}, 1, 2, 3, 4), 8 + 4 * 8),
    (api.Submit(REQUEST, 9), REQUEST_BYTES),
    (api.Submit(Request("r1", "m", SAMPLING, prompt_ids=(1, 2)), 9), 19 + SAMPLING_BYTES),
    (api.Accepted(9), 4),
    (api.Outputs((OUTPUT, OUTPUT), {"0": ROW}), 2 * OUTPUT_BYTES + 11 * 4),
    (api.Cancel(), 0),
    (api.WasCancelled(True), 1),
    (api.Models(), 0),
    (api.State(), 0),
    (api.Held(), 0),
    (api.Drain(), 0),
    (api.Facts({"models": [{"id": "m", "max_model_len": 9}]}), 1 + 8),
    (embedding.Embed("hashing", ("a", "ü"), 64), 7 + (1 + 2) + 4),
    (embedding.Embed("hashing", (), 0, ((7, 8), (9,))), 7 + 3 * 4 + 4),
    (embedding.Embedded(np.zeros((2, 1024), np.float32), 2), 2 * 4096 + 4),
    *store_prices.BY_HAND,
]


@pytest.mark.parametrize(("content", "num_bytes"), BY_HAND, ids=lambda v: getattr(v, "kind", ""))
def test_every_kind_costs_what_hand_arithmetic_says(content: Kind[Any], num_bytes: int) -> None:
    assert content.wire_bytes(EXACT_NUMERICS) == ENVELOPE + num_bytes


@pytest.mark.parametrize(
    "content",
    [DISPATCH, COMBINE, *(content for content, _ in switched_kinds.BY_HAND[:2])],
    ids=["dispatch", "combine", "gathered", "relayed"],
)
@pytest.mark.parametrize(
    "numerics", [EXACT_NUMERICS, BF16, INT4, FREE], ids=["fp32", "bf16", "int4", "free"]
)
def test_the_short_way_of_hot_kinds_is_that_of_their_roles(
    content: Kind[Any], numerics: Numerics
) -> None:
    assert content.wire_bytes(numerics) == Kind.wire_bytes(content, numerics)


def test_no_kind_is_left_out() -> None:
    assert {content.kind for content, _ in BY_HAND} == set(kind_words())
    assert set(kind_words()) <= set(KINDS)


@pytest.mark.parametrize(
    ("numerics", "row_bytes"),
    # int4 weights multiply int8 rows, each with an fp32 scale behind 12 bytes
    [(BF16, 10 * 2), (INT4, 12 + 4)],
    ids=["bf16", "int4"],
)
def test_rows_and_sums_cost_what_they_travel_as(numerics: Numerics, row_bytes: int) -> None:
    """Identity and route stay what they are."""
    rows = numerics.sent(DISPATCH.hidden)
    assert rows.nbytes == 3 * row_bytes
    dispatch = replace(DISPATCH, hidden=rows)
    assert dispatch.wire_bytes(numerics) == ENVELOPE + 4 + 3 * 28 + 3 * row_bytes
    combine = experts.Combine(numerics.answered(COMBINE.sums.astype(np.float32)))
    assert combine.sums.nbytes == 3 * 10 * 2
    assert combine.wire_bytes(numerics) == ENVELOPE + 3 * 10 * 2


@pytest.mark.parametrize("content", [c for c, _ in BY_HAND], ids=lambda c: c.kind)
def test_every_kind_says_the_same_after_a_frame(content: Kind[Any]) -> None:
    got = decode(encode(Message(content, "a", "b"))).content
    assert type(got) is type(content)
    ours, theirs = content.pack(), got.pack()
    assert ours.body == theirs.body
    for mine, yours in ((ours.columns, theirs.columns), (ours.tensors, theirs.tensors)):
        assert list(mine) == list(yours)
        for name, array in mine.items():
            assert np.array_equal(array, yours[name]) and array.dtype == yours[name].dtype
    assert got.wire_bytes(EXACT_NUMERICS) == content.wire_bytes(EXACT_NUMERICS)
