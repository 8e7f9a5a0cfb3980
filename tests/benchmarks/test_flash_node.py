"""The benchmark of a pool in a flash file, in small: what it counts is there to be counted."""

from benchmarks.memory.flash_node import asked_twice, drawn, flip_row, in_file, token_rows
from cluster.workload.build import build_workload


def test_flipped_bits_hit_blocks_and_none_is_served() -> None:
    row = flip_row(40)
    assert (row.value, row.holds) == (0, True)


def test_questions_are_asked_again_under_other_names() -> None:
    blueprint = drawn(60, in_file(capacity="16 MiB"))
    asked = asked_twice(build_workload(blueprint.scenario, blueprint.model.vocab)).requests
    names = [timed.request.request_id for timed in asked]
    assert len(set(names)) == 120
    assert names[25:50] == [f"{name}-again" for name in names[:25]]
    assert names[110:] == [f"{name}-again" for name in names[100:110]]
    assert asked[0].request.retrieval == asked[25].request.retrieval


def test_tokens_are_equal_and_blocks_come_from_the_file() -> None:
    tokens, wear = token_rows(100)
    assert (tokens.value, tokens.holds) == (0, True)
    assert wear.holds, wear
