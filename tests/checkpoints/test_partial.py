"""Loading, training and freezing of parts of a module by name."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from spike_zoo.checkpoints.partial import learn_only, load_part, set_frozen_to_eval
from spike_zoo.errors import MissingFileError, WeightsError


class Codec(nn.Module):
    """Codec with an analysis (with batch norm), a synthesis, and a gain outside of both."""

    def __init__(self) -> None:
        super().__init__()
        self.analysis = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
        self.analysis_gain = nn.Parameter(torch.ones(1))
        self.synthesis = nn.Sequential(nn.Conv2d(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.synthesis(self.analysis_gain * self.analysis(x))


class Model(nn.Module):
    """Module that contains the codec, as in a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.codec = Codec()
        self.head = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.codec(x))


def as_checkpoint(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"state_dict": state, "epoch": 3}, folder / "last.ckpt")
    return folder / "last.ckpt"


def as_export(state: dict[str, Tensor], folder: Path) -> Path:
    (folder / "export").mkdir()
    save_file(state, folder / "export" / "model.safetensors")
    return folder / "export"


def as_safetensors(state: dict[str, Tensor], folder: Path) -> Path:
    save_file(state, folder / "weights.safetensors")
    return folder / "weights.safetensors"


@pytest.mark.parametrize("write", [as_checkpoint, as_export, as_safetensors])
def test_a_part_is_loaded_from_every_kind_of_file(
    write: Callable[[dict[str, Tensor], Path], Path], tmp_path: Path
) -> None:
    trained, codec = Model(), Codec()
    load_part(codec, write(trained.state_dict(), tmp_path), "codec")
    torch.testing.assert_close(codec.state_dict(), trained.codec.state_dict(), rtol=0, atol=0)


def test_a_file_of_the_part_alone_needs_no_prefix(tmp_path: Path) -> None:
    trained, codec = Codec(), Codec()
    load_part(codec, as_checkpoint(trained.state_dict(), tmp_path), "codec")
    torch.testing.assert_close(codec.state_dict(), trained.state_dict(), rtol=0, atol=0)


def test_optional_entries_missing_in_the_file_keep_their_values(tmp_path: Path) -> None:
    state = Codec().state_dict()
    del state["analysis_gain"]
    codec = Codec()
    nn.init.constant_(codec.analysis_gain, 5.0)
    load_part(codec, as_checkpoint(state, tmp_path), "codec", optional=["analysis_gain"])
    assert codec.analysis_gain.item() == 5.0
    assert torch.equal(codec.state_dict()["synthesis.0.weight"], state["synthesis.0.weight"])


def test_a_part_that_does_not_fit_is_rejected_with_the_first_fault_of_each_kind(
    tmp_path: Path,
) -> None:
    state = Model().state_dict()
    del state["codec.analysis.0.bias"]
    state["codec.fem.weight"] = torch.zeros(1)
    state["codec.synthesis.0.weight"] = torch.zeros(1, 3, 1, 1)
    codec = Codec()
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    with pytest.raises(WeightsError, match=r"last\.ckpt: its part codec is not Codec") as error:
        load_part(codec, as_checkpoint(state, tmp_path), "codec")
    message = str(error.value)
    assert "1 missing, first analysis.0.bias" in message
    assert "1 unexpected, first fem.weight" in message
    assert "first synthesis.0.weight: (1, 3, 1, 1) instead of (1, 2, 1, 1)" in message
    torch.testing.assert_close(codec.state_dict(), before, rtol=0, atol=0)  # no entry is changed


def test_a_file_without_the_part_is_rejected(tmp_path: Path) -> None:
    path = as_checkpoint(Model().state_dict(), tmp_path)
    with pytest.raises(WeightsError, match=r"no part fem and is not Conv2d by itself: 2 missing"):
        load_part(nn.Conv2d(1, 1, 1), path, "fem")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere\.ckpt"):
        load_part(Codec(), tmp_path / "nowhere.ckpt", "codec")
    with pytest.raises(MissingFileError, match=r"model\.safetensors"):
        load_part(Codec(), tmp_path, "codec")


TABLE = {
    "codec": ["codec.analysis", "codec.analysis_gain", "codec.synthesis"],
    "joint": ["codec.synthesis", "head"],
    "gain": ["codec.analysis_gain"],
    "analysis": ["codec.analysis"],  # not analysis_gain, whose name starts the same
}


@pytest.mark.parametrize("stage", TABLE)
def test_a_stage_trains_only_its_parts(stage: str) -> None:
    torch.manual_seed(0)
    model = Model()
    learn_only(model, TABLE["joint"])  # an earlier stage has no effect
    learning = learn_only(model, TABLE[stage])
    model.train()
    set_frozen_to_eval(model, TABLE[stage])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(learning, lr=0.1)
    model(torch.randn(4, 1, 8, 8)).square().sum().backward()
    optimizer.step()
    after = model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    parts = ["codec.analysis", "codec.analysis_gain", "codec.synthesis", "head"]
    changed_parts = [
        part for part in parts if any(f"{name}.".startswith(f"{part}.") for name in changed)
    ]
    assert changed_parts == TABLE[stage]


def test_a_frozen_batch_norm_uses_running_statistics_in_training() -> None:
    model = Model().train()
    learn_only(model, ["head"])
    set_frozen_to_eval(model, ["head"])
    x = torch.randn(4, 1, 8, 8)
    batch_output, single_output = model.codec(x), model.codec(x[:1])
    torch.testing.assert_close(batch_output[:1], single_output)
    assert model.training
    assert model.head.training


def test_unknown_parts_are_named() -> None:
    with pytest.raises(ValueError, match=r"Model has no part 'fem'.*it has codec, head"):
        learn_only(Model(), ["head", "fem"])
