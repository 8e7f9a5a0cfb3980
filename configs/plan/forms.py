"""Chips whose KV blocks are not all of one form (`cluster.nodes.<group>.kv`): what that is not
combined with.
"""

from collections.abc import Mapping

from configs.block_form import BlockForm
from configs.model_config import ModelConfig
from configs.precision import kernels_hindrance
from configs.schema import CHIP_ROLES, Scenario
from configs.schema.kv import KvSection


def forms_of(scenario: Scenario) -> dict[str, BlockForm]:
    """Group of chips -> how they keep their KV."""
    forms = dict[str, BlockForm]()
    for name, group in scenario.cluster.nodes.items():
        if any(role in CHIP_ROLES for role in group.workers):
            model, slices = scenario.of_group(name).model, group.decode_context_parallel_size
            forms[name] = BlockForm(model.block_size, model.precision.kv, slices)
    return forms


def form_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    """None where all chips are alike."""
    forms = forms_of(scenario)
    problems = [
        f"cluster.nodes.{name}.kv: is given, and workers names {', '.join(group.workers)}: only "
        "prefill, decode and chip keep KV blocks of their own; leave it out"
        for name, group in scenario.cluster.nodes.items()
        if name not in forms and group.kv != KvSection()
    ]
    problems += _number_problems(scenario, forms)
    if len({(form.size, form.slices) for form in forms.values()}) > 1:
        problems += _layout_problems(scenario, config, forms)
    if len(set(forms.values())) > 1:
        problems += _elsewhere_problems(scenario, forms)
    return problems


def form_notes(scenario: Scenario) -> list[str]:
    """How KV crosses between chips of other forms, and what that costs it."""
    forms, notes = forms_of(scenario), []
    nodes = scenario.cluster.nodes
    sources = [name for name in forms if "prefill" in nodes[name].workers]
    for target in (name for name in forms if "decode" in nodes[name].workers):
        for source in sources:
            one, other = forms[source], forms[target]
            if one == other:
                continue
            piece, who = one.between(other), ""
            if one.numbers != other.numbers:
                converts = target if piece.numbers == one.numbers else source
                who = f", converted by {converts}: it is as exact as {piece.numbers}"
            notes.append(
                f"KV of {source} ({one}) goes to {target} ({other}) in pieces of {piece.size} "
                f"tokens in {piece.numbers}{who}"
            )
    return notes


def _number_problems(scenario: Scenario, forms: Mapping[str, BlockForm]) -> list[str]:
    """Exact mode is exact at both ends."""
    if scenario.model.dtype != "fp32":
        return []
    return [
        f"cluster.nodes.{name}.kv.dtype: is {form.numbers!r} and model.dtype fp32, which is exact "
        "mode: set model.dtype: bf16, or leave kv.dtype out"
        for name, form in forms.items()
        if form.numbers != "fp32"
    ]


def _layout_problems(
    scenario: Scenario, config: ModelConfig, forms: Mapping[str, BlockForm]
) -> list[str]:
    """Kernels and plain arrays lay blocks out differently; ranks are plain arrays throughout. Of
    counts a byte stands for a block, which cannot be cut.
    """
    if scenario.model.numerics == "counts":
        return _count_problems(scenario, forms)
    is_split = any(group.num_ranks > 1 for group in scenario.cluster.nodes.values())
    if scenario.model.numerics == "digest" or is_split:
        return []
    found = {name: kernels_hindrance(config, form.size) for name, form in forms.items()}
    if None not in found.values() or set(found.values()) == {None}:
        return []
    other = next(name for name, why in found.items() if why is None)
    return [
        f"cluster.nodes.{name}.kv: {why}, as cluster.nodes.{other} has it: blocks of real numbers "
        "are laid out alike at both ends"
        for name, why in found.items()
        if why is not None
    ]


def _count_problems(scenario: Scenario, forms: Mapping[str, BlockForm]) -> list[str]:
    """What lies in one place is as many tokens everywhere; where nothing is handed over, blocks."""
    nodes = scenario.cluster.nodes
    hands_over = any("prefill" in nodes[name].workers for name in forms)
    held = {name: form.slice_tokens if hands_over else form.size for name, form in forms.items()}
    if len(set(held.values())) == 1:
        return []
    sizes = ", ".join(f"{name} {size}" for name, size in held.items())
    what = "blocks, or slices of blocks," if hands_over else "blocks"
    return [
        f"cluster.nodes.<group>.kv.block_size: chips have {what} of other sizes ({sizes}), and "
        "model.numerics is 'counts', which keeps nothing that could be cut: make them alike, "
        "or set numerics: digest"
    ]


def _elsewhere_problems(scenario: Scenario, forms: Mapping[str, BlockForm]) -> list[str]:
    """Memory servers that attend, and files with pages, know blocks of one form."""
    (one, form), *others = forms.items()
    name, other = next((name, other) for name, other in others if other != form)
    why = f"chips of cluster.nodes.{one} keep {form}, and those of {name} {other}"
    problems = []
    if scenario.placement.kv_near is not None:
        problems.append(f"placement.kv_near: is given, and {why}: leave it out, or make them alike")
    problems += [
        f"cluster.nodes.{group}.device.tiers.{tier}.file: is given, and {why}: a file's pages are "
        "as large as blocks of one form; leave file out, or make them alike"
        for group, spec in scenario.cluster.nodes.items()
        if "memory" in spec.workers and scenario.placement.pools
        for tier, tier_spec in spec.device.tiers.items()
        if tier_spec.file is not None
    ]
    return problems
