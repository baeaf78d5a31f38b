"""Atomic checkpoints, resumed runs, and safe reading of checkpoints."""

import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import spike_zoo
from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.cli.main import main
from spike_zoo.errors import RecordingError, WeightsError
from spike_zoo.methods.stir import STIRModule
from spike_zoo.tables.sweeps.line_reader import LineReader
from spike_zoo.training.checkpoints import AtomicCheckpointIO
from spike_zoo.training.result import RunResult
from spike_zoo.training.resuming import check_has_optimizer
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.limits import largest_file
from tests.helpers.modules import DoubledModule

TEST = ["--config", "configs/stir.yaml", "--config", "configs/profiles/smoke.yaml"]
MARKER = "imported_by_a_checkpoint"


pytestmark = pytest.mark.usefixtures("checkout")


@pytest.fixture
def archive(clips_archive: Path) -> list[str]:
    data = ["--data.init_args.archive", str(clips_archive)]
    return [*data, "--trainer.enable_progress_bar", "false"]


def test_a_failed_write_keeps_the_previous_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, writer = tmp_path / "last.ckpt", AtomicCheckpointIO()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "a full disk elsewhere"))
    for number in (1, 2):
        writer.save_checkpoint({"number": number}, target)

    def fail(content: object, file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        writer.save_checkpoint({"number": 3}, target)
    assert torch.load(target) == {"number": 2}
    assert torch.load(tmp_path / "last.before.ckpt") == {"number": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.before.ckpt", "last.ckpt"]


def test_a_full_disk_is_reported_and_the_previous_file_is_kept(tmp_path: Path) -> None:
    target, module = tmp_path / "last.ckpt", STIRModule(width=0.25, lpips="off")
    target.write_bytes(b"the one before")
    writers: list[Callable[[], object]] = [
        lambda: AtomicCheckpointIO().save_checkpoint({"state_dict": module.state_dict()}, target),
        lambda: save_weights(module, target),
    ]
    for write in writers:
        with largest_file(10_000), pytest.raises(RecordingError) as error:
            write()
        assert str(error.value).startswith(f"{target}: cannot be written (File too large)")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the one before"]


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of a class outside the package, in a module that is not imported yet."""
    (tmp_path / f"{MARKER}.py").write_text(
        "from spike_zoo.methods.stir import STIRModule\nclass Own(STIRModule): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, MARKER, raising=False)
    return f"{MARKER}.Own"


@pytest.mark.parametrize(
    "content",
    [
        {"hyper_parameters": {"_class_path": f"{MARKER}.Own"}, "spike_zoo": {}},
        {"spike_zoo": {"class_path": f"{MARKER}.Own", "hyper_parameters": {}}},
        {"spike_zoo": {"hyper_parameters": {"lpips": {"class_path": f"{MARKER}.Own"}}}},
        {"spike_zoo": {"hyper_parameters": {"protocols": [{"class_path": f"{MARKER}.Own"}]}}},
    ],
)
def test_classes_named_by_a_checkpoint_are_not_imported(
    tmp_path: Path, marker: str, content: dict[str, Any], reader: LineReader
) -> None:
    crafted = write_checkpoint(tmp_path / "crafted.ckpt", **content)
    with pytest.raises(WeightsError, match=r"crafted\.ckpt: "):
        reader.read("test", [*TEST, "--ckpt_path", str(crafted)])
    assert MARKER not in sys.modules


@pytest.mark.parametrize("verb", ["fit", "test"])
def test_a_class_named_by_a_checkpoint_is_not_imported_by_a_command(
    tmp_path: Path, marker: str, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = {"class_path": marker, "hyper_parameters": {}}
    crafted = write_checkpoint(tmp_path / "crafted.ckpt", spike_zoo=recorded)
    call = [verb, *TEST, "--ckpt_path", str(crafted), "--run_dir", str(tmp_path / "run")]
    assert main(call) == 1
    assert MARKER not in sys.modules
    assert "crafted.ckpt: " in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_command_line_overrides_the_checkpoint_which_overrides_files(
    archive: list[str], tmp_path: Path, marker: str
) -> None:
    weights = write_checkpoint(tmp_path / "weights.ckpt")
    call = ["test", *TEST, *archive, "--ckpt_path", str(weights), "--model.protocols=[stir]"]
    assert main([*call, "--model", marker, "--run_dir", str(tmp_path / "run")]) == 0
    record = RunResult.read(tmp_path / "run" / "test")
    assert "test/psnr_stir" in record.metrics, "the checkpoint has no protocols"
    assert record.config["model"]["init_args"]["protocols"] == ["stir"]
    assert record.config["model"]["init_args"]["width"] == 0.25, "the configuration sets 1"
    assert record.config["model"]["class_path"] == marker, "a subclass of the checkpoint's class"


def test_a_checkpoint_of_another_width_than_the_command_line_is_rejected_on_one_line(
    archive: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_checkpoint(tmp_path / "weights.ckpt")
    call = ["test", *TEST, *archive, "--ckpt_path", str(weights), "--model.width", "0.5"]
    assert main([*call, "--run_dir", str(tmp_path / "run")]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "do not fit" in errors[0]


def test_exported_weights_give_the_metrics_of_the_checkpoint(
    archive: list[str], tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.ckpt")
    export = tmp_path / "small.safetensors"
    assert main(["export", str(checkpoint), str(export)]) == 0
    results = {}
    for file in (checkpoint, export):
        folder = tmp_path / file.stem
        line = [*TEST, *archive, "--run_dir", str(folder), "--ckpt_path", str(file)]
        assert main(["test", *line]) == 0
        results[file] = RunResult.read(folder / "test")
        with pytest.raises(WeightsError, match=f"{file.name}: contains only weights"):
            check_has_optimizer(file)
    assert results[export].metrics == results[checkpoint].metrics
    assert results[export].parameters == results[checkpoint].parameters, (
        "the width is read from the export"
    )
    assert results[export].checkpoint == str(export)


class ModuleWithNumpy(DoubledModule):
    """Its learning rate becomes a number of numpy, as in many users' schedules."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: np.float64(0.9) ** n)
        return [optimizer], [falling]


class Small(nn.Sequential):
    """A network that a configuration names as an argument."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__(nn.Conv2d(9, channels, 3, padding=1), nn.Conv2d(channels, 1, 1))


class ModuleWithArguments(DoubledModule):
    """Its arguments are converted by their hints: a tuple, a path and a network."""

    def __init__(
        self,
        network: nn.Module,
        widths: tuple[int, int] = (1, 1),
        file: Path | None = None,
        learning_rate: float = 1e-2,
        lpips: str = "off",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        assert isinstance(widths, tuple)
        assert file is None or isinstance(file, Path)
        self.own = nn.Linear(*widths)
        self.given = network

    def forward(self, spikes: torch.Tensor, rate_scale: torch.Tensor | None = None) -> torch.Tensor:
        return self.given(spikes).sigmoid()

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return (self(batch["spikes"]) - batch["image"]).square().mean()


class UnreadableModule(DoubledModule):
    """It saves an object that is not read without executing code."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["made"] = {"by": ["me", date(2000, 1, 1)]}


class LateModule(DoubledModule):
    """It makes a layer after its construction."""

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.extra = nn.Linear(1, 1)


def _fit(archive: list[str], run_dir: Path, name: str, *options: str) -> int:
    clips = ["--data.init_args.clip_length=9", "--data.init_args.crop=16"]
    call = ["fit", "--config=stir_demo", "--config=profiles/smoke", *archive, *clips]
    model = f"--model=tests.training.test_checkpoints.{name}"
    return main([*call, "--test_after_fit=false", f"--run_dir={run_dir}", model, *options])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ModuleWithNumpy", []),
        (
            "ModuleWithArguments",
            [
                "--model.network=tests.training.test_checkpoints.Small",
                *("--model.network.channels=4", "--model.widths=[5,3]", "--model.file=a.txt"),
            ],
        ),
    ],
)
def test_the_checkpoints_of_a_user_module_can_be_loaded_and_resumed(
    archive: list[str], tmp_path: Path, name: str, options: list[str]
) -> None:
    assert _fit(archive, tmp_path, name, *options) == 0
    last = tmp_path / "checkpoints" / "last.ckpt"
    loaded = spike_zoo.load(last, trust=True)
    for entry, value in torch.load(last, weights_only=True)["state_dict"].items():
        assert torch.equal(loaded.state_dict()[entry], value), entry
    save_weights(loaded, tmp_path / "a.safetensors")
    again = spike_zoo.load(tmp_path / "a.safetensors", trust=True)
    assert again.state_dict().keys() == loaded.state_dict().keys()
    longer = [*options, f"--ckpt_path={last}", "--trainer.max_epochs=3"]
    assert _fit(archive, tmp_path / "longer", name, *longer) == 0


def test_a_checkpoint_that_could_not_be_read_stops_the_fit_before_its_first_update(
    archive: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _fit(archive, tmp_path / "run", "UnreadableModule") == 1
    assert "error: made.by.1: a datetime.date, with which the checkpoi" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_module_that_cannot_be_rebuilt_is_reported_at_the_start(
    archive: list[str], tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match=r"the new checkpoints: the weights do not fit .*save_hyp"):
        assert _fit(archive, tmp_path, "LateModule") == 0
