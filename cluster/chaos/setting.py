"""What the trials of one shape are drawn from: its nodes, and what a calm run of it sent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from cluster.chaos.asking import Prompt
from cluster.chaos.kinds import KINDS, Deed
from cluster.chaos.trial import ROLLING, At, Trial

# Of so many faults one begins at some time, and not with a message.
BY_TIME = 0.12


@dataclass(frozen=True, slots=True)
class Setting:
    """bare        the trial without asks and faults; its deadline is of this shape
    nodes       all that stand, by name
    able        what a deed takes -> those that have it
    sent        life-cycle point -> word -> messages of a calm run
    prompts     what is asked
    longest_ns  of a request in a calm run
    broken      that calm run, if it broke a law without any fault: what there is to report
    """

    bare: Trial
    nodes: tuple[str, ...]
    able: Mapping[str, tuple[str, ...]]
    sent: Mapping[str, Mapping[str, int]]
    prompts: tuple[Prompt, ...]
    longest_ns: int
    deadline_ns: int
    broken: Trial | None = None

    @property
    def words(self) -> list[str]:
        """Kinds of faults that can happen here, along with any other."""
        return [word for word in KINDS if self.has(word) and word != ROLLING]

    def has(self, word: str) -> bool:
        what = KINDS[word]
        return not isinstance(what, Deed) or bool(self.able[what.of])

    def cells(self) -> Iterator[tuple[str, str]]:
        """(kind of a fault, life-cycle point) that trials of this shape can meet."""
        return ((word, point) for word in (*self.words, ROLLING) for point in self.sent)

    def point(self, random: Random) -> str:
        """Each as often as any other: most messages belong to few of them."""
        return random.choice(list(self.sent))

    def message(self, random: Random, point: str = "", *, late: bool = False) -> At:
        """The nth message of a kind that a calm run sends, early ones more often, or late ones."""
        words = self.sent[point or self.point(random)]
        word = random.choice(list(words))
        power = random.random() ** 0.3 if late else random.random()
        return At(word, int(words[word] ** power))

    def moment(self, random: Random) -> At:
        """That, or some time."""
        if random.random() < BY_TIME:
            return At(ns=random.randint(0, 3 * self.longest_ns))
        return self.message(random)
