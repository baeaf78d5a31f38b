"""Seeded draws of splits from data sets without splits, stratified by group."""

from __future__ import annotations

import itertools
import zlib
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class GroupedItem(Protocol):
    """An item of a group: an image of a class, or a clip of a video."""

    @property
    def name(self) -> str:
        """Unique name."""

    @property
    def group(self) -> str:
        """Name of the group."""


Item = TypeVar("Item", bound=GroupedItem)


def draw(
    items: Sequence[Item], count: Callable[[str, int], int], seed: int, what: str
) -> tuple[list[Item], list[Item]]:
    """Draw items of each group; return the drawn and the remaining items in their original order.

    ``count`` returns the number of drawn items from name and size of a group. Draws of groups, and
    those with different names (``what``), are independent.
    """
    drawn: set[str] = set()
    for group, members in _groups(items).items():
        entropy = [seed, zlib.crc32(what.encode()), zlib.crc32(group.encode())]
        order = np.random.default_rng(np.random.SeedSequence(entropy)).permutation(len(members))
        drawn |= {members[number].name for number in order[: count(group, len(members))].tolist()}
    return (
        [item for item in items if item.name in drawn],
        [item for item in items if item.name not in drawn],
    )


def part(share: float) -> Callable[[str, int], int]:
    """Return a ``count`` for :func:`draw`: a share of each group, at least one item of two."""
    return lambda group, size: max(1, round(share * size)) if size > 1 else 0


def even_part(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most ``most`` items: the first items of each group, balanced over groups."""
    groups = [[item.name for item in members] for members in _groups(items).values()]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*groups))
    selection = set(itertools.islice((name for name in turns if name is not None), most))
    return [item for item in items if item.name in selection]


def _groups(items: Sequence[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    return groups
