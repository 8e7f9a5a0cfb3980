"""How long collectives take, by hand: see `benchmarks.network.collectives`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from configs.schema.link import LinkSpec

ANSWER_BYTES = 64
HEAD_BYTES = 64 + 8 + 4 + len("tp")


@dataclass(frozen=True, slots=True)
class ByHand:
    """n ranks with `size` bytes each, and a link.

    path_ns     a        answer_ns   u
    """

    num_ranks: int
    size: int
    link: LinkSpec

    @property
    def part(self) -> float:
        return self.size / self.num_ranks

    @property
    def path_ns(self) -> int:
        return self.link.startup_ns + self.link.latency_ns

    @property
    def answer_ns(self) -> float:
        return self._lane_ns(ANSWER_BYTES)

    def _lane_ns(self, num_bytes: float) -> float:
        link = self.link
        segments = -(-num_bytes // link.segment_bytes) if link.segment_bytes else 1
        segments = min(segments, link.max_segments or segments)
        return segments * link.overhead_ns + num_bytes * 1e9 / link.bytes_per_s

    def piece_ns(self, payload: float) -> float:
        """t."""
        return self._lane_ns(payload + HEAD_BYTES)

    def rounds_ns(self, *payloads: float) -> float:
        """A piece each at every rank, one after the other."""
        pieces_ns = sum(self.path_ns + self.piece_ns(payload) for payload in payloads)
        return pieces_ns + (len(payloads) - 1) * self.answer_ns

    def at_once_ns(self, payload: float) -> float:
        """A piece for each of the others."""
        return self.path_ns + (self.num_ranks - 1) * self.piece_ns(payload)

    def doubles(self) -> list[float]:
        """Bytes of 1, 2, 4 ... parts, and of what is left of n - 1."""
        parts, left = list[int](), self.num_ranks - 1
        while left:
            parts.append(min(1 << len(parts), left))
            left -= parts[-1]
        return [count * self.part for count in parts]

    def up_ns(self, rank: int = 0) -> float:
        """Until a rank of a tree has heard its children. Each answers its own as it sends, which
        its way out shares; their pieces share this one's way in while both are under way.
        """
        begins = sorted(
            (self.up_ns(child), self._answers_ns(child)) for child in self._children(rank)
        )
        if not begins:
            return 0
        piece_ns = self.piece_ns(self.size)
        sent_ns = max(begin_ns + piece_ns + answers_ns for begin_ns, answers_ns in begins)
        taken_ns = begins[0][0] + len(begins) * piece_ns
        return self.path_ns + max(sent_ns, taken_ns)

    def _answers_ns(self, rank: int) -> float:
        """Of a rank that has just heard its last child: also the other's, if both came at once."""
        children = self._children(rank)
        both = len(children) == 2 and self.up_ns(children[0]) == self.up_ns(children[1])
        return (2 if both else min(1, len(children))) * self.answer_ns

    def down_ns(self, rank: int = 0, answers_ns: float = 0) -> float:
        """Until the last below a rank of a tree has heard it: its children share its way out."""
        children = self._children(rank)
        if not children:
            return 0
        below_ns = max(self.down_ns(child, self.answer_ns) for child in children)
        return self.path_ns + len(children) * self.piece_ns(self.size) + answers_ns + below_ns

    def up_and_down_ns(self) -> float:
        return self.up_ns() + self.down_ns(0, self._answers_ns(0))

    def _children(self, rank: int) -> list[int]:
        return [c for c in (2 * rank + 1, 2 * rank + 2) if c < self.num_ranks]


def _two_shot_ns(hand: ByHand) -> float:
    return 2 * hand.at_once_ns(hand.part) + (hand.num_ranks - 1) * hand.answer_ns


def _ring(hand: ByHand) -> list[float]:
    return (hand.num_ranks - 1) * [hand.part]


def _halves_ns(hand: ByHand) -> float:
    return hand.rounds_ns(*reversed(hand.doubles()))


FORMULAS: Mapping[tuple[str, str], Callable[[ByHand], float]] = {
    ("all_reduce", "direct"): lambda hand: hand.at_once_ns(hand.size),
    ("all_reduce", "two_shot"): _two_shot_ns,
    ("all_reduce", "ring"): lambda hand: hand.rounds_ns(*_ring(hand), *_ring(hand)),
    ("all_reduce", "tree"): ByHand.up_and_down_ns,
    ("all_reduce", "recursive_doubling"): lambda hand: hand.rounds_ns(
        *[hand.size] * (hand.num_ranks - 1).bit_length()
    ),
    ("all_reduce", "halving_doubling"): lambda hand: hand.rounds_ns(
        *hand.doubles(), *hand.doubles()
    ),
    ("all_reduce", "in_network"): lambda hand: hand.rounds_ns(hand.size, hand.size),
    ("reduce_scatter", "direct"): lambda hand: hand.at_once_ns(hand.part),
    ("reduce_scatter", "ring"): lambda hand: hand.rounds_ns(*_ring(hand)),
    ("reduce_scatter", "halving_doubling"): _halves_ns,
    ("reduce_scatter", "in_network"): lambda hand: hand.rounds_ns(hand.size, hand.part),
    ("all_gather", "direct"): lambda hand: hand.at_once_ns(hand.part),
    ("all_gather", "ring"): lambda hand: hand.rounds_ns(*_ring(hand)),
    ("all_gather", "recursive_doubling"): _halves_ns,
    ("all_to_all", "direct"): lambda hand: hand.at_once_ns(hand.part),
    ("all_to_all", "ring"): lambda hand: hand.rounds_ns(*_ring(hand)),
    ("broadcast", "direct"): lambda hand: hand.at_once_ns(hand.size),
    ("broadcast", "tree"): ByHand.down_ns,
    ("reduce", "direct"): lambda hand: hand.at_once_ns(hand.size),
    ("reduce", "tree"): ByHand.up_ns,
}
