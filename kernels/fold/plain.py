"""The folded group as a plain program: a clock of rounds, and a generator for each chip and shard.

Slow, and simple enough to be believed: what the native engine is compared with.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.fold.checks import Group, checked_pool, checked_stretch
from kernels.fold.lane import Lane
from kernels.fold.launching import Launching
from kernels.fold.members import Chip, Sent, Shard, Stretch
from kernels.fold.pools import asked
from kernels.fold.rounds import Rounds, Task
from kernels.fold.terms import NOBODY, Chosen, Counts, Drawn, Ended, Terms, Times, UnderWay


class PlainEngine:
    """See `kernels.fold`."""

    def __init__(
        self,
        num_chips: int,
        owners_E: Sequence[int] | NDArray[Any],
        terms: Terms,
        exchanges: int,
        slow_S: Sequence[float] | None = None,
        num_shards: int | None = None,
    ) -> None:
        self.group = group = Group.of(num_chips, owners_E, terms, exchanges, slow_S, num_shards)
        self._terms, self._rounds = terms, Rounds()
        rates = terms.chip_link.bytes_per_s, terms.shard_link.bytes_per_s
        self._out_ns = terms.path_ns + terms.chip_link.startup_ns
        self._back_ns = terms.path_ns + terms.shard_link.startup_ns
        self._chips = [self._chip(number, *rates) for number in range(num_chips)]
        self._shards = [
            Shard(Lane(rates[1]), Lane(rates[1], rates[0])) for _ in range(group.num_shards)
        ]
        self._pools: list[NDArray[np.int32]] = []
        self._ended, self._is_told, self._tells_each = list[Ended](), False, False
        self._counts = Counts.zero(num_chips, group.num_shards, len(group.owners_E))
        for index, shard in enumerate(self._shards):
            shard.task = self._serve(index, shard)
            next(shard.task)

    def _chip(self, number: int, rate: int, shards_rate: int) -> Chip:
        launching = Launching(self._rounds, lambda: self._rounds.wake(self._chips[number].task))
        return Chip(Lane(rate), Lane(rate, shards_rate), launching)

    # -- what is asked from outside ----------------------------------------------------------------

    def add_pool(self, experts_XPK: NDArray[np.int32]) -> int:
        self._pools.append(checked_pool(self.group, experts_XPK))
        return len(self._pools) - 1

    def begin(self, chip: int, start_ns: int, launches_ns: Times, choices: Chosen | Drawn) -> None:
        one = self._chips[self.group.checked_chip(chip)]
        if one.stretch is not None:
            raise ValueError(f"chip {chip} has a stretch that has not ended")
        if start_ns < self.now_ns:
            raise ValueError(f"start_ns is {start_ns}; it is already {self.now_ns}")
        launches_ns = checked_stretch(self.group, launches_ns, choices, self._pools)
        one.stretch = stretch = Stretch(start_ns, launches_ns, choices)
        one.task = self._run(chip, one, stretch)
        one.launching.begin(start_ns)
        self._rounds.call_at(start_ns, self._rounds.wake, one.task)

    def cut(self, chip: int) -> None:
        one = self._chips[self.group.checked_chip(chip)]
        if one.stretch is not None:
            one.stretch.is_cut = True

    @property
    def now_ns(self) -> int:
        return self._rounds.now_ns

    def next_ns(self) -> int | None:
        return self._rounds.next_ns()

    def advance(self, until_ns: int | None, each_step: bool = False) -> list[Ended]:
        self._tells_each = each_step
        self._is_told, rounds = False, self._rounds
        while (next_ns := rounds.next_ns()) is not None:
            if until_ns is not None and next_ns > until_ns:
                break
            if self._is_told and next_ns > rounds.now_ns:
                break
            rounds.run()
        if until_ns is not None and not self._is_told:
            rounds.now_ns = max(rounds.now_ns, until_ns)
        ended, self._ended = self._ended, []
        return ended

    def counts(self) -> Counts:
        counts = self._counts
        chips: Sequence[Chip | Shard] = self._chips
        for ends, nodes in ((counts.chips, chips), (counts.shards, self._shards)):
            ends.busy_out_ns[:] = [node.out.busy_ns for node in nodes]
            ends.busy_in_ns[:] = [node.into.busy_ns for node in nodes]
        return copy.deepcopy(counts)

    # -- others on the chips' machines and links ---------------------------------------------------

    def under_way(self, chip: int, now_ns: int) -> UnderWay | None:
        one = self._chip_at(chip, now_ns)
        return None if one.stretch is None else one.launching.under_way()

    def hold(self, chip: int, now_ns: int, until_ns: int, slow: float) -> None:
        self._chip_at(chip, now_ns).launching.hold(until_ns, slow)

    def lengthen(self, chip: int, now_ns: int, by_ns: int) -> None:
        one = self._chip_at(chip, now_ns)
        if one.stretch is None or not one.launching.under_way().is_launching:
            raise ValueError(f"chip {chip} has no launch under way")
        one.launching.lengthen(by_ns)

    def leave(self, chip: int, now_ns: int, num_bytes: int) -> int:
        return self._chip_at(chip, now_ns).out.start_other(now_ns, num_bytes, 0)[1]

    def come(self, chip: int, now_ns: int, num_bytes: int, limit_per_s: int) -> int:
        into = self._chip_at(chip, now_ns).into
        return into.start_other(now_ns, num_bytes, limit_per_s)[1]

    def _chip_at(self, chip: int, now_ns: int) -> Chip:
        if now_ns < self.now_ns:
            raise ValueError(f"now_ns is {now_ns}; it is already {self.now_ns}")
        return self._chips[self.group.checked_chip(chip)]

    # -- chips -------------------------------------------------------------------------------------

    def _run(self, chip: int, one: Chip, stretch: Stretch) -> Task:
        begun_ns = stretch.start_ns
        for step, launches_ns in enumerate(stretch.launches_ns.tolist()):
            for exchange, took_ns in enumerate(launches_ns[:-1]):
                yield from one.launching.launch(took_ns)
                one.launching.exchanged()
                asked_TK = asked(stretch.choices, self._pools, chip, step, exchange)
                self._dispatch(chip, one, exchange, asked_TK)
                if one.num_open:
                    yield
            yield from one.launching.launch(launches_ns[-1])
            compute_ns = sum(launches_ns) + one.launching.step_over()
            end_ns = self.now_ns
            is_last = stretch.is_cut or step + 1 == len(stretch.launches_ns)
            wait_ns, begun_ns = end_ns - begun_ns - compute_ns, end_ns
            self._ended.append(Ended(chip, step, end_ns, compute_ns, wait_ns, is_last))
            self._is_told = self._is_told or self._tells_each
            if is_last:
                one.stretch, self._is_told = None, True
                return

    def _dispatch(self, chip: int, one: Chip, exchange: int, experts_TK: NDArray[np.int32]) -> None:
        """A message to each shard that owns an expert of these tokens, shard by shard."""
        owners_E, sent = self.group.owners_E, dict[int, Sent]()
        for experts in experts_TK.tolist():
            known = [expert for expert in experts if expert != NOBODY]
            for expert in known:
                self._counts.expert_tokens_E[expert] += 1
                message = sent.setdefault(int(owners_E[expert]), Sent(chip, exchange, 0, []))
                message.choices.append(expert)
            for shard in {int(owners_E[expert]) for expert in known}:
                sent[shard].rows += 1
        one.num_open, counts = len(sent), self._counts.chips
        for shard, message in sorted(sent.items()):
            counts.messages_out[chip] += 1
            counts.rows_out[chip] += message.rows
            num_bytes = self._terms.dispatch.of(message.rows)
            self._send(one.out, self._shards[shard].into, num_bytes, self._out_ns,
                       self._arrived, shard, message)  # fmt: skip

    def _combined(self, chip: int) -> None:
        one = self._chips[chip]
        one.num_open -= 1
        if not one.num_open:
            self._rounds.wake(one.task)

    # -- links -------------------------------------------------------------------------------------

    def _send(
        self, out: Lane, into: Lane, num_bytes: int, path_ns: int,
        told: Callable[..., None], *arguments: Any,
    ) -> None:  # fmt: skip
        sent_ns, end_ns = out.start(self.now_ns, num_bytes)
        due_ns = end_ns + path_ns
        self._rounds.call_at(
            sent_ns + path_ns, self._begin, into, num_bytes, due_ns, told, arguments
        )

    def _begin(
        self, into: Lane, num_bytes: int, due_ns: int, told: Callable[..., None], arguments: Any
    ) -> None:
        """Its first byte is here."""
        _, taken_ns = into.start(self.now_ns, num_bytes)
        self._rounds.call_at(max(taken_ns, due_ns), told, *arguments)

    # -- shards ------------------------------------------------------------------------------------

    def _arrived(self, shard: int, message: Sent) -> None:
        one = self._shards[shard]
        one.waiting.append(message)
        if one.is_idle:
            one.is_idle = False
            self._rounds.wake(one.task)

    def _serve(self, shard: int, one: Shard) -> Task:
        while True:
            while not one.waiting:
                one.is_idle = True
                yield
            waiting, one.waiting = one.waiting, []
            by_layer = dict[int, list[Sent]]()
            for message in waiting:
                by_layer.setdefault(message.layer, []).append(message)
            for batch in by_layer.values():
                took_ns = self._launch_ns(shard, batch)
                yield from self._rounds.wait(took_ns, lambda: self._rounds.wake(one.task))
                self._answer(shard, one, batch)

    def _launch_ns(self, shard: int, batch: Sequence[Sent]) -> int:
        rows = sum(message.rows for message in batch)
        choices = sum(len(message.choices) for message in batch)
        distinct = len({expert for message in batch for expert in message.choices})
        took_ns = self.group.launch_ns(shard, rows, choices, distinct)
        counts = self._counts
        counts.shards.messages_in[shard] += len(batch)
        counts.shards.rows_in[shard] += rows
        counts.batches_S[shard] += 1
        counts.compute_ns_S[shard] += took_ns
        counts.choices_S[shard] += choices
        counts.distinct_S[shard] += distinct
        return took_ns

    def _answer(self, shard: int, one: Shard, batch: Sequence[Sent]) -> None:
        counts = self._counts
        for message in batch:
            chip, rows = message.chip, message.rows
            counts.shards.messages_out[shard] += 1
            counts.shards.rows_out[shard] += rows
            counts.chips.messages_in[chip] += 1
            counts.chips.rows_in[chip] += rows
            num_bytes = self._terms.combine.of(rows)
            self._send(one.out, self._chips[chip].into, num_bytes, self._back_ns,
                       self._combined, chip)  # fmt: skip
