"""Results of command lines that tests run in their own process."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias


class Outcome(NamedTuple):
    """Exit code and output of a command line."""

    code: int
    out: str
    err: str


Zoo: TypeAlias = Callable[..., Outcome]
"""Function that runs a command line; further arguments are appended as they are."""
