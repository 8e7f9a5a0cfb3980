"""How the chips of a cluster keep KV, each in its own form, and what that makes of its content."""

from dataclasses import replace

from cluster.worlds.blueprint import Blueprint
from configs.block_form import narrowest
from configs.plan import ChipPlan, PartPlan
from configs.precision import KV_KINDS, KvKind
from configs.slices import Slice
from configs.states import StateAtEnd
from workers.kv.crossing import Forms, Kept, as_they_are


def forms_of(blueprint: Blueprint, worker: PartPlan) -> Forms:
    """As a chip, or a rank of one, needs them."""
    from workers.model.parts.kv_conversion import KvConversion

    plan, section = blueprint.plan, blueprint.scenario.model
    part = plan.part(worker)
    config = part.of(blueprint.model)
    token_bytes = {
        kind: replace(section.precision, kv=kind).kv_bytes_per_token(config) for kind in KV_KINDS
    }
    form, numbers = worker.form, section.precision.kv
    number = Slice.of(part.heads, form.size).number
    if section.numerics == "real":
        how = KvConversion(config)
        kept = Kept(form, worker.kv_tier, numbers, token_bytes, how.planes, how)
        return Forms(replace(kept, slice_number=number), plan.forms)
    layers = config.num_layers
    thin = tuple(
        layer
        for layer in range(layers)
        if config.window_of(layer) is None and not config.is_state(layer)
    )
    kept = Kept(form, worker.kv_tier, numbers, token_bytes, layers, as_they_are, layers, thin)
    if config.has_states:
        at_end = StateAtEnd(section.precision.state_bytes(config))
        return Forms(replace(kept, sliding=at_end), plan.forms)
    return Forms(replace(kept, sliding=worker.sliding, slice_number=number), plan.forms)


def numbers_of(blueprint: Blueprint, worker: PartPlan) -> KvKind | None:
    """Of a chip's KV, where they are not the cluster's own."""
    numbers = worker.form.numbers
    return None if numbers == blueprint.scenario.model.precision.kv else numbers


def content_salt(blueprint: Blueprint, worker: ChipPlan) -> bytes:
    """What a chip's KV depends on beside its tokens: its numbers, and narrower ones that it may
    have come through. Nothing where all are the cluster's own.
    """
    own, cluster = worker.form.numbers, blueprint.scenario.model.precision.kv
    through = own
    if worker.role == "decode":
        sources = [w for w in blueprint.plan.workers if w.role == "prefill"]
        through = narrowest(own, *(w.form.numbers for w in sources if isinstance(w, ChipPlan)))
    return b"" if own == through == cluster else f"{own} of {through}".encode()
