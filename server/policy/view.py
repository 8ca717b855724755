"""The server's status as JSON values."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def status_dict(status: Message) -> dict[str, Any]:
    """A ``StatusReply``, zeros included."""
    values: dict[str, Any] = MessageToDict(
        status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _numbers(status, values)


def _numbers(message: Message, values: dict[str, Any]) -> dict[str, Any]:
    """JSON's mapping of 64-bit numbers is text; here they are numbers."""
    for name, field in message.DESCRIPTOR.fields_by_name.items():
        value = getattr(message, name)
        if field.cpp_type == field.CPPTYPE_UINT64:
            values[name] = value
        elif field.message_type is not None:
            for entry, shown in zip(value, values[name], strict=True):
                _numbers(entry, shown)
    return values
