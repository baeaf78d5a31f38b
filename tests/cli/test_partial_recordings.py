"""Commands that read recordings accept files of real cameras: cut inside a plane at either end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spike_zoo.archive import SpikeArchive
from spike_zoo.cli.main import main
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.formats import write_recording
from tests.helpers.streams import random_spikes

SPIKES = random_spikes(70, 40, 48)
SIZE = ["--height", "40", "--width", "48"]


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = write_recording(SPIKES, Path("cut.dat"))
    path.write_bytes(path.read_bytes()[:-7])
    return path


@pytest.mark.parametrize(
    "command",
    [
        ["info", "cut.dat"],
        ["reconstruct", "cut.dat", "--out", "a.png", "--rate-scale", "0.6"],
        ["compress", "cut.dat", "--lossless", "--out", "a.spl"],
        ["archive", "build", "cut.dat", "a.h5", "--jobs", "1"],
        ["report", "cut.dat", "--out", "a.html", "--methods", "tfi", "--rate-scale", "0.6"],
    ],
    ids=lambda command: command[0],
)
def test_an_incomplete_last_plane_is_dropped_only_on_request_and_with_a_warning(
    cut: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *SIZE]) == 1
    assert "69 planes and 233 bytes over" in capsys.readouterr().err
    dropped = "dropped the last 233 bytes, an incomplete plane of 40x48 after 69 whole planes"
    with pytest.warns(UserWarning, match=dropped):
        assert main([*command, *SIZE, "--allow-partial"]) == 0
    if Path("a.spl").exists():
        np.testing.assert_array_equal(lossless.read("a.spl")[:], SPIKES[:69])
    if Path("a.h5").exists():
        with SpikeArchive("a.h5") as archive:
            np.testing.assert_array_equal(archive["cut"][:], SPIKES[:69])


def test_a_rolled_picture_is_reported_until_its_offset_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rates = np.outer(np.linspace(0.1, 0.9, 40), np.linspace(0.3, 1, 48))
    spikes = np.random.default_rng(0).random((70, 40, 48)) < rates
    write_recording(np.roll(spikes, 12, axis=1), Path("board.dat"), flip=False)
    command = ["info", "board.dat", *SIZE]
    Path("board.dat.yaml").write_text("flip: false")
    with pytest.warns(UserWarning, match="rolled by 12 rows"):
        assert main(command) == 0
    Path("board.dat.yaml").write_text("flip: false\noffset: 72")
    with pytest.warns(UserWarning, match="incomplete plane") as caught:
        assert main([*command, "--allow-partial"]) == 0
    assert len(caught) == 1
    assert "69 of 48 x 40 pixels" in capsys.readouterr().out
