"""Commands of runs are those of W&B's agent."""

import os
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.tables.sweeps.points import Point, expand_command
from spike_zoo.tables.sweeps.spec import SweepSpec

POINT: Point = {
    "config": "variants/full.yaml",
    "model.init_args.crop": [1, 2],
    "model.init_args.rate": 1e-05,
    "model.init_args.scale": True,
    "model.init_args.warp": False,
    "name": "two words",
    "nested": {"a": 1},
    "seed_everything": 0,
}


def _command_of_agent(
    monkeypatch: pytest.MonkeyPatch, folder: Path, spec: SweepSpec, point: Point
) -> list[str]:
    """Return the command that the agent of the installed wandb client starts for a point."""
    from wandb import wandb_agent

    started: list[list[str]] = []

    class Recorder:
        def __init__(self, command: list[str], **rest: Any) -> None:
            started.append(command)

    monkeypatch.setattr(wandb_agent, "AgentProcess", Recorder)
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_DIR"):
        monkeypatch.setenv(name, "to be undone")  # the agent sets variables permanently
    monkeypatch.setenv("WANDB_DIR", str(folder))
    agent = wandb_agent.Agent(api=None, queue=None, sweep_id="sweep")
    agent._sweep_command = list(spec.command)
    arguments = {name: {"value": value} for name, value in point.items()}
    run = {"run_id": "run", "program": spec.program, "args": arguments}
    agent._command_run(run)  # type: ignore[no-untyped-call]  # the client has no hints there
    return started[0]


@pytest.mark.slow
@pytest.mark.parametrize("macro", ["args", "args_no_equals"])
def test_every_macro_is_expanded_like_by_the_agent(
    macro: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROFILE", "smoke")
    command = ["${env}", "${interpreter}", "${program}", "-m", "x", f"${{{macro}}}"]
    command += ["a=${envvar:PROFILE}/${envvar:PROFILE}.yaml", "${envvar:PROFILE}"]
    spec = SweepSpec(tmp_path, "s", "grid", {}, tuple(command), program="train.py")
    command_line = expand_command(spec, POINT, os.environ)
    assert command_line == _command_of_agent(monkeypatch, tmp_path, spec, POINT)
    assert "a=smoke/smoke.yaml" in command_line


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("configs/${envvar:NOWHERE}.yaml", "the variable NOWHERE is not set"),
        ("${arg}", r"unknown macro \$\{arg\}; the known macros are .*\$\{args\}"),
        ("${args_json}", "unknown macro"),
    ],
)
def test_command_parts_that_the_agent_would_drop_silently_are_rejected(
    part: str, message: str
) -> None:
    spec = SweepSpec(Path("s.yaml"), "s", "grid", {}, (part,))
    with pytest.raises(ConfigError, match=rf"s\.yaml: command: .*{message}"):
        expand_command(spec, POINT, {})
