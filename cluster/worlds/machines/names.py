"""Under which names Ray knows what belongs to a cluster: so that any command finds it, and what is
left of one can be told from everything else.
"""

import re

# Of all clusters, beside whatever else the same Ray cluster does.
NAMESPACE = "perfuse"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_KEEPER, _MACHINE, _NODE = "keeper", "machine", "node"


def check(cluster: str) -> None:
    """Raises ValueError for what cannot be a cluster's name."""
    if not _NAME.fullmatch(cluster):
        raise ValueError(f"--name {cluster!r}: must be letters, digits, - and _, as demo-2")


def keeper(cluster: str) -> str:
    """Of the actor that holds a cluster together."""
    return f"{cluster}/{_KEEPER}"


def machine(cluster: str, node_id: str) -> str:
    """Of a cluster's actor on one machine, which Ray calls a node."""
    return f"{cluster}/{_MACHINE}/{node_id[:12]}"


def is_machine(actor: str) -> bool:
    """Whether it is a cluster's actor on a machine."""
    return actor.split("/")[1:2] == [_MACHINE]


def node(cluster: str, name: str, epoch: int) -> str:
    """Of the process of one incarnation of an emulated node."""
    return f"{cluster}/{_NODE}/{name}/{epoch}"


def group(cluster: str, name: str) -> str:
    """Of a placement group."""
    return f"{NAMESPACE}/{cluster}/{name}"


def cluster_of_group(group: str) -> str:
    """The cluster that a placement group belongs to; "" for none."""
    words = group.split("/")
    return words[1] if len(words) > 2 and words[0] == NAMESPACE else ""


def cluster_of(actor: str) -> str:
    """The cluster that an actor of our namespace belongs to; "" for none."""
    name, sign, _ = actor.partition("/")
    return name if sign else ""
