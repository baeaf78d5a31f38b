"""Seeded, stratified draws of splits."""

from collections import Counter
from typing import NamedTuple

import pytest

from spike_zoo.simulation.datasets.labelled_sets import draw, even_part, part


class Item(NamedTuple):
    name: str
    group: str


def items(**sizes: int) -> list[Item]:
    return [
        Item(f"{group}{number}", group) for group, size in sizes.items() for number in range(size)
    ]


@pytest.mark.parametrize(
    ("size", "count"), [(1, 0), (2, 1), (4, 1), (10, 1), (24, 2), (26, 3), (800, 80)]
)
def test_a_tenth_but_at_least_one_of_each_group_is_drawn(size: int, count: int) -> None:
    drawn, rest = draw(items(a=size, b=20), part(0.1), 0, "test")
    assert Counter(item.group for item in drawn) == Counter(a=count, b=2)
    assert sorted(drawn + rest) == sorted(items(a=size, b=20))


def test_a_draw_depends_on_seed_and_purpose_and_not_on_other_groups() -> None:
    def drawn_names(seed: int, purpose: str, **others: int) -> list[str]:
        drawn = draw(items(a=40, **others), part(0.25), seed, purpose)[0]
        return [item.name for item in drawn if item.group == "a"]

    assert drawn_names(0, "test") == drawn_names(0, "test", b=17)
    assert drawn_names(0, "test") != drawn_names(1, "test")
    assert drawn_names(0, "test") != drawn_names(0, "val")


def test_a_part_is_spread_evenly_over_groups() -> None:
    selected = even_part(items(a=2, b=9, c=9), 10)
    assert Counter(item.group for item in selected) == Counter(a=2, b=4, c=4)
    assert selected == [*items(a=2), *items(b=4), *items(c=4)]
    assert even_part(items(a=2), 10) == items(a=2)
