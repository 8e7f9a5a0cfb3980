"""Meters as tests make them up."""

from workers.hardware.energy.meter import Reading


def reading(
    dynamic: dict[str, dict[str, float]],
    static_joules: float,
    buckets: list[float],
    *,
    begin_ns: int = 0,
    until_ns: int = 2_000,
    bucket_ns: int = 1_000,
) -> Reading:
    """Of a machine without a link, whose accounts agree where `buckets` hold all."""
    spent = sum(joules for phases in dynamic.values() for joules in phases.values())
    accounts = {"machine": spent, "link": 0.0}
    return Reading(
        begin_ns, until_ns, True, dynamic, static_joules, accounts, spent, bucket_ns, buckets, 0.0
    )
