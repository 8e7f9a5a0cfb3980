"""What travels between a cluster's models, and what links are charged for it."""

from cluster.worlds.blueprint import Blueprint
from workers.model.numerics import Numerics, numerics_of


def wire_numerics(blueprint: Blueprint) -> Numerics:
    """Of every node of a cluster."""
    section, hidden = blueprint.scenario.model, blueprint.model.hidden
    if section.numerics == "real":
        return numerics_of(section.precision, hidden, section.rows)
    from workers.model.digest.numerics import Digest

    sizes, is_free = (blueprint.model, section.precision), section.message_metadata == "free"
    tokens = blueprint.plan.common_tokens
    # What lies in one place of a block, of which counts have a byte.
    carried = (1, blueprint.plan.span_tokens) if section.numerics == "counts" else ()
    what = *sizes, section.rows
    return Digest.of(*what, free_metadata=is_free, carried=carried, block_tokens=tokens)
