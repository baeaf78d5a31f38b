"""Loading of modules by name or file, and rejection of untrusted and damaged files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import spike_zoo
from spike_zoo.checkpoints.loading import pick_device, save_weights
from spike_zoo.checkpoints.saved_model import read_saved_model
from spike_zoo.errors import MissingFileError, UsageError, WeightsError
from spike_zoo.methods.classical import TFI
from spike_zoo.methods.sci import SCIRecognitionModule
from spike_zoo.methods.stir import STIR, STIRModule, STIROptions
from spike_zoo.methods.stir.official import to_official
from tests.helpers.checkpoints import export


class ExternalModule(LightningModule):
    """Module from outside the package."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)


@pytest.fixture(scope="module")
def module() -> STIRModule:
    torch.manual_seed(0)
    return STIRModule(width=0.25, network=STIROptions(flow_fields=1), lpips="off").eval()


def _have_equal_weights(actual: torch.nn.Module, expected: torch.nn.Module) -> bool:
    expected_state = expected.state_dict()
    return all(
        torch.equal(value, expected_state[name]) for name, value in actual.state_dict().items()
    )


def test_a_shipped_name_gives_a_module_in_evaluation_mode() -> None:
    loaded = spike_zoo.load("tfi")
    assert isinstance(loaded, TFI)
    assert not loaded.training


def test_an_unknown_name_is_rejected_with_the_shipped_names() -> None:
    with pytest.raises(MissingFileError, match=r"it is load\('tfi'\)\.adjusted\(average=9\)"):
        spike_zoo.load("tfi:average=9")
    with pytest.raises(MissingFileError, match=r"tif: neither a file nor .* tfp, tfi, tfstp"):
        spike_zoo.load("tif")
    with pytest.raises(MissingFileError, match=r"Did you mean 'stir-aligned'\?"):
        spike_zoo.load("stir_aligned")


def test_a_folder_without_an_export_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"this folder holds no model\.safetensors"):
        spike_zoo.load(tmp_path)


def test_an_export_folder_gives_the_same_module(module: STIRModule, tmp_path: Path) -> None:
    export(module, tmp_path / "out")
    loaded = spike_zoo.load(tmp_path / "out")
    assert isinstance(loaded, STIRModule)
    assert loaded.hparams["width"] == 0.25
    assert _have_equal_weights(module, loaded)


def test_half_precision_weights_come_back_as_float32(module: STIRModule, tmp_path: Path) -> None:
    save_weights(module, tmp_path / "half.safetensors", half=True)
    loaded = spike_zoo.load(tmp_path / "half.safetensors")
    for name, value in module.state_dict().items():
        restored = loaded.state_dict()[name]
        assert restored.dtype == value.dtype
        torch.testing.assert_close(restored, value, rtol=1e-3, atol=1e-4)


def test_changed_weights_are_rejected(module: STIRModule, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(module, path)
    state = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    next(iter(state.values())).add_(1)
    save_file(state, path, metadata=metadata)
    with pytest.raises(WeightsError, match="differ from the checksum"):
        spike_zoo.load(path)


def test_a_class_of_another_package_needs_trust(tmp_path: Path) -> None:
    path = tmp_path / "external.ckpt"
    class_path = f"{ExternalModule.__module__}.ExternalModule"
    module = ExternalModule()
    checkpoint = {
        "state_dict": module.state_dict(),
        "hyper_parameters": {},
        "spike_zoo": {"class_path": class_path, "hyper_parameters": {}},
    }
    torch.save(checkpoint, path)
    with pytest.raises(
        WeightsError, match=r"not part of this package.*--trust.*'tests'.*trust=True"
    ):
        spike_zoo.load(path)
    loaded = spike_zoo.load(path, trust=True)
    assert isinstance(loaded, ExternalModule)
    assert _have_equal_weights(module, loaded)


def test_a_trusted_class_that_is_not_installed_is_named_with_a_remedy(tmp_path: Path) -> None:
    description = {"class_path": "nobodys_package.Module", "hyper_parameters": {}}
    torch.save({"state_dict": {}, "spike_zoo": description}, tmp_path / "a.ckpt")
    with pytest.raises(
        WeightsError,
        match=r"the class 'nobodys_package\.Module' cannot be imported.*Install its pack",
    ):
        spike_zoo.load(tmp_path / "a.ckpt", trust=True)


def test_a_pickle_with_code_is_rejected_without_running_it(tmp_path: Path) -> None:
    class Crafted:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]  # any call

    path = tmp_path / "crafted.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": Crafted()}, protocol=2))
    with pytest.raises(
        WeightsError, match=r"crafted\.ckpt: not a file of weights that can be read"
    ):
        spike_zoo.load(path)
    assert not (tmp_path / "ran").exists()


def _description(**arguments: Any) -> dict[str, Any]:
    return {
        "class_path": "spike_zoo.methods.stir.STIRModule",
        "hyper_parameters": {"width": 0.25, "network": {"flow_fields": 1}, **arguments},
    }


