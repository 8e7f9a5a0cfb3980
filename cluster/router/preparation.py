"""From a request and its passages to a prompt that fits, or a refusal."""

from collections.abc import Sized

from cluster.api.length import answer_tokens
from cluster.api.request import Request
from cluster.router.machine.events import PromptPrepared, RequestFailed
from cluster.router.own_work import OPERATIONS_PER_TOKEN, route_work, tokenise_work
from cluster.router.prompts import check_ids, check_text, prompt_ids, prompt_text
from cluster.router.settings import RouterSettings
from cluster.router.wire import fault_of
from cluster.text.tokenizer import Tokenizer
from workers.errors import PerfuseError
from workers.kv.blocks import BlockManager
from workers.node import Node


class Preparation:
    """Renders, tokenises, hashes, and checks the length.

    chips   among which a place is looked for, as many as there are by then
    """

    def __init__(
        self, node: Node, settings: RouterSettings, tokenizer: Tokenizer, chips: Sized
    ) -> None:
        self._node, self._settings, self._tokenizer = node, settings, tokenizer
        self._chips = chips
        # The chips' own hash function: the router's picture of their caches uses their names.
        self._hasher = BlockManager(1, settings.block_size)

    async def prepare(
        self, request: Request, passages: tuple[str, ...]
    ) -> PromptPrepared | RequestFailed:
        """As long as the node's machine takes for it."""
        clock, hardware, request_id = self._node.clock, self._node.hardware, request.request_id
        try:
            work = tokenise_work(request, passages)
            if work is None:
                size = len(request.prompt_ids) * OPERATIONS_PER_TOKEN
                ids = await hardware.beside(size, lambda: self._ids(request, passages))
            else:
                ids = await hardware.run(work, self._ids, request, passages)
            hashes = await hardware.run(route_work(len(ids), len(self._chips)), self._hashes, ids)
        except PerfuseError as error:
            return RequestFailed(clock.now(), request_id, fault_of(error))
        except Exception as error:
            # A bug. Whoever asked hears of it, and so does whoever watches the node.
            self._node.failed(f"prompt of {request_id}", error)
            return RequestFailed(clock.now(), request_id, fault_of(error))
        max_tokens = answer_tokens(request, len(ids), self._settings.max_model_len)
        return PromptPrepared(clock.now(), request_id, ids, hashes, max_tokens)

    def _ids(self, request: Request, passages: tuple[str, ...]) -> tuple[int, ...]:
        if request.messages:
            text = prompt_text(request, passages, self._tokenizer)
            check_text(request, text, self._tokenizer, self._settings.max_model_len, passages)
        ids = tuple(prompt_ids(request, passages, self._tokenizer, self._settings.vocab))
        check_ids(request, ids, self._tokenizer, self._settings.max_model_len, passages)
        return ids

    def _hashes(self, ids: tuple[int, ...]) -> tuple[str, ...]:
        if not self._settings.shares_prefixes:
            return ()
        hashes: list[bytes] = []
        self._hasher.extend_hashes(hashes, ids)
        return tuple(content.hex() for content in hashes)
