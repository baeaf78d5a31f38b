"""Learning rates over a run."""

from __future__ import annotations

import math

import pytest

from spike_zoo.methods.ssdm.schedule import check_schedule, factor_at


def test_the_cosine_goes_from_1_through_a_half_to_0_whatever_the_length() -> None:
    for updates in (10, 1000):
        found = [factor_at("cosine", step, updates, 7) for step in (0, updates // 2, updates)]
        assert found == pytest.approx([1.0, 0.5, 0.0])
        assert factor_at("cosine", 2 * updates, updates, 7) == pytest.approx(0.0)


def test_the_released_schedule_swings_with_a_period_of_twice_the_epochs_in_steps() -> None:
    found = [1e-3 * factor_at("per_step_official", step, 1e6, 101) for step in range(405)]
    wanted = [5e-4 * (1 + math.cos(math.pi * step / 101)) for step in range(405)]
    assert found == pytest.approx(wanted)
    assert found[202] == pytest.approx(1e-3)
    assert found[303] == pytest.approx(0.0, abs=1e-12)


def test_a_constant_rate_stays() -> None:
    assert {factor_at("constant", step, 100, 3) for step in (0, 50, 1000)} == {1.0}


@pytest.mark.parametrize(
    ("kind", "rate", "message"), [("linear", 1e-3, "schedule"), ("cosine", 0.0, "learning_rate")]
)
def test_other_schedules_and_rates_are_refused(kind: str, rate: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_schedule(kind, rate)
