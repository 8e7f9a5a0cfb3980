"""What energy is spent for, and how it is split where that is several things at once."""

import pytest

from workers.hardware.energy.phase import OF_KIND, Phase, from_json, to_json, together
from workers.wire.kind import KINDS


def test_one_phase_alone_stays_that() -> None:
    assert together([(Phase.PREFILL, 3), (Phase.PREFILL, 9)]) is Phase.PREFILL
    assert together([(Phase.DECODE, 1)]) is Phase.DECODE
    assert together([]) is Phase.SERVING
    assert together([(Phase.SERVING, 5)]) is Phase.SERVING


def test_tokens_of_both_make_a_mixture() -> None:
    assert together([(Phase.PREFILL, 3), (Phase.DECODE, 2), (Phase.PREFILL, 1)]) == (4, 2)


def test_a_part_that_is_a_mixture_brings_its_share() -> None:
    """8 tokens of a step that was 1 to 3: 2 and 6."""
    assert together([((1, 3), 8), (Phase.DECODE, 4)]) == (2, 10)


def test_a_cause_survives_a_message() -> None:
    for cause in (Phase.DECODE, Phase.SERVING, (4, 2)):
        assert from_json(to_json(cause)) == cause


@pytest.mark.parametrize("told", [[1], [1, 2, 3], [0, 2], [1, "2"], "decode", None, 99])
def test_what_is_no_cause_is_refused(told: object) -> None:
    with pytest.raises(ValueError, match=r"mixture|Phase"):
        from_json(told)


def test_phases_of_kinds_are_of_kinds_that_exist() -> None:
    import workers.wire.kinds.kv
    import workers.wire.kinds.memory  # noqa: F401

    assert [name for name in OF_KIND if name not in KINDS] == []
    assert KINDS["kv_blocks"].computed_for is Phase.KV_TRANSFER
    assert KINDS["search"].computed_for is Phase.RETRIEVAL
    assert KINDS["reply"].computed_for is Phase.SERVING
