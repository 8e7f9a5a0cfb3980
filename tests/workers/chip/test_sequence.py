"""States and what may follow which."""

import pytest

from workers.chip.sequence import TRANSITIONS, IllegalTransition, Sequence, State


def test_states_follow_the_table() -> None:
    for state in State:
        for target in State:
            seq = Sequence("s", [1], 1)
            seq.state = state
            if target in TRANSITIONS[state]:
                seq.move(target)
                assert seq.state is target
            else:
                with pytest.raises(IllegalTransition, match=f"is {state.value} and cannot"):
                    seq.move(target)
                assert seq.state is state


def test_sequences_without_prompt_or_room_for_output_are_refused() -> None:
    with pytest.raises(ValueError, match="empty prompt"):
        Sequence("s", [], 1)
    with pytest.raises(ValueError, match="at least 3"):
        Sequence("s", [1], 2, output_token_ids=[1, 2])
