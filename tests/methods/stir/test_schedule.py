"""Learning rate schedules as fractions of a run."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.methods.stir.schedule import Schedule, ScheduleKind
from tests.conftest import ROOT

KINDS: list[ScheduleKind] = ["cosine", "milestones", "constant"]


@given(
    kind=st.sampled_from(KINDS), steps=st.integers(1, 5000), warmup=st.floats(0.0, 0.99),
    done=st.floats(0.0, 1.0),
)  # fmt: skip
def test_factor_stays_between_0_and_1(
    kind: ScheduleKind, steps: int, warmup: float, done: float
) -> None:
    assert 0.0 <= Schedule(kind, steps, warmup)(int(done * steps)) <= 1.0


@pytest.mark.parametrize("steps", [40, 400])
def test_milestones_are_fractions_and_so_do_not_depend_on_the_length(steps: int) -> None:
    factor = Schedule("milestones", steps)
    quarters = [factor(steps * quarter // 4) for quarter in range(4)]
    assert quarters == pytest.approx([1.0, 0.7, 0.49, 0.343])
    assert factor(steps // 4 - 1) == 1.0


def test_cosine_falls_from_1_to_0() -> None:
    factor = Schedule("cosine", 100)
    assert [factor(step) for step in (0, 50, 100)] == pytest.approx([1.0, 0.5, 0.0])


def test_warmup_rises_linearly_and_reaches_1() -> None:
    factor = Schedule("constant", 100, warmup=0.1)
    assert [factor(step) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])


@pytest.mark.parametrize("warmup", [-0.1, 1.0, float("nan")])
def test_a_warmup_that_is_no_fraction_is_refused(warmup: float) -> None:
    with pytest.raises(ValueError, match="warmup"):
        Schedule("constant", 10, warmup)


def test_the_papers_configuration_steps_the_rate_at_the_published_epochs() -> None:
    config = yaml.safe_load((ROOT / "configs" / "paper" / "stir.yaml").read_text(encoding="utf-8"))
    model, epochs = config["model"]["init_args"], config["trainer"]["max_epochs"]
    for steps in (1000, 7):  # of an epoch; the published limit, and fewer scenes than that
        factor = Schedule(model["schedule"], steps * epochs, model["warmup"])
        rates = [model["learning_rate"] * factor(step) for step in range(steps * epochs)]
        published = [1e-4] * 50 + [7e-5] * 50 + [4.9e-5] * 50 + [3.43e-5] * 50
        assert rates[::steps] == pytest.approx(published)
        assert rates[steps - 1 :: steps] == pytest.approx(published)
