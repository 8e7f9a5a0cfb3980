from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Dtype(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DTYPE_UNSPECIFIED: _ClassVar[Dtype]
    DTYPE_BOOL: _ClassVar[Dtype]
    DTYPE_INT8: _ClassVar[Dtype]
    DTYPE_INT16: _ClassVar[Dtype]
    DTYPE_INT32: _ClassVar[Dtype]
    DTYPE_INT64: _ClassVar[Dtype]
    DTYPE_UINT8: _ClassVar[Dtype]
    DTYPE_UINT16: _ClassVar[Dtype]
    DTYPE_UINT32: _ClassVar[Dtype]
    DTYPE_UINT64: _ClassVar[Dtype]
    DTYPE_FLOAT16: _ClassVar[Dtype]
    DTYPE_FLOAT32: _ClassVar[Dtype]
    DTYPE_FLOAT64: _ClassVar[Dtype]
DTYPE_UNSPECIFIED: Dtype
DTYPE_BOOL: Dtype
DTYPE_INT8: Dtype
DTYPE_INT16: Dtype
DTYPE_INT32: Dtype
DTYPE_INT64: Dtype
DTYPE_UINT8: Dtype
DTYPE_UINT16: Dtype
DTYPE_UINT32: Dtype
DTYPE_UINT64: Dtype
DTYPE_FLOAT16: Dtype
DTYPE_FLOAT32: Dtype
DTYPE_FLOAT64: Dtype

class ArrayDescriptor(_message.Message):
    __slots__ = ("name", "dtype", "shape", "length_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    LENGTH_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: Dtype
    shape: _containers.RepeatedScalarFieldContainer[int]
    length_bytes: int
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[_Union[Dtype, str]] = ..., shape: _Optional[_Iterable[int]] = ..., length_bytes: _Optional[int] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("kind", "source", "destination", "source_epoch", "destination_epoch", "message_id", "reply_to", "request_id", "sent_ns", "due_ns", "deadline_ns", "charged_bytes", "checksum", "body", "columns", "tensors", "delay_ns", "concluded")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SENT_NS_FIELD_NUMBER: _ClassVar[int]
    DUE_NS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_NS_FIELD_NUMBER: _ClassVar[int]
    CHARGED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    DELAY_NS_FIELD_NUMBER: _ClassVar[int]
    CONCLUDED_FIELD_NUMBER: _ClassVar[int]
    kind: str
    source: str
    destination: str
    source_epoch: int
    destination_epoch: int
    message_id: int
    reply_to: int
    request_id: str
    sent_ns: int
    due_ns: int
    deadline_ns: int
    charged_bytes: int
    checksum: int
    body: bytes
    columns: _containers.RepeatedCompositeFieldContainer[ArrayDescriptor]
    tensors: _containers.RepeatedCompositeFieldContainer[ArrayDescriptor]
    delay_ns: int
    concluded: int
    def __init__(self, kind: _Optional[str] = ..., source: _Optional[str] = ..., destination: _Optional[str] = ..., source_epoch: _Optional[int] = ..., destination_epoch: _Optional[int] = ..., message_id: _Optional[int] = ..., reply_to: _Optional[int] = ..., request_id: _Optional[str] = ..., sent_ns: _Optional[int] = ..., due_ns: _Optional[int] = ..., deadline_ns: _Optional[int] = ..., charged_bytes: _Optional[int] = ..., checksum: _Optional[int] = ..., body: _Optional[bytes] = ..., columns: _Optional[_Iterable[_Union[ArrayDescriptor, _Mapping]]] = ..., tensors: _Optional[_Iterable[_Union[ArrayDescriptor, _Mapping]]] = ..., delay_ns: _Optional[int] = ..., concluded: _Optional[int] = ...) -> None: ...
