"""Shared by the tests of the demonstration."""

from tests.fixtures import small_dataset

__all__ = ["small_dataset"]
