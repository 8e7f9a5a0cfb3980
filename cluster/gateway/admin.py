"""What an operator may ask of a gateway, and who is one.

Whoever can reach a loopback address is on this machine. Everybody else needs the key, and a web
page that this machine's browser shows is everybody else: it can neither name this host nor send
JSON without asking first.
"""

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from cluster.gateway.restarts import Restarts
from workers.errors import InvalidRequest, NotFound, PeerDead, PerfuseError

T = TypeVar("T")

KEY_VARIABLE = "PERFUSE_ADMIN_KEY"
SCHEME = "Bearer "
TAKE_UP_S = 10.0  # a node that lives hears a note as soon as its event loop turns


class WrongKey(PerfuseError):
    """Not who may ask."""

    code = "invalid_api_key"


class NoKey(PerfuseError):
    """Nobody may ask: no key was set."""

    code = "admin_key_not_set"


class Faults(Protocol):
    """The faults of a cluster's links; see `cluster.faults.control`."""

    def all(self) -> Sequence[dict[str, Any]]: ...

    async def add(self, body: object) -> dict[str, Any]: ...

    async def remove(self, name: str) -> None: ...

    def lacking(self) -> Sequence[str]: ...


class Admin:
    """host     to which the gateway is bound
    key      that lets in; "": none was set
    faults   None: behind this gateway is no cluster of ours
    """

    def __init__(self, host: str, key: str, faults: Faults | None) -> None:
        self._host, self._key, self._faults = host, key, faults
        self._is_local = is_loopback(host)
        self.restarts = Restarts()

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises WrongKey, NoKey, and InvalidRequest on a request that a web page may have sent."""
        if self._key:
            given = headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), (SCHEME + self._key).encode()):
                found = "is another key" if given.startswith(SCHEME) else "has no key"
                raise WrongKey(
                    f"the Authorization header {found}: send 'Authorization: Bearer KEY' with the "
                    f"gateway's admin key, which it was given as {KEY_VARIABLE}"
                )
            return
        if not self._is_local:
            raise NoKey(
                f"the gateway listens on {self._host}, which others can reach, and has no admin "
                f"key: start it with one in {KEY_VARIABLE}, or with --host 127.0.0.1"
            )
        asked = headers.get("host", "")
        if not is_loopback(_without_port(asked)):
            raise WrongKey(
                f"the Host header is {asked!r:.80}: without an admin key only this machine may "
                "ask, as 127.0.0.1 or localhost"
            )

    def check_body(self, headers: Mapping[str, str]) -> None:
        """Other types of body may come from a web page that asked nobody."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            text = f"content-type is {kind!r:.80}: send the body as application/json"
            raise InvalidRequest(text)

    async def taken_up(self, change: Awaitable[T]) -> T:
        """Wait until all nodes have taken a change up. Raises PeerDead naming those that do not."""
        try:
            async with asyncio.timeout(TAKE_UP_S):
                return await change
        except TimeoutError as error:
            nodes = ", ".join(self.faults.lacking())
            raise PeerDead(f"{nodes} did not take the faults up in {TAKE_UP_S:g} s") from error

    @property
    def faults(self) -> Faults:
        """Raises NotFound."""
        if self._faults is None:
            raise NotFound("there is no cluster behind this gateway whose links it knows")
        return self._faults


def is_loopback(host: str) -> bool:
    """Whether nobody reaches that address from another machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    """ "127.0.0.1:8000", "[::1]:8000" and "localhost" without what follows the name."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
