"""What a request says of passages."""

from cluster.api.request import Retrieval
from cluster.gateway.fields import Fields, shown
from workers.errors import InvalidRequest

# OpenAI's limits: 50 results of a file search.
TOP_K_MAX = 50


def read_retrieval(fields: Fields) -> Retrieval | None:
    """`retrieval: {"store", "top_k"}`, or OpenAI's tool of type file_search; not both."""
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
    if not isinstance(tools, list) or len(tools) != 1:
        raise fields.wrong("tools", tools, "a list with one tool of type file_search")
    tool = Fields(tools[0], "tools[0]")
    kind = tool.take("type")
    if kind != "file_search":
        raise tool.wrong("type", kind, "'file_search': no other tool is supported")
    stores = tool.take("vector_store_ids")
    if not isinstance(stores, list) or len(stores) != 1 or not isinstance(stores[0], str):
        raise tool.wrong("vector_store_ids", stores, "a list with one vector store id")
    top_k = tool.integer("max_num_results", 3, 1, TOP_K_MAX) or 3
    tool.refuse_rest(frozenset(), {})
    return None if choice == "none" else Retrieval(stores[0], top_k)


def _check_tool_choice(choice: object, has_tools: bool) -> None:
    # The only tool is a file search, which always runs: "auto", "required" and naming it all mean
    # that.
    fine: list[object] = [None, "none", "auto"]
    if has_tools:
        fine += ["required", {"type": "file_search"}]
    if choice not in fine:
        raise InvalidRequest(
            f"tool_choice is {shown(choice)}: it must be 'none' or 'auto', or with a "
            "file_search tool 'required'",
            param="tool_choice",
        )
