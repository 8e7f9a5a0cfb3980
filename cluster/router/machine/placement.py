"""Which chips serve a prompt: filter what cannot, score what can in [0, 1], pick the best."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from cluster.router.machine.chips import ChipState, Prompt


@dataclass(frozen=True, slots=True)
class Field:
    """What a chip is measured by beside the others: looked for once, not for each of hundreds."""

    most_queued_tokens: int
    most_requests: int

    @classmethod
    def of(cls, chips: Sequence[ChipState]) -> "Field":
        return cls(
            max(chip.queued_tokens for chip in chips), max(chip.num_requests for chip in chips)
        )


Filter = Callable[[ChipState, Prompt], bool]
Scorer = Callable[[ChipState, Prompt, Field], float]


def alive(chip: ChipState, prompt: Prompt) -> bool:  # noqa: ARG001 - a Filter gets both
    return chip.alive and not chip.is_silent


def stays(chip: ChipState, prompt: Prompt) -> bool:  # noqa: ARG001 - a Filter gets both
    """One that leaves is given nothing new."""
    return not chip.is_draining


def has_room(chip: ChipState, prompt: Prompt) -> bool:
    """Its blocks could hold what is reserved for the request beside all that was placed there."""
    return chip.has_room(prompt)


def prefix_hit(chip: ChipState, prompt: Prompt, _: Field) -> float:
    """The share of the prompt's blocks that the chip need not compute."""
    if not prompt.block_hashes:
        return 0.0
    return chip.prefix_hits(prompt.block_hashes) / len(prompt.block_hashes)


def short_queue(chip: ChipState, _: Prompt, field: Field) -> float:
    """1 for the chip with the fewest prompt tokens before it, 0 for the one with the most."""
    most = field.most_queued_tokens
    return 1.0 if not most else 1.0 - chip.queued_tokens / most


def few_requests(chip: ChipState, _: Prompt, field: Field) -> float:
    most = field.most_requests
    return 1.0 if not most else 1.0 - chip.num_requests / most


def kv_room(chip: ChipState, _: Prompt, __: Field) -> float:
    return max(0.0, 1.0 - chip.blocks_taken / chip.num_blocks)  # they may need more than there is


# A prefix hit saves compute outright, a shorter queue only delay: it counts twice. ASSUMED, to be
# tuned by sweeps.
PREFILL_SCORERS: tuple[tuple[Scorer, float], ...] = ((prefix_hit, 2.0), (short_queue, 1.0))
DECODE_SCORERS: tuple[tuple[Scorer, float], ...] = ((few_requests, 1.0), (kv_room, 1.0))
CHIP_SCORERS = PREFILL_SCORERS + DECODE_SCORERS


def pick(
    chips: Iterable[ChipState],
    prompt: Prompt,
    filters: Sequence[Filter],
    scorers: Sequence[tuple[Scorer, float]],
    avoided: Collection[str] = (),
) -> ChipState | None:
    """The chip with the highest weighted score, the first of equals, and one of `avoided` only
    where no other is left; None if every one is filtered out.
    """
    fit = [chip for chip in chips if all(keep(chip, prompt) for keep in filters)]
    if not fit:
        return None
    fit = [chip for chip in fit if chip.name not in avoided] or fit
    field = Field.of(fit)
    return max(fit, key=lambda chip: sum(w * score(chip, prompt, field) for score, w in scorers))


def place(
    chips: Iterable[ChipState], prompt: Prompt, avoided: Collection[str] = ()
) -> tuple[str, str] | None:
    """(prefill chip, decode chip), or None while no decode chip has room.

    A chip that does both goes first, and is named twice: then no KV travels.
    """
    by_role: dict[str, list[ChipState]] = {"prefill": [], "decode": [], "chip": []}
    for chip in chips:
        by_role[chip.role].append(chip)
    both = pick(by_role["chip"], prompt, (alive, stays, has_room), CHIP_SCORERS, avoided)
    if both is not None:
        return both.name, both.name
    source = pick(by_role["prefill"], prompt, (alive, stays), PREFILL_SCORERS, avoided)
    target = pick(by_role["decode"], prompt, (alive, stays, has_room), DECODE_SCORERS, avoided)
    return (source.name, target.name) if source and target else None


def missing_role(chips: Iterable[ChipState]) -> str | None:
    """The role, prefill or decode, that no living chip has which stays: then nothing can ever be
    placed.
    """
    living = [chip.role for chip in chips if chip.alive and not chip.is_draining]
    for role in ("prefill", "decode"):
        if role not in living and "chip" not in living:
            return role
    return None
