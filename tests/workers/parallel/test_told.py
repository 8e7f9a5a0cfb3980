"""A rank follows its leader's orders in their order, whatever order they come in."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from workers.parallel.told import Order, Told
from workers.wire.kinds.ranks import ExpectKv, Forget, StepOrder
from workers.wire.message import Message


def order(content: Any, request_id: str = "", epoch: int = 1) -> Order:
    message: Any = Message(content, "decode-0", "decode-0-rank-1", request_id)
    message.source_epoch = epoch
    return message


def step(number: int, known: int, blocks: tuple[int, ...], generation: int = 0) -> Order:
    return order(
        StepOrder(
            generation, number, number, ("s",), (0,), (1,), (known,), (blocks,), (7,), (9,), ()
        )
    )


@given(st.permutations(range(6)))
def test_orders_are_followed_by_their_numbers(came: list[int]) -> None:
    told, followed = Told(), []
    for number in came:
        ready = told.in_order(order(Forget(0, number, ())))
        followed += [each.content.number for each in ready]
    assert followed == list(range(6))


def test_an_order_names_blocks_that_are_new_alone() -> None:
    told = Told()
    held = []
    for each in (step(0, 0, (4, 5)), step(1, 2, (8,)), step(2, 1, (9,)), step(3, 0, ())):
        (ready,) = told.in_order(each)
        assert isinstance(ready.content, StepOrder)
        (item,) = told.step(ready.content).items
        held.append(list(item.seq.block_ids))
    assert held == [[4, 5], [4, 5, 8], [4, 9], []]


def test_another_generation_begins_anew_and_orders_of_before_are_void() -> None:
    told = Told()
    told.in_order(order(ExpectKv(0, 0, (1,), ())))
    told.blocks["s"] = [1]
    late = order(Forget(0, 2, ()))
    assert not told.in_order(late), "number 1 is missing"
    (ready,) = told.in_order(step(0, 0, (3,), generation=1))
    assert not told.blocks and ready.content.generation == 1
    before = order(Forget(0, 1, ()))
    assert told.in_order(before) == [before] and told.is_void(before)
    # So does another incarnation of the leader, whose generations begin at 0.
    (ready,) = told.in_order(order(Forget(0, 0, ()), epoch=2))
    assert not told.is_void(ready) and told.is_void(step(1, 0, (), generation=1))


def test_a_rank_that_embeds_nothing_is_told_no_tokens() -> None:
    told = Told()
    content = StepOrder(0, 0, 0, ("s",), (3,), (4,), (0,), ((1,),), (), (9,), ())
    assert told.step(content).token_ids_T.tolist() == [0, 0, 0, 0]
