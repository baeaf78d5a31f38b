"""Seeded, stratified draws of splits."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest

from spike_zoo.simulation.datasets.sampling import draw, even_part, part


class Item(NamedTuple):
    name: str
    group: str


def items(**sizes: int) -> list[Item]:
    return [
        Item(f"{group}{number}", group) for group, size in sizes.items() for number in range(size)
    ]


@pytest.mark.parametrize(
    ("size", "drawn"), [(1, 0), (2, 1), (4, 1), (10, 1), (24, 2), (26, 3), (800, 80)]
)
def test_a_tenth_of_each_group_is_drawn_and_one_at_least(size: int, drawn: int) -> None:
    taken, rest = draw(items(a=size, b=20), part(0.1), 0, "test")
    assert Counter(item.group for item in taken) == Counter(a=drawn, b=2)
    assert sorted(taken + rest) == sorted(items(a=size, b=20))


def test_a_draw_follows_the_seed_and_what_it_is_for_and_no_other_group() -> None:
    def taken(seed: int, what: str, **others: int) -> list[str]:
        found = draw(items(a=40, **others), part(0.25), seed, what)[0]
        return [item.name for item in found if item.group == "a"]

    assert taken(0, "test") == taken(0, "test", b=17)
    assert taken(0, "test") != taken(1, "test")
    assert taken(0, "test") != taken(0, "val")


def test_a_part_is_as_even_as_groups_allow() -> None:
    kept = even_part(items(a=2, b=9, c=9), 10)
    assert Counter(item.group for item in kept) == Counter(a=2, b=4, c=4)
    assert kept == [*items(a=2), *items(b=4), *items(c=4)]
    assert even_part(items(a=2), 10) == items(a=2)
