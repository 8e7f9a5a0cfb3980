"""The router of a cluster: a shell around a pure machine.

    gateway ── submit ─▶ admission ─▶ retrieve ▶ render and tokenise ─▶ accepted
                                                     │
                    place: reserve on a decode chip ◀┘  (in line while no chip has room)
                    prefill on a prefill chip ─▶ first token; its KV goes to the decode chip
                    or generate on a chip that does both: nothing is reserved, no KV travels
    gateway ◀─ outputs ── text ◀ tokens ◀── decode chip, a token a step
                    end: everything that was held is let go

Messages become events (here and in `control`), the machine says what follows (`machine/`), the
journal keeps the events (`journal/`, `ledger`), actions become messages (`performer`, `calls`).
`wire` alone knows what messages look like.
"""

from collections.abc import Sequence
from dataclasses import replace

from cluster.api.kinds import Accepted, Cancel, Submit, WasCancelled
from cluster.router import heard as said
from cluster.router.admission import check_admission
from cluster.router.incarnations import living, nodes_of
from cluster.router.journal.journal import Journal
from cluster.router.journal.recovery import Recovered, recover
from cluster.router.ledger import Ledger
from cluster.router.machine import events as of
from cluster.router.machine.actions import Accept
from cluster.router.machine.chips import ChipState
from cluster.router.machine.machine import Machine
from cluster.router.machine.state import RouterState
from cluster.router.number_of_chips import NumberOfChips
from cluster.router.performer import Performer
from cluster.router.preloading import Preloading
from cluster.router.preparation import Preparation
from cluster.router.prompts import check_least
from cluster.router.settings import RouterSettings
from cluster.router.stores import Stores
from cluster.router.watch import Watch
from cluster.router.wire import Wire
from cluster.text.tokenizer import Tokenizer
from workers.errors import DeadlineExceeded, InvalidRequest, from_body
from workers.node import Node
from workers.wire.calls import Handled
from workers.wire.ended import Ended
from workers.wire.kind import Reply
from workers.wire.kinds.chip import Stretch, Tokens
from workers.wire.message import Message


