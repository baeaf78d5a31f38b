"""Tests of ``--trust``: classes of other packages are imported only with this option."""

import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

from spike_zoo import SpikeRecording, write_recording
from spike_zoo.cli.main import COMMANDS, imported
from spike_zoo.media import save_image
from tests.helpers.codecs import SumsCodec
from tests.helpers.commands import Zoo
from tests.helpers.marking import MARK, write_marking

LINES = (
    "reconstruct street.npz --method marking.ckpt --out out.png",
    "deblur blurry.png street.npz --method marking.ckpt --out out.png",
    "classify street.npz --method marking.ckpt",
    "compress street.npz --method marking.ckpt --out out.sci",
    "decompress street.sci --method marking.ckpt --out out.npz",
    "report street.npz --methods marking.ckpt --out out.html",
    "export marking.ckpt out.safetensors",
)


@pytest.fixture(autouse=True)
def _untrusted_checkpoint(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = SpikeRecording.from_planes(np.zeros((70, 6, 8), dtype=bool), rate_scale=0.6)
    write_recording(recording, "street.npz")
    Path("street.sci").write_bytes(SumsCodec().compress(recording))
    save_image(np.zeros((3, 24, 32), np.float32), Path("blurry.png"))
    write_marking(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # like python -m
    monkeypatch.delitem(sys.modules, "marking", raising=False)


@pytest.mark.parametrize("line", LINES)
def test_a_class_of_another_package_is_imported_only_with_trust(line: str, zoo: Zoo) -> None:
    result = zoo(line)
    assert result.code == 1
    assert "add --trust if you trust the file and know the package 'marking'" in result.err
    assert not Path(MARK).exists()
    result = zoo(f"{line} --trust")
    assert result.code == 0
    assert Path(MARK).exists()
    assert list(Path().glob("out.*")) or result.out.startswith("marked")


def test_a_configuration_in_the_run_folder_makes_no_class_trusted(zoo: Zoo) -> None:
    folder = Path("run/checkpoints")
    folder.mkdir(parents=True)
    Path("marking.ckpt").rename(folder / "marking.ckpt")
    Path("run/config.yaml").write_text("model: {class_path: marking.Marking}\n")
    assert zoo(LINES[0].replace("marking.ckpt", "run/checkpoints/marking.ckpt")).code == 1
    assert not Path(MARK).exists()


def test_every_command_that_loads_a_method_has_the_trust_option() -> None:
    marks = ("load_method", "loading import load", "sources import report_of")
    commands = set()
    for name, target in COMMANDS.items():
        for command in [imported(target)] if isinstance(target, str) else imported(target).values():
            source = inspect.getsource(sys.modules[command.__module__])
            if any(mark in source for mark in marks):
                commands.add(name)
                assert "trust" in inspect.signature(command).parameters
    assert {line.split()[0] for line in LINES} <= commands
