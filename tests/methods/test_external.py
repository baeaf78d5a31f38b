"""Networks of other repositories: imitations of their layouts, and faults of a specification."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from spike_zoo import load
from spike_zoo.cli.main import main
from spike_zoo.errors import ConfigError, MissingFileError, SpikeZooError, UsageError, WeightsError
from spike_zoo.formats.writing import write_recording
from spike_zoo.methods.external import SAFE, ExternalModule
from spike_zoo.testing import pattern_take
from tests.conftest import ROOT

SPECIFICATIONS = sorted((ROOT / "configs" / "external").glob("*.yaml"))
pytestmark = pytest.mark.filterwarnings("ignore:the code of")
RECORDING = pattern_take(0).recording
FILES = {
    # a temporal mean, in a package whose parts import each other
    "model/nets.py": """
from torch import nn
from model.parts import mean
from utils import ONE
class Mean(nn.Module):
    def forward(self, x):
        assert not x.shape[-2] % 16
        return ONE * mean(x)
class Volume(nn.Module):
    def forward(self, x):  # (B, 1, T, H, W)
        return [x.mean(dim=2), None]
class Weighted(nn.Module):
    def __init__(self, planes=41):
        super().__init__()
        self.last = nn.Conv2d(planes, 1, 1, bias=False)
    def forward(self, x):
        return self.last(x)
class Stateful(nn.Module):
    def forward(self, x, count):
        count = 0 if count is None else count + 1
        return x[:, :1] * 0 + count / 10, count
class Smaller(nn.Module):
    def forward(self, x):
        return x[:, :1, 1:]
