"""Points of a sweep are those that W&B's package proposes."""

from pathlib import Path
from typing import Any

import pytest

from spike_zoo.errors import UsageError
from spike_zoo.tables.sweeps.points import only_points, points_of
from spike_zoo.tables.sweeps.spec import SweepSpec


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
    ours, theirs = ([sorted(point.items()) for point in some] for some in (points, expected))
    assert sorted(ours, key=repr) == sorted(theirs, key=repr)
    assert list(points[0]) == ["config", "depth", "flip", "seed_everything"]


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_searches_of_wandbs_server_are_rejected_with_advice(method: str) -> None:
    with pytest.raises(UsageError, match="wandb agent ID"):
        points_of(_spec(method, {"a": {"distribution": "uniform", "min": 0.1, "max": 0.2}}))


def test_a_grid_keeps_one_of_equal_points_and_ends_at_run_cap() -> None:
    parameters = {"a": {"values": [1, 2, 1, 1.0]}}
    assert points_of(_spec("grid", parameters)) == [{"a": 1}, {"a": 2}, {"a": 1.0}]
    assert points_of(_spec("grid", parameters, run_cap=2)) == [{"a": 1}, {"a": 2}]


def test_option_only_selects_points_by_value_and_keeps_sweeps_without_the_parameter() -> None:
    points = [{"seed": seed, "rate": rate} for seed in (0, 1) for rate in (0.5, 1.0)]
    assert only_points(points, "seed=1") == points[2:]
    assert only_points(points, "seed=1", "rate=0.5") == [points[2]]
    assert only_points(points, "config=a.yaml") == points  # of a required sweep
    assert only_points(points) == points
    with pytest.raises(UsageError, match="NAME=VALUE"):
        only_points(points, "seed")
