"""Tests of published weights: conversion of names, files, rejected files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from spike_zoo.errors import WeightsError
from spike_zoo.methods.stir import STIR, STIROptions
from spike_zoo.methods.stir.official import to_natural, to_official


def test_names_and_shapes_equal_the_published_ones(official_entries: list[dict[str, Any]]) -> None:
    ours = {name: list(value.shape) for name, value in to_official(STIR().state_dict()).items()}
    assert ours == {entry["name"]: entry["shape"] for entry in official_entries}


def test_names_are_converted_and_converted_back(official_weights: dict[str, Tensor]) -> None:
    natural = to_natural(official_weights)
    assert set(natural) == set(STIR().state_dict())
    assert list(to_official(natural)) == list(official_weights)


def test_wrapped_state_dicts_load(official_weights: dict[str, Tensor]) -> None:
    named: Any = {f"module.{name}": value for name, value in official_weights.items()}
    network = STIR.from_official({"state_dict": named})
    loaded = to_official(network.state_dict())
    assert all(torch.equal(loaded[name], value) for name, value in official_weights.items())
    assert not network.training


def test_wrong_weights_are_rejected_with_the_first_of_each_kind_of_error(
    official_weights: dict[str, Tensor], tmp_path: Path
) -> None:
    wrong = dict(official_weights)
    del wrong["resnet.bn1.weight"]
    wrong["spynet.basic.weight"] = torch.zeros(1)
    wrong["decorder_1st.predict_img.weight"] = torch.zeros(3, 48, 3, 3)
    path = tmp_path / "other.pth"
    torch.save(wrong, path)
    with pytest.raises(WeightsError) as caught:
        STIR.from_official(path)
    message = str(caught.value)
    assert "other.pth" in message
    assert "1 missing, first resnet.bn1.weight" in message
    assert "1 unexpected, first spynet.basic.weight" in message
    assert "decorder_1st.predict_img.weight: (3, 48, 3, 3) instead of (1, 48, 3, 3)" in message


def test_layers_of_ablations_keep_their_names_if_not_published() -> None:
    names = to_official(STIR(options=STIROptions(embedding="tfp", flow_fields=1)).state_dict())
    assert "embedding.mix.weight" in names
    assert not [name for name in names if "flow_group" in name]
