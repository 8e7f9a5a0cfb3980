"""All that a cluster on many machines is made from, in one picklable piece."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.machines import names
from cluster.worlds.machines.bundles import Placement
from cluster.worlds.machines.files import FileSet
from configs.schema.wires import Wire


@dataclass(frozen=True, slots=True)
class Setup:
    """name           of the cluster, on its Ray cluster
    placements     the placement groups that hold a place for each node
    far            the wire between two machines, where the scenario leaves it open
    token          the cluster's secret
    certificates   file name -> content; empty: no wire of its shows any
    hosts          Ray's node id -> name of the machine, as people know it
    files          what every machine must have: "model", "collection-NAME" -> as it is where the
                   cluster was raised from
    """

    name: str
    blueprint: Blueprint
    placements: tuple[Placement, ...]
    far: Wire
    token: str = field(repr=False)
    certificates: Mapping[str, bytes] = field(repr=False)
    hosts: Mapping[str, str]
    files: Mapping[str, FileSet]

    def place_of(self, node: str) -> tuple[str, int]:
        """The placement group of an emulated node, by Ray's name, and the number of its bundle."""
        for placement in self.placements:
            for number, bundle in enumerate(placement.bundles):
                if bundle.node == node:
                    return names.group(self.name, placement.name), number
        raise KeyError(node)

    def has_place(self, node: str) -> bool:
        """Whether a bundle is kept for it, whether or not it stands."""
        return any(b.node == node for placement in self.placements for b in placement.bundles)
