"""Redaction of secrets, home folders and user names."""

from __future__ import annotations

import getpass
import zipfile
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.cli.main import main
from spike_zoo.training.redaction import redact
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"api_key": "abc", "width": 1.0}, {"api_key": "(hidden)", "width": 1.0}),
        ({"init_args": [{"HF_TOKEN": "abc"}]}, {"init_args": [{"HF_TOKEN": "(hidden)"}]}),
        ({"api_key": None}, {"api_key": None}),
        ("https://ghp_abc@example.org/zoo.git", "https://example.org/zoo.git"),
        ("s3://me:secret@bucket/x", "s3://bucket/x"),
        ("data/default.h5", "data/default.h5"),
        ({"tokens_per_batch": 4, "monkey": "x"}, {"tokens_per_batch": 4, "monkey": "x"}),
    ],
)
def test_secrets_are_hidden_and_everything_else_is_kept(value: Any, expected: Any) -> None:
    assert redact(value) == expected


def test_working_folder_home_and_user_are_removed_from_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    assert redact(tmp_path / "runs" / "a") == "runs/a"
    assert redact("/home/alice/data/x.h5") == "~/data/x.h5"
    assert redact("/scratch/alice/x.h5") == "/scratch/USER/x.h5"


def test_keys_of_the_environment_are_in_no_file_of_a_run(
    clips_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "planted0planted0planted0planted0planted0"
    for name in ("WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, key)
    monkeypatch.chdir(ROOT)
    line = "fit --config configs/stir_demo.yaml --config configs/profiles/smoke.yaml"
    line += " --model tests.helpers.modules.DoubledModule --data.init_args.clip_length 9"
    line += f" --data.init_args.archive {clips_archive} --run_dir {tmp_path}"
    assert main([*line.split(), "--trainer.enable_progress_bar", "false"]) == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {".ckpt", ".yaml", ".json", ".csv"} <= {path.suffix for path in files}
    for path in files:
        assert key.encode() not in path.read_bytes(), path
        if path.suffix == ".ckpt":
            with zipfile.ZipFile(path) as members:
                assert not any(
                    key.encode() in members.read(member) for member in members.namelist()
                )
