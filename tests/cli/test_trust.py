"""Tests of ``--trust``: classes of other packages are imported only with this option."""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

import spike_zoo
from spike_zoo import SpikeRecording, write_recording
from spike_zoo.cli.main import COMMANDS, main
from spike_zoo.media import save_picture
from tests.helpers.codecs import SumsCodec
from tests.helpers.marking import MARK, write_marking

if TYPE_CHECKING:
    from pathlib import Path

CALLS = {
    "reconstruct": ["street.npz", "--method", "marking.ckpt", "--out", "out.png"],
    "deblur": ["blurry.png", "street.npz", "--weights", "marking.ckpt", "--out", "out.png"],
    "classify": ["street.npz", "--method", "marking.ckpt"],
    "compress": ["street.npz", "--method", "marking.ckpt", "--out", "out.sci"],
    "decompress": ["street.sci", "--method", "marking.ckpt", "--out", "out.npz"],
    "report": ["street.npz", "--methods", "marking.ckpt", "--out", "out.html"],
    "export": ["marking.ckpt", "out.safetensors"],
}


@pytest.fixture(autouse=True)
def _in_a_folder_with_an_untrusted_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spikes = np.zeros((70, 6, 8), dtype=bool)
    recording = SpikeRecording.from_planes(spikes, rate_scale=0.6)
    write_recording(recording, tmp_path / "street.npz")
    (tmp_path / "street.sci").write_bytes(SumsCodec().compress(recording))
    save_picture(np.zeros((3, 24, 32), np.float32), tmp_path / "blurry.png")
    write_marking(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # like python -m
    monkeypatch.delitem(sys.modules, "marking", raising=False)


@pytest.mark.parametrize("command", CALLS)
def test_a_class_of_another_package_is_imported_only_with_trust(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, *CALLS[command]]) == 1
    assert "add --trust if you trust the file and know the package 'marking'" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / MARK).exists()
    assert main([command, *CALLS[command], "--trust"]) == 0
    assert (tmp_path / MARK).exists()
    assert list(tmp_path.glob("out.*")) or capsys.readouterr().out.startswith("marked")


@pytest.mark.parametrize("command", CALLS)
def test_a_configuration_in_the_run_folder_makes_no_class_trusted(
    command: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (tmp_path / "marking.ckpt").rename(folder / "marking.ckpt")
    (tmp_path / "run" / "config.yaml").write_text("model: {class_path: marking.Marking}\n")
    arguments = [
        word.replace("marking.ckpt", "run/checkpoints/marking.ckpt") for word in CALLS[command]
    ]
    assert main([command, *arguments]) == 1
    assert not (tmp_path / MARK).exists()


def test_every_command_that_loads_a_method_has_the_trust_option() -> None:
    commands = set()
    for name, (target, _) in COMMANDS.items():
        for path in [target] if isinstance(target, str) else target.values():
            home, _, function = path.partition(":")
            module = importlib.import_module(home)
            source = inspect.getsource(module)
            import_lines = ("loading import load", "sources import report_of")
            imports_it = any(line in source for line in import_lines)
            if imports_it or getattr(module, "load", None) is spike_zoo.load:
                commands.add(name)
                assert "trust" in inspect.signature(getattr(module, function)).parameters
    assert set(CALLS) <= commands
