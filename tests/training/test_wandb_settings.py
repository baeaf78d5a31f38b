"""Invalid settings and variables of W&B do not stop a run, and are named."""

from __future__ import annotations

import pytest

from spike_zoo.training.wandb_settings import valid_names, valid_settings
from tests.helpers.processes import run_python

#: Variable -> invalid value.
VARIABLES = {
    "WANDB_BASE_URL": "without.scheme",
    "WANDB_HTTP_TIMEOUT": "soon",
    "WANDB_MODE": "sometimes",
    "WANDB_PROJECT": "a/b",
    "WANDB_RUN_ID": "a/b",
    "WANDB_RESUME": "perhaps",
    "WANDB_SILENT": "quietly",
    "WANDB_SERVICE": "3-99999-tcp-localhost-1",  # its process has ended
}
LOG_ONE_VALUE = f"""
import os, sys
from pathlib import Path
from spike_zoo.training.wandb_logger import SafeWandbLogger, finish_wandb
os.environ.update({VARIABLES!r})
folder = Path(sys.argv[1])
logger = SafeWandbLogger(offline=True, save_dir=sys.argv[1], settings={{"nothing": 1}})
logger.describe("a-run", folder=folder, group="a", job_type="fit")
logger.log_metrics({{"val/psnr": 30.0}}, 3)
finish_wandb()
"""


def test_a_run_with_invalid_variables_and_settings_is_logged_and_names_them(
    tmp_path: object,
) -> None:
    process = run_python(LOG_ONE_VALUE, str(tmp_path))
    assert process.returncode == 0, process.stderr
    for name in VARIABLES:
        assert f"W&B: variable {name} is ignored" in process.stderr
    assert "W&B: logger settings nothing is ignored" in process.stderr


def test_valid_settings_are_kept() -> None:
    assert valid_settings({"init_timeout": 3.0}) == {"init_timeout": 3.0}


def test_reserved_characters_in_names_are_replaced_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"W&B: project 'a/b' is changed to 'a-b'"):
        assert valid_names({"project": "a/b", "id": None}) == {"project": "a-b", "id": None}
