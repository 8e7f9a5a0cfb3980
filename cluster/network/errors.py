"""What makes a network impossible, as its topology finds it; `problems` names the keys."""


class NetworkProblem(ValueError):
    """Wrong in itself, or wrong for this cluster: "key: value: what is wrong; what would do"."""


class NodeProblem(NetworkProblem):
    """Of a group of nodes: "name.key: what is wrong"."""


class TooSmall(NetworkProblem):
    """It has fewer places than the cluster has nodes."""

    def __init__(self, key: str, value: object, has: str, num_nodes: int, would_do: str) -> None:
        super().__init__(
            f"{key}: is {value}: that makes {has}, and the cluster has {num_nodes} nodes: "
            f"{would_do} would do"
        )
