"""Tests of ``--safe``: only classes of this package, Lightning, torch and torchmetrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonargparse import _common as jsonargparse_settings

from spike_zoo.cli.main import main
from spike_zoo.tables.sweeps.line_reader import LineReader
from spike_zoo.training.libraries import import_trusted_only
from tests.conftest import ROOT

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _restored_parser_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder; restore the parser settings that --safe changes."""
    monkeypatch.chdir(tmp_path)
    for name in ("import_path_verdicts", "import_paths_enforced"):
        settings = jsonargparse_settings.parsing_settings
        monkeypatch.setitem(settings, name, settings[name])


def test_shipped_configurations_are_allowed() -> None:
    import_trusted_only()
    reader = LineReader()
    for path in CONFIGS:
        callback = "--trainer.callbacks+=lightning.pytorch.callbacks.LearningRateMonitor"
        plan, _, _ = reader.read("fit", ["--config", str(path), callback])
        assert plan.variant == path.stem


@pytest.mark.parametrize(
    "content",
    [
        "model: {class_path: os.system, init_args: {command: ls}}",
        "model: subprocess.Popen",
        "model: inner.yaml",
        "trainer: {callbacks: [{class_path: shutil.rmtree}]}",
        "trainer: {logger: {class_path: 'builtins.exec'}}",
        "model: mine.Module",
    ],
)
def test_other_classes_are_rejected_before_an_import(
    content: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("mine.py").write_text("raise SystemExit('imported')")
    Path("inner.yaml").write_text("class_path: os.system")
    Path("a.yaml").write_text(content)
    assert main(["fit", "--config", "a.yaml", "--safe"]) == 2
    assert "a.yaml: " in (error := capsys.readouterr().err)
    assert "--safe allows only classes" in error


@pytest.mark.parametrize(
    "argument",
    [
        "--model=os.system",
        "--model={class_path: os.system}",
        "--model=torch.os.system",
        "--model=lightning.pytorch.trainer.trainer.os.system",
        "--trainer.callbacks+=shutil.rmtree",
    ],
)
def test_other_classes_on_the_command_line_are_rejected(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", "stir", argument, "--safe"]) == 2
    assert "--safe allows only classes" in capsys.readouterr().err
