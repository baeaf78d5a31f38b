"""Atomic checkpoints, resumed runs, and safe reading of checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from spike_zoo.callbacks.checkpoints import AtomicCheckpointIO
from spike_zoo.cli.main import main
from spike_zoo.records.result import RunResult
from tests.conftest import ROOT
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.processes import run_python

TEST = ["--config", "configs/stir.yaml", "--config", "configs/profiles/smoke.yaml"]
MARKER = "imported_by_a_checkpoint"


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


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


FULL_DISK = """
import resource, signal, sys, torch
from spike_zoo.errors import RecordingError
from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.methods.stir import STIRModule
from spike_zoo.callbacks.checkpoints import AtomicCheckpointIO

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
module = STIRModule(width=0.25, lpips="off")
for write in (
    lambda: AtomicCheckpointIO().save_checkpoint({"state_dict": module.state_dict()}, sys.argv[1]),
    lambda: save_weights(module, sys.argv[1]),
):
    try:
        write()
    except RecordingError as error:
        print(error)
"""


def test_a_full_disk_is_reported_on_one_line_and_the_previous_file_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "last.ckpt"
    target.write_bytes(b"the one before")
    process = run_python(FULL_DISK, str(target))
    line = f"{target}: cannot be written (File too large)"
    assert [message[: len(line)] for message in process.stdout.splitlines()] == [line, line], (
        process.stderr
    )
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


@pytest.mark.parametrize("verb", ["fit", "validate", "test", "predict"])
@pytest.mark.parametrize("place", ["class", "recorded class", "argument", "nested argument"])
def test_classes_named_by_a_checkpoint_are_not_imported(
    archive: list[str],
    tmp_path: Path,
    marker: str,
    verb: str,
    place: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    contents: dict[str, dict[str, Any]] = {
        "class": {"hyper_parameters": {"_class_path": marker}, "spike_zoo": {}},
        "recorded class": {"spike_zoo": {"class_path": marker, "hyper_parameters": {}}},
        "argument": {"spike_zoo": {"hyper_parameters": {"lpips": {"class_path": marker}}}},
        "nested argument": {
            "spike_zoo": {"hyper_parameters": {"protocols": [{"class_path": marker}]}}
        },
    }
    crafted = write_checkpoint(tmp_path / "crafted.ckpt", **contents[place])
    call = [verb, *TEST, *archive, "--ckpt_path", str(crafted), "--run_dir", str(tmp_path / "run")]
    assert main(call) == 1
    assert MARKER not in sys.modules
    assert "crafted.ckpt: " in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_class_named_by_the_user_loads_weights_of_its_base_class(
    archive: list[str], tmp_path: Path, marker: str
) -> None:
    weights = write_checkpoint(tmp_path / "weights.ckpt")
    call = ["test", *TEST, *archive, "--model", marker, "--ckpt_path", str(weights)]
    assert main([*call, "--run_dir", str(tmp_path / "run")]) == 0
    record = RunResult.read(tmp_path / "run" / "test")
    assert record.config["model"]["class_path"] == marker
    assert record.config["model"]["init_args"]["width"] == 0.25


def test_the_command_line_overrides_the_checkpoint_which_overrides_files(
    archive: list[str], tmp_path: Path
) -> None:
    weights = write_checkpoint(tmp_path / "weights.ckpt")
    call = ["test", *TEST, *archive, "--ckpt_path", str(weights), "--model.protocols=[stir]"]
    assert main([*call, "--run_dir", str(tmp_path / "run")]) == 0
    record = RunResult.read(tmp_path / "run" / "test")
    assert "test/psnr_stir" in record.metrics, "the checkpoint has no protocols"
    assert record.config["model"]["init_args"]["width"] == 0.25, "the configuration sets 1"
    assert record.config["model"]["init_args"]["protocols"] == ["stir"]


def test_a_checkpoint_of_another_width_than_the_command_line_is_rejected_on_one_line(
    archive: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_checkpoint(tmp_path / "weights.ckpt")
    call = ["test", *TEST, *archive, "--ckpt_path", str(weights), "--model.width", "0.5"]
    assert main([*call, "--run_dir", str(tmp_path / "run")]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "do not fit" in errors[0]


def test_resuming_a_fit_from_weights_only_is_rejected(
    archive: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_checkpoint(tmp_path / "weights.ckpt")
    call = ["fit", *TEST, *archive, "--ckpt_path", str(weights)]
    assert main([*call, "--run_dir", str(tmp_path / "run")]) == 1
    assert "weights.ckpt: contains only weights" in capsys.readouterr().err


def test_tests_of_two_checkpoints_have_different_digests(
    archive: list[str], tmp_path: Path
) -> None:
    records = []
    for seed in (0, 1):
        weights = write_checkpoint(tmp_path / f"{seed}.ckpt", seed)
        run_dir = tmp_path / f"run{seed}"
        call = ["test", *TEST, *archive, "--ckpt_path", str(weights), "--run_dir", str(run_dir)]
        assert main(call) == 0
        records.append(RunResult.read(run_dir / "test"))
    assert records[0].config_hash != records[1].config_hash
    assert records[0].checkpoint_sha256 != records[1].checkpoint_sha256


def test_exported_weights_give_the_metrics_of_the_checkpoint(
    archive: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    assert results[export].metrics == results[checkpoint].metrics
    assert results[export].parameters == results[checkpoint].parameters, (
        "the width is read from the export"
    )
    assert results[export].checkpoint == str(export)
    capsys.readouterr()
    line = [*TEST, *archive, "--run_dir", str(tmp_path / "fit"), "--ckpt_path", str(export)]
    assert main(["fit", *line]) == 1
    assert "small.safetensors: contains only weights" in capsys.readouterr().err
