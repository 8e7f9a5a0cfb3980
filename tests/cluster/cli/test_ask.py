"""`perfuse ask --url`: which store it asks where none is named."""

from types import SimpleNamespace
from typing import Any

import openai
import pytest

from cluster.cli.ask import ask_endpoint


def test_the_first_store_is_the_scenarios_not_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenAI's, the list of stores begins with the newest unless asked otherwise."""
    asked: list[Any] = []
    oldest_first = [SimpleNamespace(id="cards"), SimpleNamespace(id="vs_1")]

    def listed(order: str = "desc") -> Any:
        return SimpleNamespace(data=oldest_first if order == "asc" else oldest_first[::-1])

    def create(**request: Any) -> Any:
        asked.append(request["extra_body"])
        choice = SimpleNamespace(message=SimpleNamespace(content="216 ns"))
        return SimpleNamespace(choices=[choice], model_extra={})

    models = SimpleNamespace(list=lambda: SimpleNamespace(data=[SimpleNamespace(id="m")]))
    client = SimpleNamespace(
        models=models,
        vector_stores=SimpleNamespace(list=listed),
        chat=SimpleNamespace(completions=SimpleNamespace(create=create)),
    )
    monkeypatch.setattr(openai, "OpenAI", lambda **_: client)
    ask_endpoint("http://127.0.0.1:1", "x", None, True, 4)
    assert asked == [{"retrieval": {"store": "cards"}}]
