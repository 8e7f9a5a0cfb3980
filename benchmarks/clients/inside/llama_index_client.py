"""llama-index: OpenAILike and OpenAILikeEmbedding."""

from typing import TYPE_CHECKING, Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("llama-index-llms-openai-like", "llama-index-embeddings-openai-like", "openai")
QUESTION = "Tell me the latency of Yolutus-11."
ASKED = [
    ChatMessage(role="system", content="Be brief."),
    ChatMessage(role="user", content=QUESTION),
]


class Weather(BaseModel):
    """The weather of a city."""

    degrees: int = Field(ge=-40, le=50)
    rain: bool


def model(server: "Server", **more: Any) -> Any:
    given = {"is_chat_model": True, "max_tokens": 32, "max_retries": 0, "temperature": 0} | more
    return OpenAILike(
        model=server.model,
        api_base=server.url,
        api_key="none",
        context_window=1024,
        timeout=60,
        **given,
    )


def complete(server: "Server") -> None:
    """complete, stream_complete"""
    for is_chat in (True, False):
        llm = model(server, is_chat_model=is_chat)
        text = llm.complete("The latency of").text
        *_, last = llm.stream_complete("The latency of")
        assert text and last.text == text


def chat(server: "Server") -> None:
    """chat, stream_chat"""
    llm = model(server)
    answer = llm.chat(ASKED)
    assert answer.message.content and answer.raw.usage.total_tokens > 0
    *_, last = llm.stream_chat(ASKED)
    assert last.message.content == answer.message.content


async def asynchronous(server: "Server") -> None:
    """achat, astream_chat, acomplete"""
    llm = model(server)
    answer = await llm.achat(ASKED)
    *_, last = [part async for part in await llm.astream_chat(ASKED)]
    assert last.message.content == answer.message.content
    assert (await llm.acomplete(QUESTION)).text


def add(first: int, second: int) -> int:
    """Add two numbers."""
    return first + second


def functions(server: "Server") -> None:
    """function calling: chat_with_tools, predict_and_call"""
    llm = model(server, is_function_calling_model=True, max_tokens=128)
    tool = FunctionTool.from_defaults(fn=add)
    answer = llm.chat_with_tools([tool], user_msg="What is 2 + 3?", tool_required=True)
    calls = llm.get_tool_calls_from_response(answer)
    assert calls[0].tool_name == "add", calls
    assert set(calls[0].tool_kwargs) == {"first", "second"}
    history = [ChatMessage(role="user", content="What is 2 + 3?"), answer.message]
    result = ChatMessage(
        role="tool", content="5", additional_kwargs={"tool_call_id": calls[0].tool_id}
    )
    assert llm.chat([*history, result]) is not None


def structured(server: "Server") -> None:
    """structured output: as_structured_llm, structured_predict by function calling"""
    for is_calling in (True, False):
        llm = model(
            server,
            is_function_calling_model=is_calling,
            should_use_structured_outputs=not is_calling,
            max_tokens=128,
        )
        answer = llm.as_structured_llm(Weather).complete("The weather of Oslo.")
        assert isinstance(answer.raw, Weather), answer


def embeddings(server: "Server") -> None:
    """OpenAILikeEmbedding: one, many"""
    embedder = OpenAILikeEmbedding(
        model_name=server.model, api_base=server.url, api_key="none", embed_batch_size=2
    )
    many = embedder.get_text_embedding_batch(["hello world", "goodbye", "more"])
    one = embedder.get_query_embedding("hello world")
    assert len(many) == 3 and max(abs(a - b) for a, b in zip(many[0], one, strict=True)) < 1e-6


FEATURES = (complete, chat, asynchronous, functions, structured, embeddings)
