"""Which layers each stage of a pipeline holds.

    61 layers, 2 stages    0 ─ 30 │ 31 ─ 60
    61 layers, 4 stages    0 ─ 14 │ 15 ─ 29 │ 30 ─ 45 │ 46 ─ 60

Where stages do not divide the layers, it is vLLM's rule (`get_pp_indices` in
`vllm/distributed/utils.py`): each layer that is left over goes to a stage of its own, from the last
but one backwards. The last stage has the vocabulary to do beside its layers, so it has none more.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise


def stages_of(num_layers: int, num_stages: int, given: Sequence[int] = ()) -> tuple[range, ...]:
    """Layers of each stage, in order; `given`: how many each has, else by the rule.

    Raises ValueError, with what would do, where there are not so many layers.
    """
    if num_stages > num_layers:
        raise ValueError(
            f"pipeline_parallel_size: is {num_stages}, and the model has {num_layers} layers, of "
            f"which each stage holds one at least: the nearest that would do is {num_layers}"
        )
    if given and len(given) != num_stages:
        raise ValueError(
            f"pipeline_layers: names {len(given)} stages, and pipeline_parallel_size is "
            f"{num_stages}: make both the same"
        )
    counts = tuple(given) or _evenly(num_layers, num_stages)
    if sum(counts) != num_layers:
        others, nearest = sum(counts[:-1]), ", ".join(map(str, _evenly(num_layers, num_stages)))
        if others < num_layers:
            nearest = ", ".join(map(str, (*counts[:-1], num_layers - others)))
        raise ValueError(
            f"pipeline_layers: are {sum(counts)} in all, and the model has {num_layers} layers: "
            f"the nearest that would do is [{nearest}]"
        )
    return tuple(range(first, end) for first, end in pairwise(accumulate(counts, initial=0)))


def _evenly(num_layers: int, num_stages: int) -> tuple[int, ...]:
    share, left_over = divmod(num_layers, num_stages)
    # The last stage is number num_stages - 1; the first with one more is so many before it.
    first = num_stages - 1 - left_over
    return tuple(share + (first <= stage < num_stages - 1) for stage in range(num_stages))
