"""Digests and differences of effective configurations."""

from __future__ import annotations

import pytest

from spike_zoo.records.provenance import config_hash, differences


def test_digest_ignores_where_and_how_a_run_is_watched() -> None:
    config = {"model": {"width": 1}, "run_dir": "a", "trainer": {"max_steps": 3, "logger": None}}
    renamed = {"model": {"width": 1}, "run_dir": "b", "trainer": {"max_steps": 3, "logger": "x"}}
    assert config_hash(config) == config_hash(renamed)


def test_digest_follows_initial_weights_only_where_they_are_given() -> None:
    before = {"model": {"width": 1}, "trainer": {"max_steps": 3}}
    without = {**before, "init_from": None, "init_strict": True}
    assert config_hash(without) == config_hash(before)
    given = config_hash({**without, "init_from": "stir-small"})
    assert given != config_hash(before)
    assert given == config_hash({**without, "init_from": "stir-small", "init_strict": False})


def test_digest_follows_model_seed_and_length() -> None:
    config = {"model": {"width": 1}, "seed_everything": 0, "trainer": {"max_steps": 3}}
    for changed in (
        {**config, "model": {"width": 2}},
        {**config, "seed_everything": 1},
        {**config, "trainer": {"max_steps": 4}},
    ):
        assert config_hash(config) != config_hash(changed)


def test_a_whole_number_is_the_same_configuration_however_it_is_written() -> None:
    assert config_hash({"trainer": {"limit": 1.0}}) == config_hash({"trainer": {"limit": 1}})
    assert config_hash({"trainer": {"limit": 1.5}}) != config_hash({"trainer": {"limit": 1}})


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [("data", "workers", 2), ("model", "cache_dir", "runs/ssdm/labels")],
)
def test_where_work_is_done_or_kept_is_no_other_configuration(
    group: str, key: str, value: object
) -> None:
    before = {group: {"init_args": {"crop": 96, key: None}}}
    now = {group: {"init_args": {"crop": 96, key: value}}}
    assert not differences(before, now, {})
    now[group]["init_args"]["crop"] = 64
    assert differences(before, now, {}) == [f"{group}.init_args.crop: 64, was 96"]
