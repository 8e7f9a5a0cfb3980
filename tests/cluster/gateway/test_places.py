"""What a client has of an answer: written in ids, read again, and checked."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from cluster.api.output import Output
from cluster.gateway.naming import Naming
from cluster.gateway.open_names import KEPT_MAX, KEPT_NS, OpenNames
from cluster.gateway.resume import CannotResume, OtherBody, Place, Resumption, fingerprint
from workers.errors import InvalidRequest

OF = fingerprint("/v1/completions", b"{}")


def outputs(*tokens: int, reason: str = "length") -> list[Output]:
    told = [Output("r", i, (token,), num_prompt_tokens=5) for i, token in enumerate(tokens)]
    return [*told[:-1], replace(told[-1], finish_reason=reason)]


def test_a_place_is_written_and_read():
    place = Place(OF, ((5, 0x91B2C0DE), (0, 0)), 2)
    assert str(place) == f"{OF}-5:91b2c0de,0:00000000.2" and Place.parse(str(place)) == place
    with pytest.raises(InvalidRequest, match="Last-Event-ID is '5'"):
        Place.parse("5")


def test_a_fingerprint_is_of_the_route_and_of_every_byte():
    assert fingerprint("/a", b"{}") == fingerprint("/a", b"{}")
    assert (
        len({fingerprint(*asked) for asked in (("/a", b"{}"), ("/b", b"{}"), ("/a", b"{ }"))}) == 3
    )


def test_what_is_had_is_checked_at_its_last_token():
    first = Resumption(OF, 1, None)
    assert not any(first.has(0, output) for output in outputs(7, 8)[:2])
    again = Resumption(OF, 1, first.place)
    assert [again.has(0, output) for output in outputs(7, 8, 9)] == [True, True, False]
    other = Resumption(OF, 1, first.place)
    assert other.has(0, outputs(9, 8, 9)[0])
    with pytest.raises(CannotResume, match="choice 0 comes out otherwise"):
        other.has(0, outputs(9, 8, 9)[1])


def test_an_answer_of_another_prompt_is_another_one():
    first = Resumption(OF, 1, None)
    first.has(0, outputs(7, 8)[0])
    longer = replace(outputs(7, 8)[0], num_prompt_tokens=6)
    with pytest.raises(CannotResume):
        Resumption(OF, 1, first.place).has(0, longer)


def test_outputs_that_are_told_together_otherwise_than_before_are_no_continuation():
    first = Resumption(OF, 1, None)
    first.has(0, outputs(7, 8)[0])
    with pytest.raises(CannotResume):
        Resumption(OF, 1, first.place).has(0, Output("r", 0, (7, 8), num_prompt_tokens=5))


def test_a_place_of_another_request_is_refused():
    with pytest.raises(OtherBody):
        Resumption(OF, 1, Place("f" * 16, ((0, 0),)))
    with pytest.raises(CannotResume, match="2 choices and the request has 1"):
        Resumption(OF, 1, Place(OF, ((0, 0), (0, 0))))


def test_names_are_kept_for_a_while_and_no_more_than_so_many():
    now = [0]
    names = OpenNames(lambda: now[0])
    ended: list[str] = []

    def reader(name: str) -> Callable[[], None]:
        return lambda: ended.append(name)

    first, second = reader("first"), reader("second")
    names.enter("a", "x", first)
    with pytest.raises(OtherBody):
        names.enter("a", "y", second)
    names.enter("a", "x", second)
    assert ended == ["first"]
    names.leave("a", first)  # has been taken over: the second one is there
    with pytest.raises(OtherBody):
        names.enter("a", "y", first)
    names.leave("a", second)
    now[0] = KEPT_NS - 1
    with pytest.raises(OtherBody):
        names.enter("a", "y", first)
    now[0] = KEPT_NS
    names.enter("a", "y", first)
    names.leave("a", first)
    assert ended == ["first"]
    for number in range(KEPT_MAX + 10):
        names.enter(str(number), "x", first)
        names.leave(str(number), first)
    assert len(names) == KEPT_MAX


def test_a_seed_follows_from_the_clients_id_alone_and_else_from_the_count():
    ours, others = Naming("one", 7), Naming("two", 7)
    mine = ours.name("mine")
    ours.seed_taken()
    assert ours.seed(mine) == others.seed(others.name("mine")) != others.seed(others.name("yours"))
    assert Naming("one", 8).seed(mine) != ours.seed(mine)
    unnamed = ours.seed(ours.name(None))
    ours.seed_taken()
    assert ours.seed(ours.name(None)) != unnamed
