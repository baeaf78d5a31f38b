"""A fixed sample of damaged and hostile files; ``make fuzz`` reads more."""

from pathlib import Path
from random import Random

import pytest

from tests.fuzz.kills import COMMANDS, try_command
from tests.fuzz.run import problem_of
from tests.fuzz.targets import TARGETS

INPUTS = 112  # per target


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("name", TARGETS)
def test_every_input_gives_a_result_or_a_clear_error(name: str, step: int, tmp_path: Path) -> None:
    outcomes = {number: problem_of(name, number, tmp_path) for number in range(0, INPUTS, step)}
    problems = {number: problem for number, problem in outcomes.items() if problem}
    assert not problems, next(iter(problems.items()))


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_leaves_complete_files_and_can_be_repeated(name: str) -> None:
    _, problems = try_command(name, 2, Random(name))
    assert problems == []