""",
    "model/parts.py": "def mean(x):\n    return x.mean(dim=1, keepdim=True)\n",
    "utils.py": "ONE = 1.0\n",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return _written(tmp_path / "repository", FILES)


def _written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("Mean", {"pad": 16}),  # 40 rows are padded to 48
        ("Volume", {"layout": "B 1 T H W"}),
        ("Mean", {"pad": 16, "scale": "rate", "output": 1.0}),
        ("Mean", {"pad": 16, "scale": "playback", "output": 1}),
    ],
)
def test_a_network_that_averages_gives_the_image_of_tfp(
    repository: Path, network: str, options: dict[str, Any]
) -> None:
    module = ExternalModule(str(repository), f"model.nets.{network}", **options)

    image = module.reconstruct(RECORDING, [30, 31], rate_scale=0.7)

    tfp: Any = load("tfp")
    expected = tfp.adjusted(window=41)
    torch.testing.assert_close(image, expected.reconstruct(RECORDING, [30, 31], rate_scale=0.7))


def test_frames_of_several_planes_and_weights_with_a_prefix(repository: Path) -> None:
    values = torch.arange(1.0, 6.0).view(1, 5, 1, 1) / 15
    torch.save({"state_dict": {"module.net.last.weight": values}}, repository / "best.pth")

    module = ExternalModule(
        *(str(repository), "model.nets.Weighted", {"planes": 5}, "best.pth"),
        strip="net.",
        planes=20,
        average=4,
        output=1.0,
    )

    planes = torch.from_numpy(RECORDING[20:40]).float().view(5, 4, *RECORDING.shape[1:])
    expected = torch.einsum("nkhw,n->hw", planes, values.flatten()) / 4
    torch.testing.assert_close(module.reconstruct(RECORDING, 30)[0, 0], expected)


def test_the_state_goes_from_window_to_window_and_begins_anew(repository: Path) -> None:
    module = ExternalModule(str(repository), "model.nets.Stateful", state=True, output=1.0)

    for _ in range(2):
        images = module.reconstruct(RECORDING, [30, 31, 32])
        assert images[:, 0, 0, 0].tolist() == pytest.approx([0.0, 0.1, 0.2])


def test_two_repositories_have_modules_of_the_same_names(repository: Path, tmp_path: Path) -> None:
    other = _written(tmp_path / "other", FILES | {"utils.py": "ONE = 0.5\n"})
    paths = [repository, other, repository]

    modules = [ExternalModule(str(path), "model.nets.Mean", pad=16) for path in paths]

    first, half, again = (module.reconstruct(RECORDING, 30, rate_scale=1.0) for module in modules)
    torch.testing.assert_close(half, first / 2)
    torch.testing.assert_close(again, first)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"repository": "/nowhere"}, MissingFileError, "repository: there is no such folder"),
        ({"network": "model.missing.Net"}, ConfigError, "cannot be imported"),
        ({"network": "model.nets.Net"}, ConfigError, "cannot be imported"),
        ({"network": "model.nets.mean"}, ConfigError, "not a class of torch.nn.Module"),
        ({"arguments": {"depth": 3}}, ConfigError, "arguments: .* cannot be built .*depth"),
        ({"weights": "none.pth"}, MissingFileError, "none.pth.*no such file in the repository"),
        ({"weights": "bad.pth"}, WeightsError, "1 missing, first last.weight"),
        ({"planes": 40, "average": 3}, ConfigError, "planes a multiple of average"),
    ],
)
def test_a_wrong_specification_names_its_entry(
    repository: Path, changes: dict[str, Any], error: type[SpikeZooError], message: str
) -> None:
    torch.save({"first.weight": torch.zeros(1)}, repository / "bad.pth")
    options = {"repository": str(repository), "network": "model.nets.Weighted"}

    with pytest.raises(error, match=message):
        ExternalModule(**(options | changes))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("Weighted", {"planes": 21}, r"failed for an input of the shape \(1, 21, 40, 48\)"),
        ("Weighted", {"layout": "B T H"}, "layout: 'B T H'"),
        ("Smaller", {}, r"returned \(1, 1, 39, 48\), expected one image of 40 x 48"),
        ("Weighted", {"state": True}, "check layout, planes, pad and state"),
    ],
)
def test_a_network_that_fails_names_its_input(
    repository: Path, network: str, options: dict[str, Any], message: str
) -> None:
    module = ExternalModule(str(repository), f"model.nets.{network}", **options)

    with pytest.raises(ConfigError, match=message):
        module.reconstruct(RECORDING, 30)


def test_a_specification_is_a_method_of_commands_and_safe_refuses_it(
    repository: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SAFE, "")  # removed after the test
    write_recording(RECORDING, tmp_path / "take.npz")
    file = tmp_path / "mean.yaml"
    options = {"repository": str(repository), "network": "model.nets.Mean", "pad": 16}
    class_path = "spike_zoo.methods.external.ExternalModule"
    file.write_text(yaml.safe_dump({"class_path": class_path, "init_args": options}))
    command = ["reconstruct", str(tmp_path / "take.npz"), "--method", str(file), "--out"]

    with pytest.warns(UserWarning, match=f"the code of {repository} is executed"):
        assert main([*command, str(tmp_path / "image.png"), "--start", "30", "--stop", "31"]) == 0
    assert main([*command, str(tmp_path / "other.png"), "--safe"]) == 2
    assert "--safe" in capsys.readouterr().err
    assert not (tmp_path / "other.png").exists()


@pytest.mark.parametrize("file", SPECIFICATIONS, ids=lambda path: path.stem)
def test_shipped_specifications_have_valid_arguments(file: Path) -> None:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))

    inspect.signature(ExternalModule).bind(**content["init_args"])
    with pytest.raises(MissingFileError, match="clone it there"):
        load(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "no class_path"),
        ("class_path: spike_zoo.methods.stir.STIRModule", "would be untrained"),
        ("{class_path: os.system, init_args: {}}", "not part of this package"),
        ("{class_path: spike_zoo.methods.classical.TFP, init_args: {windw: 3}}", "do not fit"),
    ],
)
def test_configurations_that_are_no_method_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "method.yaml"
    file.write_text(text)

    with pytest.raises(SpikeZooError, match=message):
        load(file)


def test_a_configuration_of_a_method_without_weights_is_a_method(tmp_path: Path) -> None:
    file = tmp_path / "method.yaml"
    file.write_text("{class_path: spike_zoo.methods.classical.TFP, init_args: {window: 11}}")

    method: Any = load(file)
    expected: Any = load("tfp")
    torch.testing.assert_close(
        method.reconstruct(RECORDING, 30), expected.adjusted(window=11).reconstruct(RECORDING, 30)
    )


def test_safe_is_a_usage_error(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SAFE, "1")

    with pytest.raises(UsageError, match="needs code of"):
        ExternalModule(str(repository), "model.nets.Mean")
