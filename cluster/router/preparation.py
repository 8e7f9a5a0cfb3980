"""From a request and its passages to a prompt that fits, or a refusal."""

from cluster.api.request import Request
from cluster.router.machine.events import PromptPrepared, RequestFailed
from cluster.router.prompts import check_length, prompt_ids
from cluster.router.settings import RouterSettings
from cluster.router.wire import fault_of
from cluster.text.tokenizer import Tokenizer
from workers.errors import PerfuseError
from workers.kv.blocks import BlockManager
from workers.node import Node


class Preparation:
    """Renders, tokenises, hashes, and checks the length."""

    def __init__(self, node: Node, settings: RouterSettings, tokenizer: Tokenizer) -> None:
        self._node, self._settings, self._tokenizer = node, settings, tokenizer
        # The chips' own hash function: the router's picture of their caches uses their names.
        self._hasher = BlockManager(1, settings.block_size)

    def prepare(
        self, request: Request, passages: tuple[str, ...]
    ) -> PromptPrepared | RequestFailed:
        now_ns, request_id = self._node.clock.now(), request.request_id
        try:
            ids = tuple(prompt_ids(request, passages, self._tokenizer, self._settings.vocab))
            check_length(request, len(ids), self._settings.max_model_len)
        except PerfuseError as error:
            return RequestFailed(now_ns, request_id, fault_of(error))
        except Exception as error:
            # A bug. Whoever asked hears of it, and so does whoever watches the node.
            self._node.failed(f"prompt of {request_id}", error)
            return RequestFailed(now_ns, request_id, fault_of(error))
        hashes: list[bytes] = []
        self._hasher.extend_hashes(hashes, ids)
        return PromptPrepared(now_ns, request_id, ids, tuple(content.hex() for content in hashes))
