"""The generated code is what the .proto files give, and what they define follows the style."""

from pathlib import Path

import pytest

from protos.generate import differences, main
from protos.perfuse.v1 import envelope_pb2


def test_the_committed_code_is_what_the_protos_give(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="the compiler is a developer's tool")
    assert differences(tmp_path) == []


def test_check_writes_nothing_and_says_that_all_is_well() -> None:
    pytest.importorskip("grpc_tools", reason="the compiler is a developer's tool")
    assert main(["--check"]) == 0


def test_the_zero_of_every_enum_is_unspecified() -> None:
    for name, enum in envelope_pb2.DESCRIPTOR.enum_types_by_name.items():
        assert enum.values_by_number[0].name == f"{name.upper()}_UNSPECIFIED"


def test_durations_and_sizes_say_their_unit() -> None:
    for message in envelope_pb2.DESCRIPTOR.message_types_by_name.values():
        for field in message.fields:
            if any(word in field.name for word in ("sent", "due", "deadline")):
                assert field.name.endswith("_ns")
            if any(word in field.name for word in ("length", "size", "declared")):
                assert field.name.endswith("_bytes")
