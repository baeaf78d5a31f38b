"""Tests of the commands fit, validate, test and predict."""

import csv
import zipfile
from pathlib import Path

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from spike_zoo import SpikeArchive
from spike_zoo.archive import ArchiveWriter
from spike_zoo.cli.main import main
from spike_zoo.training.folders import lock_of
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT

FIT = ["--config", "configs/stir_demo.yaml", "--config", "configs/profiles/smoke.yaml"]
PLANTED = "planted0planted0planted0planted0planted0"
SMALL = ["--model.init_args.width", "0.25", "--trainer.enable_progress_bar", "false"]


pytestmark = [
    pytest.mark.usefixtures("checkout"),
    pytest.mark.filterwarnings("ignore:all . images are constant"),  # of the second epoch
]


class SpoilSecondEpoch(Callback):
    """Set the weights to zero in the second epoch, so that the best checkpoint is the first."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1:
            with torch.no_grad():
                for parameter in pl_module.parameters():
                    parameter.zero_()


@pytest.fixture(scope="module")
def archive(clips_archive: Path) -> str:
    return str(clips_archive)


@pytest.fixture(scope="module")
def fitted(archive: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a fit whose first epoch is best and whose environment had keys."""
    run_dir = tmp_path_factory.mktemp("runs") / "fitted"
    data = ["--data.init_args.archive", archive]
    data += ["--trainer.callbacks+=tests.training.test_trainer.SpoilSecondEpoch"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        for name in ("WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, PLANTED)
        assert main(["fit", *FIT, *SMALL, *data, "--run_dir", str(run_dir)]) == 0
    return run_dir


def _metrics(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_fit_writes_config_metrics_checkpoints_images_and_a_record(
    fitted: Path, archive: str
) -> None:
    for name in ("config.yaml", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (fitted / name).is_file()
    names = sorted(path.name for path in (fitted / "checkpoints").iterdir())
    assert names == ["best.ckpt", "last.ckpt"]
    assert list((fitted / "images").glob("val-*.png"))
    result = RunResult.read(fitted)
    assert (result.method, result.variant, result.profile) == ("stir", "stir_demo", "smoke")
    assert result.data_sha256 == SpikeArchive(archive).data_sha256()
    assert result.image_size == (48, 64)
    assert result.macs is not None
    assert {"test/psnr", "test/ssim", "val/psnr"} <= result.metrics.keys()
    (test_row,) = [row for row in _metrics(fitted) if row.get("test/psnr")]
    assert float(test_row["test/psnr"]) == pytest.approx(result.metrics["test/psnr"])
    assert int(test_row["step"]) == 4, "after the last of two epochs' updates"


def test_keys_of_the_environment_are_in_no_file_of_a_run(fitted: Path) -> None:
    files = [path for path in fitted.rglob("*") if path.is_file()]
    assert {".ckpt", ".yaml", ".json", ".csv"} <= {path.suffix for path in files}
    for path in files:
        assert PLANTED.encode() not in path.read_bytes(), path
        if path.suffix == ".ckpt":
            with zipfile.ZipFile(path) as members:
                contents = [members.read(member) for member in members.namelist()]
            assert not any(PLANTED.encode() in content for content in contents)


def test_testing_the_best_checkpoint_gives_the_metrics_of_the_fit_and_changes_no_files(
    fitted: Path,
) -> None:
    before = {path: path.stat().st_mtime_ns for path in fitted.rglob("*") if path.is_file()}
    config = ["--config", str(fitted / "config.yaml"), "--trainer.enable_progress_bar", "false"]
    # the option comes first: the configuration of the run must not override it
    assert main(["test", "--ckpt_path", "best", *config, "--run_dir", str(fitted)]) == 0
    psnr = RunResult.read(fitted / "test").metrics["test/psnr"]
    assert psnr == pytest.approx(RunResult.read(fitted).metrics["test/psnr"], abs=1e-4)
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before


def test_validate_gives_the_metrics_of_the_record_and_predict_writes_images(
    fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(fitted / "config.yaml"), "--trainer.enable_progress_bar", "false"]
    assert main(["validate", *config, "--ckpt_path", "best"]) == 0
    best = torch.load(fitted / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == 0
    record, measured = RunResult.read(fitted).metrics, _metrics(fitted / "validate")[-1]
    for name in ("val/psnr", "val/ssim"):
        assert record[name] == pytest.approx(float(measured[name]), abs=1e-4), name
    assert main(["predict", *config, "--ckpt_path", "last"]) == 0
    files = sorted(path.name for path in (fitted / "predict").iterdir())
    assert [name for name in files if name.endswith(".png")] == ["test-0-000080.png"]
    assert main(["predict", *config, "--ckpt_path", "best"]) == 2, (
        "images of two predictions would be mixed"
    )
    assert "predict: contains the images of an earlier prediction" in capsys.readouterr().err
    assert sorted(path.name for path in (fitted / "predict").iterdir()) == files


def test_a_second_fit_in_the_same_folder_is_rejected(
    fitted: Path, archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["fit", *FIT, *SMALL, "--data.init_args.archive", archive, "--run_dir"]
    assert main([*call, str(fitted)]) == 2
    assert "Resume it with --ckpt_path last" in capsys.readouterr().err
    assert not (fitted / ".lock").exists()
    lock = lock_of(tmp_path)
    assert lock is not None
    with lock:
        assert main([*call, str(tmp_path)]) == 2
        assert "another fit is training in this folder" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_missing_test_split_is_reported_before_training_and_other_folders_are_kept(
    archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with SpikeArchive(archive) as source, ArchiveWriter(tmp_path / "a.h5") as writer:
        for split in ("train", "val"):
            for name in source.names(split):
                writer.add(name, source.take(name), split=split)
    mine = tmp_path / "mine"
    mine.mkdir()
    config = mine / "config.yaml"
    config.write_bytes(Path("configs/stir_demo.yaml").read_bytes())
    data = ["--data.init_args.archive", str(tmp_path / "a.h5"), "--run_dir", str(mine)]
    assert main(["fit", "--config", str(config), *FIT[2:], *SMALL, *data]) == 2
    assert "no split 'test'" in capsys.readouterr().err
    assert list(mine.iterdir()) == [config]


def test_random_weights_are_not_tested(
    archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["predict", *FIT, *SMALL, "--data.archive", archive, "--run_dir", str(tmp_path / "run")]
    assert main(call) == 2
    assert "STIRModule has random weights: name a checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "message"), [(b"\x89HDF\r\n\x1a\n" + bytes(64), "cut"), (b"x", "not")]
)
def test_a_damaged_archive_is_reported_on_one_line_with_exit_code_1(
    tmp_path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "damaged.h5"
    path.write_bytes(content)
    arguments = ["--data.init_args.archive", str(path), "--run_dir", str(tmp_path / "run")]
    assert main(["validate", *FIT, *arguments]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "damaged.h5" in lines[0]
    assert message in lines[0]
