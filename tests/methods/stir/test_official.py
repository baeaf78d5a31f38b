"""Tests of published weights: conversion of names, files, rejected files."""

from typing import Any

import pytest
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


def test_wrong_weights_are_rejected_with_the_published_name(
    official_weights: dict[str, Tensor],
) -> None:
    wrong = dict(official_weights)
    del wrong["resnet.bn1.weight"]
    with pytest.raises(WeightsError, match=r"1 missing, first resnet\.bn1\.weight"):
        STIR.from_official(wrong)


def test_layers_of_ablations_keep_their_names_if_not_published() -> None:
    names = to_official(STIR(options=STIROptions(embedding="tfp", flow_fields=1)).state_dict())
    assert "embedding.mix.weight" in names
    assert not [name for name in names if "flow_group" in name]
