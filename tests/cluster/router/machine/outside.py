"""Everything around a machine, moved by chance: whatever it asks for is answered some time, in some
way that a real cluster could. Laws 2 and 3 are checked on the way, from the reader's seat.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from cluster.api.request import Retrieval
from cluster.router.machine import actions as act
from cluster.router.machine import events as of
from cluster.router.machine.machine import Machine
from cluster.router.machine.sampled import Logprob, SampledToken
from cluster.router.machine.store_events import (
    PassagesDropped,
    StoreDropped,
)
from cluster.router.machine.watch_events import ChipHeard
from tests.cluster.router.machine.requests import asked, tokenizer
from tests.cluster.router.machine.seats import Computed, Reader
from workers.errors import PeerDead, to_body

OnEvent = Callable[[of.Event, Sequence[act.Action]], None]
READERS = ("gateway-0", "gateway-1")
WORDS = tokenizer().encode("what a fine day it is to be a token of some stream, \u20ac9.30 only")


class Chance(Protocol):
    """What a random.Random and Hypothesis' stand-in for it both have."""

    def random(self) -> float: ...
    def randrange(self, stop: int, /) -> int: ...


def token_at(request_id: str, position: int) -> int:
    """Streams repeat themselves."""
    return WORDS[(int(request_id[1:]) * 7 + position) % len(WORDS)]


