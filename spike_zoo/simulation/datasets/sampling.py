"""Which pictures of a set are in which split, where the set does not say: seeded draws."""

from __future__ import annotations

import itertools
import zlib
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Grouped(Protocol):
    """What is drawn from its group: a picture from its class, a clip from its video."""

    @property
    def name(self) -> str:
        """Name, different from all others."""

    @property
    def group(self) -> str:
        """Name of the group."""


Item = TypeVar("Item", bound=Grouped)


def draw(
    items: Sequence[Item], count: Callable[[str, int], int], seed: int, what: str
) -> tuple[list[Item], list[Item]]:
    """Draw some of each group; a group's draw depends on no other.

    Args:
        items: From what.
        count: Returns how many of a group with that name and size.
        seed: Seed of the draw.
        what: What it is for; draws for other ends are independent.

    Returns:
        Those drawn and the rest, both in their order.
    """
    drawn: set[str] = set()
    for group, members in _groups(items).items():
        place = [seed, zlib.crc32(what.encode()), zlib.crc32(group.encode())]
        order = np.random.default_rng(np.random.SeedSequence(place)).permutation(len(members))
        drawn |= {members[number].name for number in order[: count(group, len(members))].tolist()}
    return (
        [item for item in items if item.name in drawn],
        [item for item in items if item.name not in drawn],
    )


def part(share: float) -> Callable[[str, int], int]:
    """Return a count for :func:`draw`: a share of each group, one at least of two and more."""
    return lambda group, size: max(1, round(share * size)) if size > 1 else 0


def even_part(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most so many, the first ones of each group, as evenly as groups allow."""
    groups = [[item.name for item in members] for members in _groups(items).values()]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*groups))
    kept = set(itertools.islice((name for name in turns if name is not None), most))
    return [item for item in items if item.name in kept]


def _groups(items: Sequence[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    return groups
