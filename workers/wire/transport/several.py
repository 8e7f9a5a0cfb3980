"""Several wires of one node: which of them reaches a peer follows from the scenario, and from where
the two stand.

Both ends of a pair know the same scenario and each other's addresses, and so look for each other on
the same wire. A node listens on each wire that any of its peers may come by; its address says
where, for each, and on which machine it is where that matters.
"""

import json
from collections.abc import Awaitable, Callable, Mapping

from workers.errors import PeerDead
from workers.wire.transport.base import OnPayload, OnPeerDead, Payload, Transport

# A peer's name and machine ("" where nobody says) -> the name of the wire that reaches it.
WireTo = Callable[[str, str], str]
MACHINE = "machine"


class SeveralWires:
    """wires      name of a wire -> this node's end of it
    machine    where this node stands, told to its peers; "" where all are on one
    """

    def __init__(
        self,
        node_name: str,
        wires: Mapping[str, Transport],
        wire_to: WireTo,
        machine: str = "",
    ) -> None:
        self.node_name = node_name
        self._told = {MACHINE: machine} if machine else {}
        self._wires, self._wire_to = wires, wire_to
        self._by_peer: dict[str, Transport] = {}

    async def start(self, on_payload: OnPayload, on_peer_dead: OnPeerDead) -> str:
        """Begin to receive on all of them. Raises OSError if one cannot: then none is left open."""
        addresses = dict(self._told)
        try:
            for name, wire in self._wires.items():
                addresses[name] = await wire.start(on_payload, on_peer_dead)
        except BaseException:
            await self.close()
            raise
        return json.dumps(addresses)

    async def connect(self, addresses: Mapping[str, str]) -> None:
        """Each peer by its wire; see Transport.

        Raises ValueError if an address is none of a node with several wires.
        """
        parts: dict[str, dict[str, str]] = {}
        for node, address in addresses.items():
            if node != self.node_name:
                said = _said(address)
                wire = self._wire_to(node, said.get(MACHINE, ""))
                if wire not in said or wire not in self._wires:
                    raise ValueError(
                        f"node {self.node_name!r} reaches node {node!r} by {wire}, and its address "
                        f"{address!r} has none: do both run the same scenario?"
                    )
                parts.setdefault(wire, {})[node] = said[wire]
                self._by_peer[node] = self._wires[wire]
        for name, part in parts.items():
            await self._wires[name].connect(part)

    def send(self, node: str, payload: Payload) -> Awaitable[None] | None:
        """See Transport."""
        wire = self._by_peer.get(node)
        if wire is None:
            what = f"node {self.node_name!r} knows no peer {node!r}: connect to it first"
            raise PeerDead(what, node=node)
        return wire.send(node, payload)

    async def close(self) -> None:
        """All of them; see Transport."""
        for wire in self._wires.values():
            await wire.close()


def _said(address: str) -> dict[str, str]:
    """What an address says; nothing of one that is no node's with several wires."""
    try:
        found = json.loads(address)
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: where for name, where in found.items() if isinstance(where, str)}
