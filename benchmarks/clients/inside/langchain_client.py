"""langchain-openai: ChatOpenAI and OpenAIEmbeddings with base_url."""

from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from openai import LengthFinishReasonError
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("langchain-openai", "langchain-core", "openai")
QUESTION = "Tell me the latency of Yolutus-11."


class Weather(BaseModel):
    """The weather of a city."""

    city: Literal["Paris", "Oslo"] = Field(description="where")
    degrees: int = Field(ge=-40, le=50)


@tool
def get_weather(city: Literal["Paris", "Oslo"]) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def model(server: "Server", **more: Any) -> Any:
    given = {"max_tokens": 64, "temperature": 0, "max_retries": 0, "timeout": 60} | more
    return ChatOpenAI(model=server.model, base_url=server.url, api_key="none", **given)


def invoke(server: "Server") -> None:
    """ChatOpenAI: invoke, with usage"""
    answer = model(server).invoke([SystemMessage("Be brief."), HumanMessage(QUESTION)])
    assert answer.content and answer.usage_metadata["total_tokens"] > 0
    assert answer.response_metadata["finish_reason"] in ("stop", "length")


def stream(server: "Server") -> None:
    """ChatOpenAI: stream, stream_usage"""
    whole: Any = None
    for chunk in model(server, stream_usage=True).stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    assert whole.content == model(server).invoke(QUESTION).content
    assert whole.usage_metadata["output_tokens"] > 0


def batch(server: "Server") -> None:
    """ChatOpenAI: batch"""
    answers = model(server).batch([f"{number}. {QUESTION}" for number in range(4)])
    assert len(answers) == 4 and all(answer.content for answer in answers)


async def asynchronous(server: "Server") -> None:
    """ChatOpenAI: ainvoke, astream"""
    answer = await model(server).ainvoke(QUESTION)
    text = "".join([chunk.text async for chunk in model(server).astream(QUESTION)])
    assert text == answer.text


def settings(server: "Server") -> None:
    """ChatOpenAI: n, seed, stop, logprobs, penalties, logit_bias"""
    several = model(server, n=2, seed=4, temperature=1).generate([[HumanMessage(QUESTION)]])
    assert len(several.generations[0]) == 2
    told = model(server).bind(logprobs=True, top_logprobs=2).invoke(QUESTION)
    assert told.response_metadata["logprobs"]["content"]
    text = told.text
    assert model(server).invoke(QUESTION, stop=[text[3:6]]).text == text[: text.index(text[3:6])]
    given = {"presence_penalty": 0.5, "frequency_penalty": 0.5, "logit_bias": {"100": -5}}
    assert model(server, **given).invoke(QUESTION).text


def structured(server: "Server") -> None:
    """with_structured_output: json_schema, function_calling, json_mode"""
    asked = "The weather of Oslo as JSON with city and degrees."
    for method in ("json_schema", "function_calling"):
        bound = model(server, max_tokens=128).with_structured_output(Weather, method=method)
        assert isinstance(bound.invoke(asked), Weather), method
    schema = model(server).with_structured_output(Weather.model_json_schema(), strict=True)
    assert schema.invoke(asked)["city"] in ("Paris", "Oslo")
    loose = model(server).with_structured_output(None, method="json_mode", include_raw=True)
    try:
        said = loose.invoke(asked)["raw"].content
    except LengthFinishReasonError as error:
        # A tiny model goes on with JSON until it is cut; langchain says so, with the completion.
        said = error.completion.choices[0].message.content
    assert said.lstrip().startswith("{"), said


def tools(server: "Server") -> None:
    """bind_tools: forced, any, auto, a tool's result sent back"""
    for choice in ("get_weather", "any"):
        call = model(server).bind_tools([get_weather], tool_choice=choice).invoke("Oslo?")
        assert call.tool_calls[0]["args"]["city"] in ("Paris", "Oslo")
    result = get_weather.invoke(call.tool_calls[0])
    assert isinstance(result, ToolMessage)
    free = model(server).bind_tools([get_weather])
    assert free.invoke([HumanMessage("Oslo?"), call, result]) is not None


def tools_stream(server: "Server") -> None:
    """bind_tools: streamed"""
    whole: Any = None
    for chunk in model(server).bind_tools([get_weather], tool_choice="get_weather").stream("Oslo?"):
        whole = chunk if whole is None else whole + chunk
    assert whole.tool_calls[0]["name"] == "get_weather"
    assert whole.tool_calls[0]["args"]["city"] in ("Paris", "Oslo")


def responses(server: "Server") -> None:
    """ChatOpenAI: use_responses_api"""
    answer = model(server, use_responses_api=True).invoke(QUESTION)
    assert answer.text and answer.usage_metadata["total_tokens"] > 0
    pieces = [chunk.text for chunk in model(server, use_responses_api=True).stream(QUESTION)]
    assert "".join(pieces) == answer.text


def completions(server: "Server") -> None:
    """OpenAI (completions): invoke, stream"""
    old: Any = OpenAI(
        model=server.model, base_url=server.url, api_key="none", max_tokens=8, temperature=0
    )
    text = old.invoke("The latency of")
    assert text and "".join(old.stream("The latency of")) == text


def embeddings(server: "Server") -> None:
    """OpenAIEmbeddings: texts as they are (check_embedding_ctx_length=False)"""
    embedder: Any = OpenAIEmbeddings(
        model=server.model,
        base_url=server.url,
        api_key="none",
        check_embedding_ctx_length=False,
    )
    many = embedder.embed_documents(["hello world", "goodbye"])
    one = embedder.embed_query("hello world")
    assert len(many) == 2 and max(abs(a - b) for a, b in zip(many[0], one, strict=True)) < 1e-6


def embeddings_by_length(server: "Server") -> None:
    """OpenAIEmbeddings: split by length with the model's tokenizer (tiktoken_enabled=False)"""
    embedder: Any = OpenAIEmbeddings(
        model=server.model,
        base_url=server.url,
        api_key="none",
        tiktoken_enabled=False,
        tiktoken_model_name=server.folder,
        embedding_ctx_length=64,
    )
    assert len(embedder.embed_documents(["word " * 200, "short"])) == 2


FEATURES = (
    invoke,
    stream,
    batch,
    asynchronous,
    settings,
    structured,
    tools,
    tools_stream,
    responses,
    completions,
    embeddings,
    embeddings_by_length,
)
