"""Windows and boundaries in plain integers."""

from __future__ import annotations

import pytest

from spike_zoo.methods.classical.plans import (
    Edge,
    check_interval_rules,
    interval_runs,
    playback_windows,
)


@pytest.mark.parametrize(("edge", "weights"), [("shrink", [1 / 3, 1 / 5]), ("zero", [0.2, 0.2])])
def test_a_window_is_cut_at_the_ends_of_the_clip(edge: Edge, weights: list[float]) -> None:
    windows = playback_windows([0, 4], 9, 5, edge)
    assert (windows.starts, windows.stops) == ([0, 2], [3, 7])
    assert windows.weights == pytest.approx(weights)


def test_a_valid_window_may_not_be_cut() -> None:
    assert playback_windows([2, 6], 9, 5, "valid").stops == [5, 9]
    with pytest.raises(ValueError, match=r"window -1\.\.4 around plane 1 leaves the clip of 9"):
        playback_windows([1], 9, 5, "valid")


def test_each_boundary_is_listed_once_however_many_means_take_it() -> None:
    runs = interval_runs([2, 3, 8], 10, 3, "forward")
    assert runs.boundaries == [2, 3, 4, 5, 8, 9, 10]  # behind planes 1..4 and 7..9
    assert [runs.boundaries[a:b] for a, b in zip(runs.starts, runs.stops, strict=True)] == [
        [2, 3, 4],
        [3, 4, 5],
        [8, 9, 10],
    ]
    assert not runs.is_plain


def test_plain_runs_are_those_without_means() -> None:
    runs = interval_runs([1, 5], 10, 1, "backward")
    assert runs.boundaries == [1, 5]  # in front of the planes
    assert runs.is_plain


def test_rules_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="max_search"):
        check_interval_rules(1, "forward", "hold", 9)
    check_interval_rules(1, "forward", "zero", 9)
