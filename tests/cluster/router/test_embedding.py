"""Vectors for users: the same as a store's, text by text, whatever the list."""

import numpy as np
import pytest

from cluster.gateway.embed_calls import _parts
from cluster.retrieval.embedder import HashingEmbedder
from cluster.text.tokenizer import Tokenizer
from cluster.worlds.virtual import VirtualWorld
from configs.perfuse_tiny import MODEL_DIR
from tests.cluster.worlds.cluster import blueprint, run, settle
from workers.errors import InvalidRequest, NotFound

NO_POOL = {"placement.kv_pool": False}


def test_vectors_are_those_of_the_stores_embedder() -> None:
    texts = [f"device {i} has a latency" for i in range(150)]  # three calls

    async def job(world: VirtualWorld) -> None:
        start_ns = world.clock.now()
        (model,) = await world.client.models()
        served = await world.client.embed(model["id"], texts)
        assert world.clock.now() > start_ns  # the router's machine took its time
        assert np.array_equal(served.vectors, HashingEmbedder().embed(texts))
        assert served.vectors.dtype == np.float32 and served.num_tokens == 150 * 5
        named = await world.client.embed("hashing", texts[:1])
        assert np.array_equal(named.vectors, served.vectors[:1])
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_what_cannot_be_embedded_is_named_by_its_place_in_the_whole_list() -> None:
    async def job(world: VirtualWorld) -> None:
        with pytest.raises(NotFound, match=r"no embedder 'ada'; there are: hashing, minilm"):
            await world.client.embed("ada", ["a"])
        with pytest.raises(NotFound):  # a name that would take 4 TB
            await world.client.embed("hashing-1000000000", ["a"])
        with pytest.raises(InvalidRequest, match=r"input\[70\] has nothing to embed"):
            await world.client.embed("hashing", ["a"] * 70 + [" \n\u0301"])
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_token_ids_are_the_text_that_the_served_model_s_tokenizer_makes_of_them() -> None:
    tokenizer = Tokenizer.load(MODEL_DIR)
    texts = ["hello world", "device 7 has a latency"]
    ids = [tuple(tokenizer.encode(text)) for text in texts]

    async def job(world: VirtualWorld) -> None:
        (model,) = await world.client.models()
        by_ids = await world.client.embed(model["id"], [ids[0], texts[1], ids[1]])
        by_text = await world.client.embed(model["id"], [texts[0], texts[1], texts[1]])
        assert np.array_equal(by_ids.vectors, by_text.vectors)
        assert by_ids.num_tokens == by_text.num_tokens
        with pytest.raises(InvalidRequest, match=r"input\[1\] has token id 100257: the model's go"):
            await world.client.embed(model["id"], [ids[0], (100257,)])
        with pytest.raises(InvalidRequest, match="embedder 'hashing' reads text: send strings, or"):
            await world.client.embed("hashing", ids)
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_a_list_is_cut_by_texts_and_by_characters() -> None:
    long = "x" * 40_000
    assert [(first, len(part)) for first, part in _parts(["a"] * 65)] == [(0, 64), (64, 1)]
    assert [(first, len(part)) for first, part in _parts([long, long, "a", "b" * 70_000, "c"])] == [
        (0, 1), (1, 2), (3, 1), (4, 1),
    ]  # fmt: skip
    assert list(_parts(["x" * 262_144])) == [(0, ("x" * 262_144,))]
