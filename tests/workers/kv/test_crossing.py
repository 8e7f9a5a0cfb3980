"""What travels between chips that keep KV in other forms, and what that asks of them, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from configs.attention import Window
from configs.block_form import BlockForm
from configs.families import load_model
from configs.presets import model_folder
from configs.sliding import Sliding
from workers.errors import InvalidRequest
from workers.hardware.work import Work
from workers.kv.crossing import Kept, came
from workers.model.parts.kv_conversion import KvConversion
from workers.wire.kinds.kv import KvBlocks

# Of one token: 256 numbers, and 8 scales in int8.
BYTES = {"fp32": 1024, "bf16": 512, "int8": 288}
NONE, SUMS = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64)


def kept(size: int, numbers: str) -> Kept:
    return Kept(BlockForm(size, numbers), "hbm", "bf16", BYTES)  # type: ignore[arg-type]


def test_pieces_are_common_to_both_and_in_the_narrower_numbers() -> None:
    away = kept(24, "bf16").crossing(BlockForm(64, "int8"))
    assert away.piece == BlockForm(8, "int8") and away.per_block == 3
    assert away.told == (8, "int8", None)
    assert away.piece_bytes == 8 * 288
    assert away.first(2) == 16  # 128 tokens on
    assert away.holding(16, 3) == slice(5, 7)  # tokens 128 to 151: of blocks that begin at 120, 144
    assert kept(64, "int8").crossing(BlockForm(64, "fp32")).told == (None, "int8", None)
    assert kept(16, "bf16").crossing(BlockForm(16, "bf16")).told == (None, None, None)


def test_whoever_has_the_wider_numbers_converts_and_says_so() -> None:
    source, target = kept(16, "bf16"), kept(64, "int8")
    away = source.crossing(target.form)
    # 4 pieces of 16 tokens are read, and in int8 written and read again; 2 operations a number.
    assert away.read_work(4) == Work.of(
        "kv_read",
        flops={"fp32": 2 * 64 * 256},
        reads={"hbm": 64 * (512 + 288)},
        writes={"hbm": 64 * 288},
    )
    here = came(target, KvBlocks(NONE, SUMS, NONE, *away.told))
    assert here.write_work(4) == Work.of("kv_write", writes={"hbm": 64 * 288})
    back = came(source, KvBlocks(NONE, SUMS, NONE, *target.crossing(source.form).told))
    assert back.write_work(1) == Work.of(
        "kv_write",
        flops={"fp32": 2 * 16 * 256},
        reads={"hbm": 16 * 288},
        writes={"hbm": 16 * (288 + 512)},
    )


def test_thin_pieces_have_the_layers_without_a_window_and_cost_their_share() -> None:
    """2 of 4 layers have a window of 40 tokens: after 100 tokens it begins at 61, so of blocks of
    16 the first three are thin at the far end. A token has 8 bytes here, 2 in each layer.
    """
    layers = {"num_layers": 4, "thin_layers": (1, 3), "sliding": Sliding(Window(40), 4, 2)}
    own = replace(kept(16, "bf16"), planes=4, **layers)  # type: ignore[arg-type]
    away = own.crossing(BlockForm(16, "bf16"))
    assert away.num_thin(100) == 3
    assert away.thin.told == (None, None, True)
    assert away.thin.piece_bytes * 2 == away.piece_bytes == 16 * 512
    blocks = np.repeat(np.arange(4, dtype=np.uint8), 32)[None] + np.zeros((2, 1), dtype=np.uint8)
    some = away.thin.taken(blocks, [0, 1])
    assert some.shape == (2, 64) and set(some[0].tolist()) == {1, 3}
    here = came(own, KvBlocks(NONE, SUMS, NONE, *away.thin.told))
    new = here.put_into(np.full_like(blocks, 9), [0, 1], some)
    assert new[1].reshape(4, 32)[:, 0].tolist() == [9, 1, 9, 3]


def test_pieces_of_slices_are_counted_from_the_first_token_on() -> None:
    """Blocks of 64 tokens in 4 slices, of which the second is here: tokens 16 to 31, 80 to 95 and
    so on. From blocks of 24 come pieces of 8: numbers 2, 3, 10, 11 are here.
    """
    own = replace(kept(64, "bf16"), form=BlockForm(64, "bf16", 4), slice_number=1)
    away = own.crossing(BlockForm(24, "bf16"))
    assert away.piece == BlockForm(8, "bf16")
    assert (away.per_block, away.per_slice) == (8, 2)
    assert away.piece_bytes == 8 * 512 // 4
    assert away.told == (8, None, None)
    assert own.crossing(BlockForm(32, "bf16", 2)).told == (None, None, None)
    assert own.crossing(BlockForm(32, "bf16", 2)).is_plain
    here = came(own, KvBlocks(NONE, SUMS, NONE, 8))
    assert here.places([3, 10, 11]) == ((0, 1), [1, 2, 3])
    here.check_held([2, 3, 10, 11])
    with pytest.raises(InvalidRequest, match="KV of token 32 came: here are tokens 16 to 31 of ev"):
        here.check_held([2, 4])


@pytest.mark.parametrize(
    ("size", "numbers", "why"),
    [(24, None, "pieces of 24 tokens"), (0, None, "pieces of 0"), (None, "fp8", "came in 'fp8'")],
)
def test_what_no_block_is_made_of_is_refused(
    size: int | None, numbers: str | None, why: str
) -> None:
    with pytest.raises(InvalidRequest, match=why):
        came(kept(64, "bf16"), KvBlocks(NONE, SUMS, NONE, size, numbers))


def test_narrowing_costs_what_the_numbers_say_and_widening_nothing() -> None:
    """fp32 to bf16: half a step of 2^-8 of each number; to int8: half a step of the largest of its
    head by 127. What is narrow already goes and comes back the same.
    """
    convert = KvConversion(load_model(model_folder("perfuse-tiny")))
    config, rng = convert._config, np.random.default_rng(1)
    width = 2 * config.num_kv_heads * config.head_dim * config.num_layers
    numbers = rng.normal(size=(3, 16 * width)).astype(np.float32)
    wide, form = numbers.view(np.uint8), BlockForm(16, "fp32")
    bf16 = convert(wide, form, "bf16")
    back = convert(bf16, BlockForm(16, "bf16"), "fp32").view(np.float32)
    assert (np.abs(back - numbers) <= np.abs(numbers) * 2.0**-8).all()
    int8 = convert(wide, form, "int8")
    found = convert(int8, BlockForm(16, "int8"), "fp32").view(np.float32)
    assert 0 < np.abs(found - numbers).max() <= np.abs(numbers).max() / 127 / 2 * 1.001
    again = convert(convert(int8, BlockForm(16, "int8"), "fp32"), form, "int8")
    assert (convert(again, BlockForm(16, "int8"), "fp32").view(np.float32) == found).all()
