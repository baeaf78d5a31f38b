"""Learning-rate schedules against closed forms."""

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.nn.schedules import RunSchedule, ScheduleKind, check_schedule, schedule_factor
from tests.conftest import ROOT

KINDS: tuple[ScheduleKind, ...] = get_args(ScheduleKind)
EPOCHS = 7
ClosedForm = Callable[[float, int], float]
#: Factor as a function of the fraction of the run and the number of the update.
CLOSED_FORMS: dict[str, ClosedForm] = {
    "cosine": lambda done, step: 0.5 * (1.0 + math.cos(math.pi * done)),
    "linear": lambda done, step: 1.0 - done,
    "milestones": lambda done, step: 0.7 ** math.floor(4 * done),
    "constant": lambda done, step: 1.0,
    "per_step_official": lambda done, step: 0.5 * (1.0 + math.cos(math.pi * step / EPOCHS)),
}


@pytest.mark.parametrize("kind", KINDS)
@given(updates=st.integers(1, 10_000), share=st.floats(0.0, 1.0, exclude_max=True))
def test_every_factor_equals_its_closed_form_exactly(
    kind: ScheduleKind, updates: int, share: float
) -> None:
    step = int(share * updates)
    expected = CLOSED_FORMS[kind](step / updates, step)
    assert schedule_factor(kind, epochs=EPOCHS)(step, updates) == expected


@pytest.mark.parametrize("kind", KINDS)
@given(updates=st.integers(1, 5000), warmup=st.floats(0.0, 0.99), done=st.floats(0.0, 1.0))
def test_a_factor_stays_between_0_and_1(
    kind: ScheduleKind, updates: int, warmup: float, done: float
) -> None:
    factor = schedule_factor(kind, warmup=warmup, epochs=EPOCHS)
    assert 0.0 <= factor(int(done * updates), updates) <= 1.0


def test_warmup_rises_linearly_and_reaches_1() -> None:
    factor = schedule_factor("constant", warmup=0.1)
    assert [factor(step, 100) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])


def test_a_cosine_falls_from_the_end_of_the_warmup_to_the_end_of_the_run() -> None:
    factor = schedule_factor("cosine", warmup=0.2)
    factors = [factor(step, 100) for step in (9, 20, 60, 100)]
    assert factors == pytest.approx([0.5, 1.0, 0.5, 0.0])


@pytest.mark.parametrize(
    ("kind", "rate", "warmup", "message"),
    [
        ("quadratic", 1e-3, 0.0, "schedule must be one of"),
        ("cosine", 0.0, 0.0, "learning_rate"),
        ("cosine", float("inf"), 0.0, "learning_rate"),
        ("cosine", 1e-3, -0.1, "warmup"),
        ("cosine", 1e-3, 1.0, "warmup"),
        ("cosine", 1e-3, float("nan"), "warmup"),
    ],
)
def test_values_outside_their_range_are_rejected(
    kind: str, rate: float, warmup: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_schedule(kind, rate, warmup)


def test_begin_sets_the_first_rate_after_the_length_of_the_run_is_known() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = RunSchedule(optimizer, schedule_factor("linear"), lambda: 4.0)
    schedule.begin()
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert not {"factor", "count", "updates"} & schedule.state_dict().keys()


def test_stir_s_paper_configuration_steps_the_rate_at_the_published_epochs() -> None:
    config = yaml.safe_load((ROOT / "configs" / "paper" / "stir.yaml").read_text(encoding="utf-8"))
    model, epochs = config["model"]["init_args"], config["trainer"]["max_epochs"]
    for steps in (1000, 7):  # of an epoch; the published limit, and fewer scenes than that
        factor = schedule_factor(model["schedule"], warmup=model["warmup"], epochs=epochs)
        length = steps * epochs
        rates = [model["learning_rate"] * factor(step, length) for step in range(length)]
        published = [1e-4] * 50 + [7e-5] * 50 + [4.9e-5] * 50 + [3.43e-5] * 50
        assert rates[::steps] == pytest.approx(published)
        assert rates[steps - 1 :: steps] == pytest.approx(published)
