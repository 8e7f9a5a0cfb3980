"""Who is refused at the door. Pure: a refusal is no event, since nothing has happened."""

from cluster.api.request import Request
from cluster.router.machine.state import RouterState
from cluster.router.machine.store_state import StoreState
from cluster.router.settings import RouterSettings
from configs.outside import shown
from workers.errors import Draining, InvalidRequest, NotFound, PeerDead, QueueFull
from workers.model.counts.asked import check_no_values

# From here on a prompt is counted; and of those that are not tokenised yet, so many characters are
# let in together: to encode them takes 10 ms.
LARGE_CHARS, WAITING_CHARS_MAX = 1 << 16, 16 << 20


def check_admission(state: RouterState, settings: RouterSettings, request: Request) -> None:
    """Raise Draining, NotFound, InvalidRequest or QueueFull unless the request can come in."""
    if state.is_draining:
        raise Draining("the cluster is draining: it finishes what it has and takes nothing new")
    if request.model != settings.model:
        text = f"the model {shown(request.model)} does not exist: {settings.model!r} is served here"
        raise NotFound(text, param="model")
    request.sampling.validate()
    if not settings.has_values:
        check_no_values(request.sampling)
    if request.sampling.shaping is not None:
        request.sampling.shaping.check_vocabulary(settings.vocab)
    if request.retrieval is not None:
        find_store(state, request.retrieval.store)
    request_id = request.request_id
    if request_id in state.requests or request_id in state.sequences:
        raise InvalidRequest(f"request id {request_id!r} is in use")
    if len(state.requests) >= settings.max_queue:
        text = f"{settings.max_queue} requests are inside already: try again later"
        raise QueueFull(text, retry_after_s=1)
    _check_chars(state, request)


def _check_chars(state: RouterState, request: Request) -> None:
    """What waits to be tokenised is in the state, which a journal writes at once."""
    chars = request.num_chars
    if chars > LARGE_CHARS:
        waiting = sum(r.request.num_chars for r in state.requests.values() if not r.is_accepted)
        if waiting and waiting + chars > WAITING_CHARS_MAX:
            text = f"{waiting} characters of prompts are inside and not read yet: try again later"
            raise QueueFull(text, retry_after_s=1)


def find_store(state: RouterState, store_id: str) -> StoreState:
    """Raises NotFound."""
    store = state.stores.get(store_id)
    if store is None or not store.is_ready:
        ready = [known.store_id for known in state.stores.values() if known.is_ready]
        known = ", ".join(ready[:10]) or "none"
        raise NotFound(f"no vector store {shown(store_id)}; there are: {known}", param="store")
    return store


def check_whole(store: StoreState) -> None:
    """Raises PeerDead while a memory server has yet to be given its part again."""
    if store.lacking:
        raise PeerDead(
            f"vector store {store.store_id!r}: {', '.join(store.lacking)} came back with an empty "
            "disk, and what was there is being brought again; ask again when that has ended",
            node=store.lacking[0],
        )
