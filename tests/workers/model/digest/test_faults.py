"""A digest finds what goes wrong: each of these changes what comes out behind the last layer."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from tests.workers.model.digest.models import GROUPED, LATENT, Whole
from workers.model.digest.mixing import Digests
from workers.model.local import ExpertsHere

PROMPT = [7 * i % 300 for i in range(50)]
OTHER = [11 * i % 300 for i in range(50)]
BLOCKS = (3, 0, 5, 1)
MODELS = pytest.mark.parametrize("config", [GROUPED, LATENT], ids=["grouped", "latent"])


def after(whole: Whole) -> int:
    """Of the next token, which sees all blocks."""
    return int(whole.step([9], len(PROMPT), BLOCKS)[0])


def filled(config: ModelConfig) -> Whole:
    whole = Whole(config)
    whole.step(PROMPT, 0, BLOCKS)
    return whole


@MODELS
def test_a_block_that_is_read_and_written_changes_nothing(config: ModelConfig) -> None:
    whole, wanted = filled(config), after(filled(config))
    blocks = whole.chip.read_blocks(BLOCKS)
    whole.chip.write_blocks(BLOCKS, np.zeros_like(blocks))
    whole.chip.write_blocks(BLOCKS, blocks)
    assert after(whole) == wanted


def lost(whole: Whole) -> None:
    whole.chip.write_blocks((0,), np.zeros_like(whole.chip.read_blocks((0,))))


def stale(whole: Whole) -> None:
    """What another prompt left there before."""
    before = Whole(whole.chip.config)
    before.step(OTHER, 0, BLOCKS)
    whole.chip.write_blocks((0,), before.chip.read_blocks((0,)))


def of_another_request(whole: Whole) -> None:
    """The same tokens behind another beginning."""
    other = Whole(whole.chip.config)
    other.step([1, *PROMPT[1:]], 0, BLOCKS)
    whole.chip.write_blocks((0,), other.chip.read_blocks((0,)))


def duplicated(whole: Whole) -> None:
    whole.chip.write_blocks((0,), whole.chip.read_blocks((3,)))


def one_layer_lost(whole: Whole) -> None:
    blocks = whole.chip.read_blocks((0,)).reshape(1, whole.chip.config.num_layers, -1).copy()
    blocks[:, -1] = 0
    whole.chip.write_blocks((0,), blocks.reshape(1, -1))


def cut_short(whole: Whole) -> None:
    """The last block lacks its last token."""
    blocks = whole.chip.read_blocks((1,)).view(np.uint64).reshape(-1, 16).copy()
    assert blocks[:, 1].any(), "tokens 48 and 49"
    blocks[:, 1] = 0
    whole.chip.write_blocks((1,), blocks.reshape(1, -1).view(np.uint8))


@MODELS
@pytest.mark.parametrize(
    "spoil", [lost, stale, of_another_request, duplicated, one_layer_lost, cut_short]
)
def test_a_block_that_is_wrong_shows(config: ModelConfig, spoil: Callable[[Whole], None]) -> None:
    whole = filled(config)
    spoil(whole)
    assert after(whole) != after(filled(config))


@MODELS
def test_a_flipped_bit_of_any_byte_shows(config: ModelConfig) -> None:
    """Every byte of a full block, one at a time."""
    wanted = after(filled(config))
    whole = filled(config)
    block = whole.chip.read_blocks((5,))
    for byte in range(block.shape[1]):
        spoilt = block.copy()
        spoilt[0, byte] ^= 1 << byte % 8
        whole.chip.write_blocks((5,), spoilt)
        assert after(whole) != wanted, byte
    whole.chip.write_blocks((5,), block)
    assert after(whole) == wanted


@MODELS
def test_a_block_that_meets_the_wrong_query_shows(config: ModelConfig) -> None:
    """Two sequences with each other's blocks."""
    whole = Whole(config)
    whole.step(PROMPT, 0, BLOCKS)
    whole.step(OTHER, 0, (6, 7, 8, 9))
    right = int(whole.step([9], 50, BLOCKS)[0])
    assert int(whole.step([9], 50, (6, *BLOCKS[1:]))[0]) != right


Spoilt = Callable[[int, Digests, NDArray, NDArray, ExpertsHere], Digests]


def all_lost(
    layer: int, rows: Digests, experts: NDArray, weights: NDArray, right: ExpertsHere
) -> Digests:
    return np.zeros_like(rows)


def one_lost(
    layer: int, rows: Digests, experts: NDArray, weights: NDArray, right: ExpertsHere
) -> Digests:
    experts = experts.copy()
    experts[-1, -1] = -1
    sums: Digests = right(layer, rows, experts, weights)
    return sums


def twice(
    layer: int, rows: Digests, experts: NDArray, weights: NDArray, right: ExpertsHere
) -> Digests:
    sums: Digests = 2 * right(layer, rows, experts, weights)
    return sums


def anothers(
    layer: int, rows: Digests, experts: NDArray, weights: NDArray, right: ExpertsHere
) -> Digests:
    """The row of another token."""
    sums: Digests = right(layer, np.roll(rows, 1), experts, weights)
    return sums


def of_another_layer(
    layer: int, rows: Digests, experts: NDArray, weights: NDArray, right: ExpertsHere
) -> Digests:
    sums: Digests = right(3 - layer, rows, experts, weights)
    return sums


def of_another_expert(
    layer: int, rows: Digests, experts: NDArray, weights: NDArray, right: ExpertsHere
) -> Digests:
    sums: Digests = right(layer, rows, (experts + 1) % 12, weights)
    return sums


def of_other_weights(
    layer: int, rows: Digests, experts: NDArray, weights: NDArray, right: ExpertsHere
) -> Digests:
    sums: Digests = right(layer, rows, experts, weights[:, ::-1].copy())
    return sums


def one_bit(
    layer: int, rows: Digests, experts: NDArray, weights: NDArray, right: ExpertsHere
) -> Digests:
    sums: Digests = right(layer, rows, experts, weights)
    sums[-1] ^= np.uint64(1 << 17)
    return sums


@MODELS
@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize(
    "spoilt",
    [all_lost, one_lost, twice, anothers, of_another_layer, of_another_expert, of_other_weights,
     one_bit],
)  # fmt: skip
def test_a_contribution_that_is_wrong_shows(
    config: ModelConfig, spoilt: Spoilt, layer: int
) -> None:
    """In one sparse layer, of a whole prompt: its last token is what the next one follows from."""

    def between(right: ExpertsHere) -> ExpertsHere:
        def experts(at: int, rows: Digests, chosen: NDArray, weights: NDArray) -> Digests:
            if at == layer:
                return spoilt(at, rows, chosen, weights, right)
            sums: Digests = right(at, rows, chosen, weights)
            return sums

        return experts

    right, wrong = Whole(config), Whole(config, spoil=between)
    assert right.step(PROMPT, 0)[-1] != wrong.step(PROMPT, 0)[-1]