class Outside:
    """on_event   told of each event after it was applied, with what it led to"""

    def __init__(self, machine: Machine, on_event: OnEvent) -> None:
        self.machine, self.state, self._on_event = machine, machine.state, on_event
        self.now_ns = 0
        self.num_submitted = 0
        self.open: list[act.Action] = []
        self.computed: dict[str, Computed] = {}
        self.readers: dict[str, Reader] = {}
        self.on_the_way: dict[str, list[act.Said]] = {name: [] for name in READERS}
        self.epochs = dict.fromkeys(READERS, 1)

    def happened(self, event: of.Event) -> None:
        actions = self.machine.apply(event)
        for action in actions:
            self._take(action)
        self._on_event(event, actions)

    def _take(self, action: act.Action) -> None:
        match action:
            case act.Say(reader, said):
                self.on_the_way[reader].extend(said)
            case act.Forget(request_id):
                self.open = [one for one in self.open if owner(one) != request_id]
            case act.Abandon(request_id):
                self.open = [
                    one for one in self.open
                    if owner(one) != request_id or isinstance(one, act.AwaitDeadline)
                ]  # fmt: skip
            case act.Accept(request_id):
                self.readers[request_id].is_promised = True
            case act.Refuse() | act.AwaitRoom():
                pass
            case _:
                self.open.append(action)

    # -- one thing that happens --------------------------------------------------------------------

    def submit(self, chance: Chance) -> None:
        if self.state.is_draining:
            return
        name, kind = f"r{self.num_submitted}", chance.randrange(4)
        self.num_submitted += 1
        wanted = asked(
            name,
            max_tokens=1 + chance.randrange(8),
            stop=("day", "\u20ac9")[: chance.randrange(3)],
            retrieval=Retrieval("s", 2) if kind == 0 else None,
        )
        reader = READERS[chance.randrange(2)]
        self.readers[name] = Reader(reader)
        epoch, deadline_ns = self.epochs[reader], self.now_ns + 50_000
        self.happened(of.RequestSubmitted(self.now_ns, wanted, deadline_ns, reader, epoch))

    def answer(self, action: act.Action, luck: float) -> None:
        """`luck` in [0, 1) decides how; towards 0 it goes wrong."""
        now_ns = self.now_ns
        request_id = owner(action)
        if request_id is not None and luck < 0.04:
            fault = to_body(PeerDead("nobody answered"))
            self.happened(of.RequestFailed(now_ns, request_id, fault))
            return
        match action:
            case act.Retrieve(request):
                self.happened(of.PassagesFound(now_ns, request.request_id, ("one", "two")))
            case act.Prepare(request):
                ids = tuple(range(3, 3 + 5 + int(luck * 60)))
                hashes = tuple(f"{ids[0] + i:032x}" for i in range(len(ids) // 16))
                self.happened(of.PromptPrepared(now_ns, request.request_id, ids, hashes))
            case act.Reserve(_, sequence) if luck < 0.3:
                self.happened(of.RoomRefused(now_ns, sequence.sequence_id))
            case act.Reserve(_, sequence):
                self.happened(of.RoomReserved(now_ns, sequence.sequence_id, 0))
            case act.Prefill(chip, sequence, decode_chip) if not luck < 0.04:
                self._compute(sequence, chip, decode_chip)
            case act.Generate(chip, sequence):
                self._compute(sequence, chip, chip)
            case act.AwaitDeadline(name, deadline_ns):
                self.now_ns = max(now_ns, deadline_ns)
                self.happened(of.DeadlinePassed(self.now_ns, name))
            case act.Abort(chip, sequence_id):
                self.computed.pop(sequence_id, None)
                if sequence_id in self.state.aborts.get(chip, ()):
                    self.happened(of.AbortSettled(now_ns, chip, sequence_id))
            case act.DropStore(store_id):
                self.happened(StoreDropped(now_ns, store_id))
            case act.DropPassages(store_id, first_id, count):
                store = self.state.stores.get(store_id)
                if store is not None and (first_id, count) in store.unfinished:
                    self.happened(PassagesDropped(now_ns, store_id, first_id, count))

    def _compute(self, sequence: act.Sequence, first_chip: str, other_chip: str) -> None:
        sent_ids = sequence.sent_ids
        assert sent_ids == tuple(self.state.requests[sequence.request_id].stream.tokens)
        self.computed[sequence.sequence_id] = Computed(
            sequence.request_id, first_chip, other_chip, len(sent_ids), sequence.sampling.max_tokens
        )

    def sample(self, chance: Chance) -> None:
        """One step of one chip; of what it has told already, some again."""
        names = list(self.state.chips)
        chip = names[chance.randrange(len(names))]
        tokens = {}
        for sequence_id, computed in self.computed.items():
            mine = [told for by, told in computed.told if by == chip]
            if mine and chance.random() < 0.1:
                tokens[sequence_id] = mine[chance.randrange(len(mine))]
            elif chance.random() < 0.7 and (fresh := self._next(sequence_id, chip)):
                tokens[sequence_id] = fresh
        if tokens:
            self.happened(of.TokensSampled(self.now_ns, chip, tuple(tokens.values())))

    def _next(self, sequence_id: str, chip: str) -> SampledToken | None:
        """A prefill chip tells one position after those that were sent, the decode chip the others,
        one ahead of the other.
        """
        computed = self.computed[sequence_id]
        is_apart = computed.first_chip != computed.other_chip
        told = [token.position for by, token in computed.told if by == chip]
        first = computed.num_sent
        position = first + len(told) + (is_apart and chip == computed.other_chip)
        most = first + 1 if is_apart and chip == computed.first_chip else computed.num_tokens
        if chip not in (computed.first_chip, computed.other_chip) or position >= most:
            return None
        stage = "both" if not is_apart else "decode" if position > first else "prefill"
        is_last = position == computed.num_tokens - 1
        token_id = token_at(computed.request_id, position)
        token = SampledToken(
            sequence_id,
            stage,
            position,
            token_id,
            num_cached=3,
            finish_reason="length" if is_last else "",
            times_ns={"attention": 7, "prefill": 5} if is_last or stage == "prefill" else None,
            logprob=Logprob(-0.5, ((token_id, -0.5), (9, float("-inf"))))
            if position == 2
            else None,
            logits=b"\x00\x01\xff\xfe" if position == 3 else b"",
        )
        computed.told.append((chip, token))
        return token

    def hear(self, reader: str, most: int) -> None:
        outbox, queue = self.state.outboxes.get(reader), self.on_the_way[reader]
        assert [*queue] == [*outbox.said] if outbox else not queue, "said is what is not heard yet"
        heard, self.on_the_way[reader] = queue[:most], queue[most:]
        if heard:
            for said in heard:
                self.readers[said.output.request_id].hear(said.output)
            self.happened(of.OutputsHeard(self.now_ns, reader, len(heard)))

    # -- the end -----------------------------------------------------------------------------------

    def finish(self) -> None:
        """All that is still asked for is answered well, until nothing is left to do."""
        for chip in list(self.state.chips.values()):
            if not chip.alive:
                self.happened(of.ChipJoined(self.now_ns, chip.name, chip.epoch + 1))
            if chip.is_silent:
                self.happened(ChipHeard(self.now_ns, chip.name))
        first_ns = self.now_ns
        while self.state.requests or self.state.outboxes or self.state.aborts:
            self.now_ns += 1
            assert self.now_ns - first_ns < 1_000, f"nothing moves: {self.state}"
            calls = [one for one in self.open if not isinstance(one, act.AwaitDeadline)]
            self.open = [one for one in self.open if isinstance(one, act.AwaitDeadline)]
            for action in calls:
                self.answer(action, 0.5)
            for chip_name in self.state.chips:
                fresh = [self._next(name, chip_name) for name in self.computed]
                if tokens := tuple(token for token in fresh if token is not None):
                    self.happened(of.TokensSampled(self.now_ns, chip_name, tokens))
            for reader in READERS:
                self.hear(reader, 1 << 20)
            if self.state.line:
                self.happened(of.LineWaited(self.now_ns))


def owner(action: act.Action) -> str | None:
    """The request that an action is for."""
    match action:
        case act.Retrieve(request) | act.Prepare(request):
            return request.request_id
        case act.Reserve(_, sequence) | act.Prefill(_, sequence) | act.Generate(_, sequence):
            return sequence.request_id
        case act.AwaitDeadline(request_id) | act.Accept(request_id):
            return request_id
    return None
