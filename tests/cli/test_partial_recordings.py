"""Tests of commands with ``.dat`` files of cameras, which are cut inside a plane."""

from pathlib import Path

import numpy as np
import pytest

from spike_zoo.archive import SpikeArchive
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.formats import write_recording
from tests.helpers.commands import Zoo
from tests.helpers.streams import random_spikes

SPIKES = random_spikes(70, 40, 48)


@pytest.mark.parametrize(
    "line",
    [
        "info cut.dat",
        "reconstruct cut.dat --out a.png --rate-scale 0.6",
        "compress cut.dat --out a.spl",
        "archive build cut.dat a.h5 --jobs 1",
    ],
)
def test_an_incomplete_last_plane_is_dropped_only_on_request_and_with_a_warning(
    line: str, zoo: Zoo
) -> None:
    path = write_recording(SPIKES, "cut.dat")
    path.write_bytes(path.read_bytes()[:-7])
    line += " --height 40 --width 48"
    result = zoo(line)
    assert result.code == 1
    assert "69 planes and 233 bytes over" in result.err
    dropped = "dropped the last 233 bytes, an incomplete plane of 40x48 after 69 whole planes"
    with pytest.warns(UserWarning, match=dropped):
        assert zoo(f"{line} --allow-partial").code == 0
    if Path("a.spl").exists():
        np.testing.assert_array_equal(lossless.read("a.spl")[:], SPIKES[:69])
    if Path("a.h5").exists():
        with SpikeArchive("a.h5") as archive:
            np.testing.assert_array_equal(archive["cut"][:], SPIKES[:69])
