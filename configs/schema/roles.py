"""Which keys of a group of nodes say something of which roles."""

from collections.abc import Sequence


def check_switch(workers: Sequence[str], at: str | None) -> None:
    """Raises ValueError."""
    if "switch" in workers and len(workers) > 1:
        others = ", ".join(role for role in workers if role != "switch")
        raise ValueError(
            f"workers names switch and {others}: nobody else stands on a switch; give the others a "
            "group of their own"
        )
    if at is not None and "switch" not in workers:
        raise ValueError(f"at is {at!r}, which is said of workers: [switch] alone: leave it out")


def check_spares(workers: Sequence[str], spares: int) -> None:
    """Raises ValueError."""
    if spares and tuple(workers) != ("experts",):
        raise ValueError(
            f"spares is {spares}, and workers names {', '.join(workers)}: only expert shards, "
            "alone on their nodes, have any; leave it out, or give the shards a group of their own"
        )
