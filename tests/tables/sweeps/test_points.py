"""Points of a sweep are those that W&B's package proposes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.tables.sweeps import SweepSpec, only_points, points_of, repetitions

DRAWN = {
    "rate": {"distribution": "log_uniform_values", "min": 1.0e-4, "max": 1.0e-2},
    "width": {"values": [1, 2, 3]},
}


def _spec(method: Any, parameters: dict[str, Any], run_cap: int | None = None) -> SweepSpec:
    return SweepSpec(Path("s.yaml"), "s", method, parameters, ("${args}",), run_cap=run_cap)


def test_a_grid_equals_that_of_wandbs_package() -> None:
    sweeps = pytest.importorskip("sweeps")
    parameters = {
        "seed_everything": {"values": [0, 1, 2]},
        "config": {"values": ["a.yaml", "b.yaml"]},
        "depth": {"min": 1, "max": 3, "distribution": "int_uniform"},
        "flip": {"value": True},
    }
    proposed: list[Any] = []
    while run := sweeps.next_run({"method": "grid", "parameters": parameters}, proposed):
        proposed.append(run)
    expected = [{name: entry["value"] for name, entry in run.config.items()} for run in proposed]
    points = points_of(_spec("grid", parameters))
    assert len(points) == 18
    assert sorted(map(repr, map(sorted, (point.items() for point in points)))) == sorted(
        map(repr, map(sorted, (point.items() for point in expected)))
    )
    assert list(points[0]) == ["config", "depth", "flip", "seed_everything"]


def test_a_random_search_is_deterministic_and_within_its_bounds() -> None:
    pytest.importorskip("sweeps")
    first = points_of(_spec("random", DRAWN, run_cap=20))
    random.seed(7)
    assert points_of(_spec("random", DRAWN), count=20) == first
    assert points_of(_spec("random", DRAWN), count=5) == first[:5]
    assert all(1e-4 <= point["rate"] <= 1e-2 for point in first)
    assert {type(point["rate"]) for point in first} == {float}, (
        "NumPy numbers have another representation"
    )
    assert len({point["rate"] for point in first}) == 20


def test_drawing_does_not_change_the_global_generator_of_python() -> None:
    pytest.importorskip("sweeps")
    random.seed(1)
    expected = random.random()
    random.seed(1)
    points_of(_spec("random", DRAWN, run_cap=3))
    assert random.random() == expected


@pytest.mark.parametrize(
    ("method", "parameters", "kind", "message"),
    [
        ("grid", {"a": {"min": 0.1, "max": 0.2}}, ConfigError, "parameters.a: a grid needs"),
        ("random", DRAWN, UsageError, "--count N, or set run_cap"),
        ("bayes", DRAWN, UsageError, "wandb agent ID"),
    ],
)
def test_unsupported_searches_are_rejected_with_advice(
    method: str, parameters: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        points_of(_spec(method, parameters))


def test_a_point_drawn_twice_is_skipped_and_counted() -> None:
    pytest.importorskip("sweeps")
    spec = _spec("random", {"crop": {"values": [16, 24, 32]}}, run_cap=5)
    points = points_of(spec)
    assert len({point["crop"] for point in points}) == len(points) <= 3
    assert repetitions(spec) == 5 - len(points)
    assert repetitions(_spec("random", DRAWN, run_cap=20)) == 0


def test_a_grid_keeps_one_of_equal_points_and_ends_at_run_cap() -> None:
    parameters = {"a": {"values": [1, 2, 1, 1.0]}}
    assert points_of(_spec("grid", parameters)) == [{"a": 1}, {"a": 2}, {"a": 1.0}]
    assert points_of(_spec("grid", parameters, run_cap=2)) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("method", ["random", "grid"])
@pytest.mark.parametrize("count", [0, -1])
def test_a_search_with_a_count_below_one_is_rejected(method: str, count: int) -> None:
    with pytest.raises(UsageError, match=f"--count {count}: at least 1 run"):
        points_of(_spec(method, {"width": {"values": [1, 2]}}, run_cap=20), count=count)


def test_option_only_selects_points_by_value_and_keeps_sweeps_without_the_parameter() -> None:
    points = [{"seed": seed, "rate": 0.5} for seed in (0, 1)]
    assert only_points(points, "seed=1") == [points[1]]
    assert only_points(points, "rate=0.5") == points
    assert only_points(points, "config=a.yaml") == points  # of a required sweep
    assert only_points(points, None) == points
    with pytest.raises(UsageError, match="NAME=VALUE"):
        only_points(points, "seed")
