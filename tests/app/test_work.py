"""What the app makes of what is dropped on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from spike_zoo import SpikeArchive, write_recording
from spike_zoo.app.work import Source, built_in, files_of, page_of
from spike_zoo.errors import MissingGeometryError, UsageError
from spike_zoo.media import load_picture
from spike_zoo.testing import pattern_take
from tests.helpers.bitstreams import bitstream, coded, random_symbols, small_header
from tests.helpers.codecs import SumsCodec
from tests.helpers.pages import shown_on

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def street(tmp_path: Path) -> Path:
    take = pattern_take(0, planes=61, height=32, width=48)
    return write_recording(take.recording, tmp_path / "street.npz")


def test_the_built_in_scene_has_a_truth_and_is_made_once(tmp_path: Path) -> None:
    path = built_in(tmp_path)
    made = path.stat().st_mtime_ns
    assert built_in(tmp_path).stat().st_mtime_ns == made
    (name,) = Source(path).names()
    with SpikeArchive(path) as archive:
        assert len(archive.images(name)) == 5
    html = page_of(Source(path), ["tfi"], 1, device="cpu", trust=False)
    (pictures, _) = shown_on(html)
    assert [layer["name"] for layer in pictures["layers"]] == ["tfi", "ground truth"]


def test_files_show_the_recording(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spike_zoo.methods.loading.load", lambda *_, **__: SumsCodec())
    wanted = {"moment": 0.5, "codec": "sums", "device": "cpu", "trust": False}
    files, problems = files_of(Source(street), "tfi", tmp_path, **wanted)  # type: ignore[arg-type]
    assert problems == []
    assert load_picture(files[".png"]).shape == (1, 32, 48)
    assert files[".sci"].read_bytes().startswith(b"SCI1")
    assert files[".mp4"].stat().st_size > 1000


def test_a_method_without_a_codec_makes_no_bitstream_and_says_so(
    street: Path, tmp_path: Path
) -> None:
    wanted = {"moment": 0.0, "codec": "stir-small", "device": "cpu", "trust": False}
    files, problems = files_of(Source(street), "tfp", tmp_path, **wanted)  # type: ignore[arg-type]
    assert set(files) == {".png", ".mp4"}
    assert problems == ["no .sci file: stir-small: STIRModule does not compress"]


def test_raw_bits_need_their_size(tmp_path: Path) -> None:
    path = write_recording(pattern_take(0, planes=41).recording, tmp_path / "raw.dat")
    with pytest.raises(MissingGeometryError):
        Source(path).recording()
    _, height, width = pattern_take(0, planes=41).recording.shape
    read = Source(path, height=height, width=width).recording()
    np.testing.assert_array_equal(read.shape, (41, height, width))


def test_a_bitstream_has_a_page_and_no_spikes(tmp_path: Path) -> None:
    path = tmp_path / "a.sci"
    path.write_bytes(bitstream(small_header(1), [coded(random_symbols(9))]))
    assert Source(path).names() == []
    with pytest.raises(UsageError, match="holds no spikes any more"):
        Source(path).recording()
