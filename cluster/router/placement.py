"""Which chips serve a request: filter what cannot, score what can in [0, 1], pick the best."""

from collections.abc import Callable, Iterable, Sequence

from cluster.router.state import ChipState, RequestState, RouterState

Filter = Callable[[ChipState, RequestState], bool]
Scorer = Callable[[ChipState, RequestState, Sequence[ChipState]], float]


def alive(chip: ChipState, request: RequestState) -> bool:  # noqa: ARG001 - a Filter gets both
    return chip.alive


def has_room(chip: ChipState, request: RequestState) -> bool:
    """Its blocks could hold the whole request beside all that was placed there."""
    return chip.blocks_taken + request.blocks <= chip.num_blocks


def prefix_hit(
    chip: ChipState,
    request: RequestState,
    others: Sequence[ChipState],  # noqa: ARG001 - a Scorer gets the field
) -> float:
    """The share of the prompt's blocks that the chip need not compute."""
    if not request.block_hashes:
        return 0.0
    return chip.prefix_hits(request.block_hashes) / len(request.block_hashes)


def short_queue(chip: ChipState, _: RequestState, others: Sequence[ChipState]) -> float:
    """1 for the chip with the fewest prompt tokens before it, 0 for the one with the most."""
    most = max(other.queued_tokens for other in others)
    return 1.0 if not most else 1.0 - chip.queued_tokens / most


def few_requests(chip: ChipState, _: RequestState, others: Sequence[ChipState]) -> float:
    most = max(other.num_requests for other in others)
    return 1.0 if not most else 1.0 - chip.num_requests / most


def kv_room(chip: ChipState, _: RequestState, __: Sequence[ChipState]) -> float:
    return 1.0 - chip.blocks_taken / chip.num_blocks


# A prefix hit saves compute outright, a shorter queue only delay: it counts twice. ASSUMED, to be
# tuned by sweeps.
PREFILL_SCORERS: tuple[tuple[Scorer, float], ...] = ((prefix_hit, 2.0), (short_queue, 1.0))
DECODE_SCORERS: tuple[tuple[Scorer, float], ...] = ((few_requests, 1.0), (kv_room, 1.0))
CHIP_SCORERS = PREFILL_SCORERS + DECODE_SCORERS


def pick(
    chips: Iterable[ChipState],
    request: RequestState,
    filters: Sequence[Filter],
    scorers: Sequence[tuple[Scorer, float]],
) -> ChipState | None:
    """The chip with the highest weighted score, the first of equals; None if every one is
    filtered out.
    """
    fit = [chip for chip in chips if all(keep(chip, request) for keep in filters)]
    if not fit:
        return None
    return max(fit, key=lambda chip: sum(w * score(chip, request, fit) for score, w in scorers))


def place(state: RouterState, request: RequestState) -> tuple[str, str] | None:
    """(prefill chip, decode chip), or None while no decode chip has room.

    A chip that does both goes first, and is named twice: then no KV travels.
    """
    by_role = {
        role: [chip for chip in state.chips.values() if chip.role == role]
        for role in ("prefill", "decode", "chip")
    }
    both = pick(by_role["chip"], request, (alive, has_room), CHIP_SCORERS)
    if both is not None:
        return both.name, both.name
    source = pick(by_role["prefill"], request, (alive,), PREFILL_SCORERS)
    target = pick(by_role["decode"], request, (alive, has_room), DECODE_SCORERS)
    return (source.name, target.name) if source and target else None
