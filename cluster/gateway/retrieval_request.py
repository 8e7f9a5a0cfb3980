"""What a request says of passages."""

from cluster.api.request import Retrieval
from cluster.gateway.fields import Fields, shown
from workers.errors import InvalidRequest

# OpenAI's limits: 50 results of a file search.
TOP_K_MAX = 50


def read_retrieval(fields: Fields, types: str) -> Retrieval | None:
    """`retrieval: {"store", "top_k"}`, or OpenAI's tool of type file_search; not both. `types` are
    those that tools may have where this is read.
    """
    own = fields.take("retrieval")
    tools = fields.take("tools")
    choice = fields.take("tool_choice")
    _check_tool_choice(choice, bool(tools))
    if own is not None and tools:
        raise InvalidRequest("retrieval and tools are both given: use one", param="retrieval")
    if own is not None:
        inner = Fields(own, "retrieval")
        store = inner.string("store")
        top_k = inner.integer("top_k", 3, 1, TOP_K_MAX) or 3
        inner.refuse_rest(frozenset(), {})
        return Retrieval(store, top_k)
    if tools is None or tools == []:
        return None
    if not isinstance(tools, list):
        raise fields.wrong("tools", tools, "a list of tools")
    read = [Fields(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    for tool in read:
        if (kind := tool.take("type")) != "file_search":
            raise tool.wrong("type", kind, types)
    if len(read) != 1:
        raise fields.wrong("tools", tools, "a list with at most one tool of type file_search")
    (tool,) = read
    stores = tool.take("vector_store_ids")
    if not isinstance(stores, list) or len(stores) != 1 or not isinstance(stores[0], str):
        raise tool.wrong("vector_store_ids", stores, "a list with one vector store id")
    top_k = tool.integer("max_num_results", 3, 1, TOP_K_MAX) or 3
    for key in ("filters", "ranking_options"):
        if tool.has_had(key):
            raise InvalidRequest(
                f"{tool.name(key)} is {shown(tool.take(key))}: a generation looks at a whole "
                "store: leave it out, or search with it (POST /v1/vector_stores/{id}/search) and "
                "put what is found into the messages",
                param=tool.name(key),
            )
    tool.refuse_rest(frozenset(), {})
    return None if choice == "none" else Retrieval(stores[0], top_k)


def _check_tool_choice(choice: object, has_tools: bool) -> None:
    # The only tool is a file search, which always runs: "auto", "required" and naming it all mean
    # that.
    fine: list[object] = [None, "none", "auto"]
    if has_tools:
        fine += ["required", {"type": "file_search"}]
    if choice not in fine:
        found = f"tool_choice is {shown(choice)}"
        right = "'none', 'auto' or 'required'" if has_tools else "'none' or 'auto' without tools"
        raise InvalidRequest(f"{found}: it must be {right}", param="tool_choice")
