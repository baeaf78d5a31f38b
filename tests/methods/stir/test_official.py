"""Published weights: names both ways, files, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from spike_zoo.errors import MissingFileError, WeightsError
from spike_zoo.methods.stir import STIR, STIRModule, to_natural, to_official


def test_names_and_shapes_are_the_published_ones(official_entries: list[dict[str, Any]]) -> None:
    ours = {name: list(value.shape) for name, value in to_official(STIR().state_dict()).items()}
    assert ours == {entry["name"]: entry["shape"] for entry in official_entries}


def test_names_go_to_ours_and_back(official_weights: dict[str, Tensor]) -> None:
    natural = to_natural(official_weights)
    assert set(natural) == set(STIR().state_dict())
    assert list(to_official(natural)) == list(official_weights)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("nested", [False, True])
def test_wrapped_state_dicts_load(
    prefix: str, nested: bool, official_weights: dict[str, Tensor]
) -> None:
    named = {f"{prefix}{name}": value for name, value in official_weights.items()}
    network = STIR.from_official({"state_dict": named} if nested else named)  # type: ignore[dict-item]  # as files hold it
    loaded = to_official(network.state_dict())
    assert all(torch.equal(loaded[name], value) for name, value in official_weights.items())
    assert not network.training


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_load(suffix: str, official_weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / f"published{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": official_weights, "epoch": 200}, path)
    else:
        save_file(official_weights, path)
    module = STIRModule.from_official(path)
    loaded = to_official(module.network.state_dict())
    assert all(torch.equal(loaded[name], value) for name, value in official_weights.items())
    assert not module.training


def test_wrong_weights_are_refused_with_the_first_of_each_fault(
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


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_something_else_is_refused_by_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"notes{suffix}"
    path.write_bytes(b"this is not a checkpoint")
    with pytest.raises(WeightsError, match=f"notes{suffix}"):
        STIR.from_official(path)


def test_a_truncated_checkpoint_is_refused(
    official_weights: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "cut.pth"
    torch.save(official_weights, path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(WeightsError, match=r"cut\.pth"):
        STIR.from_official(path)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": [1]}, torch.zeros(2), {}])
def test_a_checkpoint_without_weights_is_refused(content: object, tmp_path: Path) -> None:
    path = tmp_path / "empty.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=r"empty\.pth"):
        STIR.from_official(path)


class Payload:
    """A class no checkpoint may bring along."""


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "crafted.pth"
    torch.save({"state_dict": Payload()}, path)
    with pytest.raises(WeightsError, match=r"crafted\.pth"):
        STIR.from_official(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere\.pth"):
        STIR.from_official(tmp_path / "nowhere.pth")


def test_ablations_keep_our_names_where_nothing_was_published() -> None:
    names = to_official(STIR(embedding="tfp", motion_fields=1).state_dict())
    assert "embedding.mix.weight" in names
    assert not [name for name in names if "flow_group" in name]
