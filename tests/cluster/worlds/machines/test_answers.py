"""Ray's errors as ours."""

import pytest
from ray import exceptions

from cluster.worlds.machines.answers import plain
from workers.errors import DeadlineExceeded, PeerDead, PerfuseError


def wrapped(cause: Exception) -> exceptions.RayTaskError:
    return exceptions.RayTaskError("ask", "a traceback of many lines", cause)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_what_an_actor_raised_is_raised_however_often_it_was_passed_on(times: int) -> None:
    error: Exception = DeadlineExceeded("late")
    for _ in range(times):
        error = wrapped(error)
    assert plain(error, "router", 1).args == ("late",)
    assert isinstance(plain(error, "router", 1), DeadlineExceeded)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (exceptions.ActorDiedError(), PeerDead, "router is gone: its process ended"),
        (exceptions.GetTimeoutError("x"), TimeoutError, "router did not answer within 7 s"),
        (exceptions.ObjectLostError("1", None, ""), PerfuseError, "router: ObjectLostError"),
        (ValueError("ours"), ValueError, "ours"),
    ],
)
def test_what_ray_says_names_whom_it_is_of(error: Exception, kind: type, said: str) -> None:
    told = plain(error, "router", 7)
    assert isinstance(told, kind) and str(told).startswith(said)
