"""Programs of a step: layer after layer, and what follows a gate in each."""

from functools import partial

from workers.hardware.work import Work
from workers.model.base import (
    ChipModel,
    LaunchModel,
    MoeInput,
    SharedModel,
    SlicedModel,
    StepLayout,
)
from workers.model.program import (
    Compute,
    Enter,
    Experts,
    Gather,
    Hidden,
    Program,
    Reduce,
    Rows,
    SendNext,
    Swap,
)
from workers.model.sliced import Sliced

# The launch after a sum over ranks.
GATE = Work("gate")


def forward(
    model: ChipModel, enter: Enter, layout: StepLayout, layers: range | None = None
) -> Program[Enter]:
    """All layers, or those of a pipeline stage. What it returns gives the last hidden states."""
    for layer in range(model.config.num_layers) if layers is None else layers:
        enter = yield from model.layer(layer, enter, layout)
    return enter


def stage(model: ChipModel, enter: Enter, layout: StepLayout, layers: range) -> Program[None]:
    """A pipeline stage that is not the last: its rows go on to the next."""
    enter = yield from forward(model, enter, layout, layers)
    yield SendNext((yield Compute(Work("merge"), enter)))


def one_launch(model: LaunchModel, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
    """A layer whose part on this chip is one launch: what entered, attention, norm and gate."""
    work = model.attend_work(layer, layout)
    x, moe = yield Compute(work, _attend, (model, layer, enter, layout))
    return (yield from after_gate(model, layer, x, moe))


def after_gate(model: ChipModel, layer: int, x: Hidden, moe: MoeInput | None) -> Program[Enter]:
    """The experts' share, if the layer has one, is added where the next launch begins."""
    if moe is None:  # a dense layer: nobody else has a share
        return partial(as_it_is, x)
    sums_TH = yield Experts(layer, moe.hidden_TH, moe.experts_TK, moe.weights_TK)
    return partial(model.merge, x, sums_TH)


def over_ranks(model: SharedModel, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
    """A layer whose heads are cut over ranks: a launch, the sum of what attention adds, a launch
    for norm, gate and a network beside the experts, the sum of what that adds if there is one; then
    the experts. That both launches ask for is declared with the first.
    """
    work = model.attend_work(layer, layout)
    x, share_TH = yield Compute(work, model.attention_share, (layer, enter, layout))
    return (yield from after_share(model, layer, x, share_TH, layout))


def over_slices(
    model: SlicedModel, works: Sliced, layer: int, enter: Enter, layout: StepLayout
) -> Program[Enter]:
    """A layer of which other ranks hold slices of the same keys: queries of all of them meet each
    slice where it lies, and what is found goes back to whose queries they are.
    """
    x, q_TND = yield Compute(works.queries, model.slice_queries, (layer, enter, layout))
    everyones = yield Gather(q_TND, works.query_bytes)
    own = yield Compute(works.own, model.over_slice, (layer, everyones, layout))
    found = yield Swap(own, works.found_bytes)
    share_TH = yield Compute(works.values, model.found_share, (layer, found))
    return (yield from after_share(model, layer, x, share_TH, layout))


def after_share(
    model: SharedModel, layer: int, x: Hidden, share_TH: Rows, layout: StepLayout
) -> Program[Enter]:
    """What follows when this rank has its share of what attention adds."""
    sums_TH = yield Reduce(share_TH)
    x, beside_TH, moe = yield Compute(GATE, model.behind, (layer, x, sums_TH, layout))
    added_TH = None if beside_TH is None else (yield Reduce(beside_TH))
    if moe is not None:
        sums_TH = yield Experts(layer, moe.hidden_TH, moe.experts_TK, moe.weights_TK)
        added_TH = sums_TH if added_TH is None else sums_TH + added_TH
    assert added_TH is not None, "a layer without experts has a network"
    return partial(model.merge, x, added_TH)


def as_it_is(x: Hidden) -> Hidden:
    """What enters a layer when nothing is left to add."""
    return x


def _attend(
    model: LaunchModel, layer: int, enter: Enter, layout: StepLayout
) -> tuple[Hidden, MoeInput | None]:
    return model.attend(layer, enter(), layout)
