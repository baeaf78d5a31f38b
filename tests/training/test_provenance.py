"""Digests and differences of effective configurations, and redaction of secrets."""

import getpass
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.training.provenance import config_hash, differences, redact


def test_digest_ignores_run_folder_and_logger() -> None:
    config = {"model": {"width": 1}, "run_dir": "a", "trainer": {"max_steps": 3, "logger": None}}
    renamed = {"model": {"width": 1}, "run_dir": "b", "trainer": {"max_steps": 3, "logger": "x"}}
    assert config_hash(config) == config_hash(renamed)


def test_digest_depends_on_initial_weights_only_if_they_are_given() -> None:
    before = {"model": {"width": 1}, "trainer": {"max_steps": 3}}
    without = {**before, "init_from": None, "init_strict": True}
    assert config_hash(without) == config_hash(before)
    initialised = config_hash({**without, "init_from": "stir"})
    assert initialised != config_hash(before)
    assert initialised == config_hash({**without, "init_from": "stir", "init_strict": False})
    one, other = ({"ckpt_path": {"sha256": digest}} for digest in ("12", "34"))
    assert config_hash(before, one) != config_hash(before, other)
    assert config_hash({**before, "compile": False}) == config_hash(before)
    assert config_hash({**before, "compile": True}) != config_hash(before)


def test_digest_depends_on_model_seed_and_length() -> None:
    config = {"model": {"width": 1}, "seed_everything": 0, "trainer": {"max_steps": 3}}
    for changed in (
        {**config, "model": {"width": 2}},
        {**config, "seed_everything": 1},
        {**config, "trainer": {"max_steps": 4}},
    ):
        assert config_hash(config) != config_hash(changed)


def test_digest_is_equal_for_integers_and_floats_of_the_same_value() -> None:
    assert config_hash({"trainer": {"limit": 1.0}}) == config_hash({"trainer": {"limit": 1}})
    assert config_hash({"trainer": {"limit": 1.5}}) != config_hash({"trainer": {"limit": 1}})


@pytest.mark.parametrize(
    ("group", "key", "value"), [("data", "workers", 2), ("model", "cache_dir", "runs/ssdm/labels")]
)
def test_options_of_workers_and_caches_are_no_difference(
    group: str, key: str, value: object
) -> None:
    before = {group: {"init_args": {"crop": 96, key: None}}}
    after = {group: {"init_args": {"crop": 96, key: value}}}
    assert not differences(before, after, {})
    after[group]["init_args"]["crop"] = 64
    assert differences(before, after, {}) == [f"{group}.init_args.crop: 64, was 96"]


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