ARGUMENTS, TENSORS = "hyper_parameters is not a mapping", "not a dense tensor of real numbers"
MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "description is a string": ({"spike_zoo": "x"}, "spike_zoo is not a mapping"),
    "description is a list": ({"spike_zoo": [1]}, "spike_zoo is not a mapping"),
    "arguments are a list": ({"spike_zoo": {}, "hyper_parameters": [1, 2]}, ARGUMENTS),
    "arguments are a string": (
        {"spike_zoo": {**_description(), "hyper_parameters": "abc"}},
        ARGUMENTS,
    ),
    "class path is a number": (
        {"spike_zoo": {"class_path": 3, "hyper_parameters": {}}},
        "its class path is not a text",
    ),
    "class is not a module": (
        {"spike_zoo": {"class_path": "spike_zoo.checkpoints.loading.Path", "hyper_parameters": {}}},
        "is not a module",
    ),
    "width of NaN": ({"spike_zoo": _description(width=float("nan"))}, "cannot be built .*width"),
    "width below 0": ({"spike_zoo": _description(width=-1)}, "cannot be built .*width"),
    "unknown argument": ({"spike_zoo": _description(nothing=1)}, "cannot be built .*nothing"),
    "weights are a list": ({"state_dict": [1]}, "state_dict is not a mapping"),
    "names are numbers": ({"state_dict": {0: torch.zeros(1)}}, "state_dict is not a mapping"),
    "weights are strings": ({"state_dict": {"a": "x"}}, TENSORS),
    "complex weights": ({"state_dict": {"a": torch.zeros(1, dtype=torch.complex64)}}, TENSORS),
    "sparse weights": ({"state_dict": {"a": torch.zeros(1).to_sparse()}}, TENSORS),
    "expanded weights": ({"state_dict": {"a": torch.zeros(1).expand(10**12)}}, TENSORS),
    "weights of another network": ({"state_dict": {"a": torch.zeros(1)}}, "do not fit .*missing"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_checkpoint_is_rejected_by_name(
    module: STIRModule, tmp_path: Path, name: str
) -> None:
    changes, message = MALFORMED[name]
    content = {"state_dict": module.state_dict(), "spike_zoo": _description(), **changes}
    torch.save(content, tmp_path / "crafted.ckpt")
    with pytest.raises(WeightsError, match=rf"crafted\.ckpt: .*{message}"):
        spike_zoo.load(tmp_path / "crafted.ckpt")


def test_weights_that_are_not_finite_are_rejected(module: STIRModule, tmp_path: Path) -> None:
    state = dict(module.state_dict())
    name = next(name for name, _ in module.named_parameters())
    state[name] = state[name] * torch.nan
    torch.save({"state_dict": state, "spike_zoo": _description()}, tmp_path / "nan.ckpt")
    with pytest.raises(WeightsError, match=rf"nan\.ckpt: the weights {name} are not finite"):
        spike_zoo.load(tmp_path / "nan.ckpt")


@pytest.mark.parametrize("text", ["{", "[1]", "null"])
def test_an_export_whose_arguments_are_not_an_object_is_rejected(
    module: STIRModule, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "crafted.safetensors"
    metadata = {"class_path": "spike_zoo.methods.stir.STIRModule", "hyper_parameters": text}
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    save_file(state, path, metadata=metadata)
    with pytest.raises(WeightsError, match=r"crafted\.safetensors: .*not a JSON object"):
        spike_zoo.load(path)


def test_a_module_with_a_part_for_inference_is_loaded_as_this_part(tmp_path: Path) -> None:
    network: Any = {"channels": 8, "fem_width": 0.125}
    module = SCIRecognitionModule(3, ["a", "b", "c"], network=network)
    save_weights(module, tmp_path / "x.safetensors")
    loaded = spike_zoo.load(tmp_path / "x.safetensors")
    assert type(loaded) is type(module.classifier)
    assert loaded.hparams == module.classifier.hparams
    for name, value in module.classifier.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    saved = read_saved_model(tmp_path / "x.safetensors")  # a fit continues with the module
    assert saved.class_path == f"{type(module).__module__}.SCIRecognitionModule"
    assert saved.state.keys() == module.state_dict().keys()


def test_a_description_of_the_inference_that_is_not_complete_is_rejected(tmp_path: Path) -> None:
    for text, message in (("[]", "is not a JSON object"), ('{"part": "x"}', "lacks part, class_")):
        metadata = {"class_path": "spike_zoo.methods.classical.TFI", "inference": text}
        save_file({"w": torch.ones(2)}, tmp_path / "x.safetensors", metadata)
        with pytest.raises(WeightsError, match=f"inference in its metadata {message}"):
            spike_zoo.load(tmp_path / "x.safetensors")


def test_weights_without_metadata_point_to_from_official(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="from_official"):
        spike_zoo.load(path)


def test_a_missing_device_is_rejected() -> None:
    assert pick_device("cpu") == "cpu"
    with pytest.raises(UsageError, match="device cuda:99"):
        spike_zoo.load("no weights are read", device="cuda:99")


@pytest.mark.parametrize(("is_available", "selected"), [(False, "cpu"), (True, "cuda")])
def test_auto_selects_the_gpu_of_the_torch_build_only_if_it_is_available(
    is_available: bool, selected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_for = torch.device("cuda")
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda *_, **__: built_for)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: is_available)
    assert pick_device("auto") == selected


def test_a_published_file_is_recognised_by_its_entries(tmp_path: Path) -> None:
    network = STIR()
    torch.save({"state_dict": to_official(network.state_dict()), "epoch": 1}, tmp_path / "a.pth")
    loaded = spike_zoo.load(tmp_path / "a.pth")
    assert isinstance(loaded, STIRModule)
    assert _have_equal_weights(loaded.network, network)
    assert not loaded.training


def test_a_published_file_of_an_unknown_network_is_rejected(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: not a checkpoint of a module"):
        spike_zoo.load(tmp_path / "other.pth")
