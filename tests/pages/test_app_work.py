"""Tests of the computations of the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from spike_zoo import SpikeArchive, read_recording, write_recording
from spike_zoo.coding import BitstreamReader
from spike_zoo.errors import MissingGeometryError, SpikeZooError, UsageError
from spike_zoo.media import load_picture
from spike_zoo.pages.app_work import (
    Source,
    candidate_sizes,
    error_message,
    example_archive,
    reconstruct_files,
    report_page,
    restore_file_name,
)
from spike_zoo.testing import pattern_take
from tests.helpers.bitstreams import bitstream, encode_symbols, random_symbols, small_header
from tests.helpers.codecs import SumsCodec
from tests.helpers.pages import page_data

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def street(tmp_path: Path) -> Path:
    take = pattern_take(0, planes=61, height=32, width=48)
    return write_recording(take.recording, tmp_path / "street.npz")


def test_the_built_in_scene_has_ground_truth_and_is_simulated_once(tmp_path: Path) -> None:
    path = example_archive(tmp_path)
    modified = path.stat().st_mtime_ns
    assert example_archive(tmp_path).stat().st_mtime_ns == modified
    (name,) = Source(path).names()
    with SpikeArchive(path) as archive:
        assert len(archive.images(name)) == 5
    html = report_page(Source(path), ["tfi"], 1, device="cpu", trust=False)
    (pictures, _) = page_data(html)
    assert [layer["name"] for layer in pictures["layers"]] == ["tfi", "ground truth"]


def test_a_picture_a_bitstream_and_a_video_are_written(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spike_zoo.checkpoints.loading.load", lambda *_, **__: SumsCodec())
    options = {"moment": 0.5, "codec": "sums", "device": "cpu", "trust": False}
    files, problems = reconstruct_files(Source(street), "tfi", tmp_path, **options)  # type: ignore[arg-type]
    assert problems == []
    assert load_picture(files[".png"]).shape == (1, 32, 48)
    assert files[".sci"].read_bytes().startswith(b"SCI2")
    assert files[".mp4"].stat().st_size > 1000


def test_a_codec_name_of_a_method_without_a_codec_is_reported_and_gives_no_bitstream(
    street: Path, tmp_path: Path
) -> None:
    options = {"moment": 0.0, "codec": "stir-small", "device": "cpu", "trust": False}
    files, problems = reconstruct_files(Source(street), "tfp", tmp_path, **options)  # type: ignore[arg-type]
    assert set(files) == {".png", ".mp4"}
    assert problems == ["no .sci file: stir-small: STIRModule does not compress"]


def test_a_raw_recording_needs_its_size(tmp_path: Path) -> None:
    original = pattern_take(0, planes=41).recording
    path = write_recording(original, tmp_path / "raw.dat")
    with pytest.raises(MissingGeometryError):
        Source(path).recording()
    _, height, width = original.shape
    recording = Source(path, height=height, width=width).recording()
    np.testing.assert_array_equal(recording.read(), original.read())


def test_a_bitstream_contains_no_recordings(tmp_path: Path) -> None:
    path = tmp_path / "a.sci"
    path.write_bytes(bitstream(small_header(1), [encode_symbols(random_symbols(9))]))
    assert Source(path).names() == []
    with pytest.raises(UsageError, match="contains no spikes"):
        Source(path).recording()


def test_the_only_size_that_fits_a_headerless_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(bytes(3 * 250 * 400 // 8))
    (fit,) = candidate_sizes(path) or []
    assert (fit.height, fit.width, fit.planes) == (250, 400, 3)
    path.write_bytes(bytes(7))
    assert candidate_sizes(path) == []
    (tmp_path / "a.dat.yaml").write_text("spike_h: 7\nspike_w: 8\n")
    assert candidate_sizes(path) is None, "its sidecar states it"
    assert candidate_sizes(tmp_path / "a.npz") is None


def test_messages_name_the_fields_and_no_folder_of_the_server(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(bytes(3 * 250 * 400 // 8))
    messages = []
    for wrong_fields in (
        {},
        {"height": 7, "width": 8000},
        {"height": 250, "width": 400, "rate_scale": 60},
    ):
        source = Source(path, **wrong_fields)  # type: ignore[arg-type]  # many types in one table
        with pytest.raises(SpikeZooError) as error:
            report_page(source, ["tfi"], 1, device="cpu", trust=False)
        messages.append(error_message(error.value, source))
    missing, partial, scale = messages
    assert "Fill in 'height (rows)' and 'width (columns)'" in missing
    assert "400 x 250 (3 planes)" in missing
    assert partial.startswith("a.dat: 37500 bytes is not a whole number of planes")
    assert scale.startswith("'spikes per plane at white' 60")
    for message in messages:
        assert "--" not in message
        assert str(tmp_path) not in message


def test_a_name_that_the_browser_escaped_is_restored_in_titles(tmp_path: Path) -> None:
    path = tmp_path / "my %22street%22.npz"
    write_recording(pattern_take(0, planes=61, height=32, width=48).recording, path)
    html = report_page(Source(restore_file_name(path)), ["tfi"], 1, device="cpu", trust=False)
    assert "<title>my &#34;street&#34;.npz</title>" in html
    assert "%22" not in html
    assert path.exists(), "the browser may still request it"
    assert restore_file_name(tmp_path / "plain.npz") == tmp_path / "plain.npz"


def test_files_of_a_recording_without_a_rate_scale_are_bright(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = SumsCodec()
    monkeypatch.setattr("spike_zoo.checkpoints.loading.load", lambda *_, **__: codec)
    spikes = np.zeros((61, 32, 48), bool)
    spikes[::5] = True
    np.save(tmp_path / "raw.npy", spikes)
    options = {"moment": 0.5, "codec": "sums", "device": "cpu", "trust": False}
    files, _ = reconstruct_files(Source(tmp_path / "raw.npy"), "tfi", tmp_path, **options)  # type: ignore[arg-type]
    assert load_picture(files[".png"]).min() > 0.8
    assert BitstreamReader(files[".sci"]).header.rate_scale == pytest.approx(0.2, abs=0.04)


def test_a_recording_with_filters_is_shown_in_colour(street: Path, tmp_path: Path) -> None:
    assert not Source(street).is_in_colour()
    source = Source(street, cfa="RGGB")
    assert source.is_in_colour()
    html = report_page(source, ["tfi-colour"], 1, device="cpu", trust=False)
    (pictures, *_) = page_data(html)
    assert [layer["name"] for layer in pictures["layers"]] == ["tfi-colour"]
    options = {"moment": 0.5, "codec": "sci", "device": "cpu", "trust": False}
    files, problems = reconstruct_files(source, "tfi-colour", tmp_path, **options)  # type: ignore[arg-type]
    assert load_picture(files[".png"]).shape == (3, 32, 48)
    assert "no .sci file" in problems[0]


def test_methods_in_colour_are_chosen_for_filters(street: Path, tmp_path: Path) -> None:
    from spike_zoo.pages.app_page import Setting, _Actions

    actions = _Actions(
        Setting(["tfi:average=9", "tfi-colour"], "sci", "cpu", trust=False, folder=tmp_path)
    )
    assert actions.on_upload(str(street))[-1] == ["tfi:average=9"]
    recording = read_recording(street, cfa="BGGR")
    path = write_recording(recording, tmp_path / "colour.npz")
    assert actions.on_upload(str(path))[-1] == ["tfi-colour"]
