"""A fixed sample of damaged and hostile files; ``make fuzz`` reads many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.run import problem_of
from tests.fuzz.targets import TARGETS

INPUTS = 112  # of each target, 2,016 in all


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_ends_in_a_result_or_a_clear_error(name: str, tmp_path: Path) -> None:
    found = {number: problem_of(name, number, tmp_path) for number in range(INPUTS)}
    problems = {number: problem for number, problem in found.items() if problem}
    assert not problems, next(iter(problems.items()))
