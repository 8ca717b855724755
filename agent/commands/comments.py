"""The texts of ``--help`` are the comments above the fields; draccus looks for those of inherited
fields in the first base class only (``get_attribute_docstring``, 0.11)."""

from __future__ import annotations

from draccus.wrappers import docstring

_in_class = docstring.get_attribute_docstring


def of_field(config_class: type, name: str) -> docstring.AttributeDocString:
    """The comments of a field, from the class that declares it."""
    for declaring in config_class.__mro__:
        if name in vars(declaring).get("__annotations__", {}):
            return _in_class(declaring, name)
    return _in_class(config_class, name)


def install() -> None:
    """Have draccus look there, in this process."""
    docstring.get_attribute_docstring = of_field
