"""Digests and differences of effective configurations."""

from __future__ import annotations

import pytest

from spike_zoo.training.provenance import config_hash, differences


def test_digest_ignores_run_folder_and_logger() -> None:
    config = {"model": {"width": 1}, "run_dir": "a", "trainer": {"max_steps": 3, "logger": None}}
    renamed = {"model": {"width": 1}, "run_dir": "b", "trainer": {"max_steps": 3, "logger": "x"}}
    assert config_hash(config) == config_hash(renamed)


def test_digest_depends_on_initial_weights_only_if_they_are_given() -> None:
    before = {"model": {"width": 1}, "trainer": {"max_steps": 3}}
    without = {**before, "init_from": None, "init_strict": True}
    assert config_hash(without) == config_hash(before)
    initialised = config_hash({**without, "init_from": "stir-small"})
    assert initialised != config_hash(before)
    assert initialised == config_hash({**without, "init_from": "stir-small", "init_strict": False})


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
    ("group", "key", "value"),
    [("data", "workers", 2), ("model", "cache_dir", "runs/ssdm/labels")],
)
def test_options_of_workers_and_caches_are_no_difference(
    group: str, key: str, value: object
) -> None:
    before = {group: {"init_args": {"crop": 96, key: None}}}
    after = {group: {"init_args": {"crop": 96, key: value}}}
    assert not differences(before, after, {})
    after[group]["init_args"]["crop"] = 64
    assert differences(before, after, {}) == [f"{group}.init_args.crop: 64, was 96"]
