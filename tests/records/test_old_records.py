"""Records of earlier schemas say the same as they always did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.records.old_records import cost_of_forward, image_size_of_schema_1
from spike_zoo.records.result import Cost, RunResult
from tests.conftest import ROOT
from tests.helpers.results import make_result


@pytest.mark.parametrize(
    ("record", "size"),
    [
        ("ssdm/results/cpu/full-0-c0b91d9a", (384, 384)),
        ("ssdm/results/cpu/ssdm_upsample-0-dc5979d4", (384, 384)),
        ("ssdm/results/cpu/ssdm_denoise-0", (96, 96)),
        ("stir/results/cpu/full-0", (160, 208)),
    ],
)
def test_committed_records_say_which_image_cost_so_much(record: str, size: tuple[int, int]) -> None:
    result = RunResult.read(ROOT / "experiments" / record)
    assert result.schema == 1
    assert result.image_size == size


@pytest.mark.parametrize(
    ("method", "model", "data", "size"),
    [
        ("stir", {}, {}, (10, 20)),
        ("ssdm", {}, {}, (40, 80)),
        ("ssdm", {"stage": "upsample"}, {}, (40, 80)),
        ("ssdm", {"stage": "denoise"}, {}, (10, 20)),  # an image of the spikes' size
        ("ssdm", {}, {"ratio": 2}, (20, 40)),
    ],
)
def test_a_record_of_schema_1_costs_the_image_that_came_out(
    method: str, model: dict[str, Any], data: dict[str, Any], size: tuple[int, int]
) -> None:
    config = {"model": {"init_args": model}, "data": {"init_args": data}}
    content: dict[str, Any] = {"schema": 1, "method": method, "config": config}
    content |= {"image_size": [10, 20], "macs": 600, "seconds_per_image": 0.5}
    assert cost_of_forward(content) == {"macs": 600, "seconds": 0.5, "size": size}
    assert cost_of_forward({**content, "schema": 2})["size"] == [10, 20], "it says it rightly"
    assert image_size_of_schema_1({**content, "image_size": None}) is None


def test_a_record_of_schema_2_without_names_has_the_cost_of_a_reconstruction(
    tmp_path: Path,
) -> None:
    cost = {"macs": 600, "image_size": [10, 20], "seconds_per_image": 0.5}
    (tmp_path / "result.json").write_text(_without_names(**cost))
    result = RunResult.read(tmp_path)
    assert result.costs == {"forward": Cost(600, 0.5, (10, 20))}
    assert result.costs["forward"].macs_per_pixel == 3
    assert result.curves == {}
    unknown = dict.fromkeys(cost)
    (tmp_path / "result.json").write_text(_without_names(**unknown))
    assert RunResult.read(tmp_path).costs == {}


def _without_names(**cost: Any) -> str:
    """Return a record as text that says what a reconstruction costs in the old fields alone."""
    content = {**make_result().summary(), "config": {}, "metrics": {}, **cost}
    del content["costs"], content["curves"]
    return json.dumps(content)