class Router:
    """Handlers for what gateways and chips say.

    servers     memory servers, in the order in which passages are spread
    chips       as the cluster is now, with the incarnations that live
    journaled   whether events are kept on the node's disk. What is there already is taken up when
                the router begins
    """

    def __init__(
        self,
        node: Node,
        name: str,
        settings: RouterSettings,
        tokenizer: Tokenizer,
        servers: tuple[str, ...],
        chips: Sequence[ChipState],
        *,
        journaled: bool,
    ) -> None:
        """Raises JournalDamaged if what is on the disk is not what a router left there."""
        self._node, self.settings, self.tokenizer = node, settings, tokenizer
        before = recover(node.disk, tokenizer) if journaled else Recovered(None, ())
        self._was_here_before = before.state is not None
        state = before.state or RouterState.fresh(
            settings.block_size, [replace(chip) for chip in chips]
        )
        state.attempts_max = settings.attempts
        journal = Journal(node.disk, node.spawn, before.generations) if journaled else None
        self.ledger = Ledger(Machine(state, tokenizer), journal)
        self.number_of_chips = NumberOfChips(node, self.ledger)
        self._chips = chips
        self.port = node.port(name)
        # Requests that were cancelled: a submission from before must not bring them back.
        self._ended = Ended()
        self.wire = Wire(node, self.port, settings.timeout_ns)
        self.stores = Stores(
            node, self.wire, self.ledger, servers, tokenizer, settings.ships_search
        )
        self.preloading = Preloading(node, self.wire, self.ledger, self.stores)
        preparation = Preparation(node, settings, tokenizer, state.chips)
        self._watch = Watch(node, self.wire, self.ledger, settings.silence_ns)
        timeout_ns, watch = settings.timeout_ns, self._watch
        self._performer = Performer(
            node, self.wire, self.ledger, preparation, self.stores, timeout_ns, watch
        )

    @property
    def state(self) -> RouterState:
        return self.ledger.state

    @property
    def max_token_chars(self) -> int:
        """See Tokenizer."""
        return self.tokenizer.max_token_chars

    @property
    def tool_format(self) -> str:
        """See Tokenizer."""
        return self.tokenizer.tool_format

    def held(self) -> dict[str, int]:
        """What is held for requests: all zero when idle."""
        return {
            "requests": len(self.state.requests),
            "tasks": len(self._performer.calls),
            "answers": self._performer.num_awaited,
            "line": len(self.state.line),
            "outputs": sum(len(outbox.said) for outbox in self.state.outboxes.values()),
            "blocks": sum(chip.blocks_taken for chip in self.state.chips.values()),
        }

    def begin(self) -> bool:
        """Listen, and go on where the journal ends: with every stream, none repeated and none
        lost. Once, when the node can reach its peers and they can reach it. False if there is
        nothing to go on with.

        Streams go on under new sequence ids, and repeat what their readers know already only up to
        here. What was on a chip that is gone begins anew on another. Chips may have been added and
        removed meanwhile.
        """
        if self._was_here_before:
            self.number_of_chips.add(self._chips)
            self.ledger.happened(of.RouterRestarted(self._node.clock.now(), self._living()))
            self.number_of_chips.remove_others(self._chips)
        self.port.on(Submit, self._submit)
        self.port.on(Cancel, self._cancel)
        self.port.on(Tokens, self._tokens)
        self.port.on(Stretch, self._stretch)
        members = self._node.members
        members.on_leave.append(lambda member, why: self.node_lost(member.node, why))
        members.on_join.append(lambda member: self.node_joined(member.node))
        return self._was_here_before

    def _living(self) -> dict[str, int]:
        """Chips that live now -> their incarnations."""
        found = {name: living(self._node.members, name) for name in self.state.chips}
        return {name: epoch for name, epoch in found.items() if epoch is not None}

    # -- what gateways ask -------------------------------------------------------------------------

    async def _submit(self, message: Message[Submit]) -> Accepted:
        """Answered when the request is accepted: its prompt is known and fits. Outputs follow."""
        request = message.content.request
        self._ended.check(message)
        deadline_ns = message.content.deadline_ns
        if self._node.clock.wall_now() > deadline_ns:
            raise DeadlineExceeded(f"{request.request_id} came after its deadline")
        check_admission(self.state, self.settings, request)
        check_least(request, self.tokenizer, self.settings.max_model_len)
        outbox = self.state.outboxes.get(message.source)
        if outbox is not None and outbox.reader_epoch != message.source_epoch:
            self._performer.lose_reader(message.source, outbox.reader_epoch)
        now_ns = self._node.clock.now()
        answer = self._performer.answer_to(request.request_id)
        source, epoch = message.source, message.source_epoch
        try:
            self.ledger.happened(of.RequestSubmitted(now_ns, request, deadline_ns, source, epoch))
        except TypeError as error:
            self._performer.expect_no_answer(request.request_id)
            raise InvalidRequest(f"the request cannot be kept in a journal: {error}") from error
        outcome = await answer.get()
        if isinstance(outcome, Accept):
            return Accepted(outcome.num_prompt_tokens)
        raise from_body(dict(outcome.fault))

    def _cancel(self, message: Message[Cancel]) -> WasCancelled:
        self._ended.note(message)
        is_known = message.request_id in self.state.requests
        if is_known:
            now_ns = self._node.clock.now()
            self.ledger.happened(of.RequestCancelled(now_ns, message.request_id))
        return WasCancelled(is_known)

    # -- what chips say ----------------------------------------------------------------------------

    def _tokens(self, message: Message[Tokens]) -> Handled:
        """Of sequences that ended here first, nobody wants to know: they are no events."""
        now_ns, chip = self._node.clock.now(), message.source
        with self._performer.answer_first():
            self._watch.heard(chip)
            for sequence_id, fault in said.failures_of(message.content, self.settings.judged):
                if sequence_id in self.state.sequences:
                    self.ledger.happened(of.SequenceFailed(now_ns, chip, sequence_id, fault))
            known = self.state.sequences
            for step in said.steps_of(message.content):
                tokens = tuple(token for token in step if token.sequence_id in known)
                if tokens:
                    self.ledger.happened(of.TokensSampled(now_ns, chip, tokens))
            self.port.reply(message, Reply())
        return Handled.LATER

    def _stretch(self, message: Message[Stretch]) -> Handled:
        """The same of a chip that tells of several steps together."""
        now_ns, known = self._node.clock.now(), self.state.sequences
        with self._performer.answer_first():
            self._watch.heard(message.source)
            told = said.stretches_of(message.content)
            if tokens := tuple(token for token in told if token.sequence_id in known):
                self.ledger.happened(of.TokensSampled(now_ns, message.source, tokens))
            self.port.reply(message, Reply())
        return Handled.LATER

    # -- who comes and goes ------------------------------------------------------------------------

    def node_lost(self, node: str, reason: str) -> None:
        """A node is gone, and with it its chips and readers."""
        for name, chip in self.state.chips.items():
            if chip.alive and node in nodes_of(self._node.members, name):
                self._chip_lost(name, reason)
        state = self.state
        readers = {request.reader: request.reader_epoch for request in state.requests.values()}
        readers |= {reader: outbox.reader_epoch for reader, outbox in state.outboxes.items()}
        for reader, epoch in readers.items():
            if self._stands_on(reader, node):
                self._performer.lose_reader(reader, epoch)

    def node_joined(self, node: str) -> None:
        """A node is back as another incarnation: its chips are empty, and may be given work once
        all their ranks live; its memory servers have on their disks what was deleted meanwhile.
        """
        members = self._node.members
        for name, chip in self.state.chips.items():
            if node in nodes_of(members, name):
                now = living(members, name)
                if now is not None and chip.epoch < now:
                    self._chip_joined(name, now)
        if any(self._stands_on(server, node) for server in self.stores.servers):
            self.stores.server_joined()

    def _stands_on(self, worker: str, node: str) -> bool:
        return self._node.members.node_of(worker) == node

    def _chip_lost(self, name: str, reason: str) -> None:
        chip, now_ns = self.state.chips[name], self._node.clock.now()
        self.ledger.happened(of.ChipLost(now_ns, name, chip.epoch, reason))

    def _chip_joined(self, name: str, epoch: int) -> None:
        if self.state.chips[name].alive:
            self._chip_lost(name, f"it is back as incarnation {epoch}")
        self.ledger.happened(of.ChipJoined(self._node.clock.now(), name, epoch))
