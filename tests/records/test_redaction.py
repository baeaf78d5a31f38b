"""What is logged tells neither secrets nor whose machine it was."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.records.redaction import redact


@pytest.mark.parametrize(
    ("value", "shown"),
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
def test_secrets_are_hidden_and_everything_else_is_kept(value: Any, shown: Any) -> None:
    assert redact(value) == shown


def test_paths_lose_working_folder_home_and_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    assert redact(tmp_path / "runs" / "a") == "runs/a"
    assert redact("/home/alice/data/x.h5") == "~/data/x.h5"
    assert redact("/scratch/alice/x.h5") == "/scratch/USER/x.h5"
