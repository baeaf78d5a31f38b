"""Tests of the public methods of SCICodec."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from spike_zoo.coding import BitstreamError, BitstreamReader
from spike_zoo.coding.errors import ModelMismatchError
from spike_zoo.errors import UsageError
from spike_zoo.methods.sci import SCICodec
from spike_zoo.methods.sci.codec.bitstream import DecodedBitstream, payloads
from spike_zoo.methods.sci.codec.networks import FeatureStream
from spike_zoo.methods.sci.features.blocks import warp_features
from spike_zoo.nn.precision import fast_precision
from tests.methods.sci.codecs import COLUMNS, HEIGHT, features_of, recording


def test_decompress_returns_features_and_motion_of_every_window(
    codec: SCICodec, stream: bytes, decoded: DecodedBitstream, tmp_path: Path
) -> None:
    assert decoded.features.shape == (10, 3, HEIGHT, COLUMNS)
    assert decoded.motion.shape == (10, 2, HEIGHT, COLUMNS)
    assert decoded.features.dtype == decoded.motion.dtype == torch.float32
    assert 0 <= decoded.features.min() <= decoded.features.max() <= 1
    assert decoded.feature_index == tuple(range(10))
    assert decoded.planes == tuple(range(6, 70, 7))
    assert decoded.errors == ()
    is_still = [not motion.any() for motion in decoded.motion]
    assert is_still == [index % 4 == 0 for index in range(10)]
    path = tmp_path / "street.sci"
    path.write_bytes(stream)
    assert torch.equal(codec.decompress(str(path)).features, decoded.features)


def test_decoding_does_not_depend_on_streams_decoded_before(codec: SCICodec) -> None:
    first, second = (codec.compress(recording(20, seed), quality=3) for seed in (3, 4))
    alone = codec.decompress(first).features
    codec.decompress(second)
    assert torch.equal(codec.decompress(first).features, alone)


def test_groups_are_encoded_as_soon_as_their_features_are_computed(
    codec: SCICodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows: list[int] = []
    feature = codec.feature

    def counting_feature(window: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        windows.append(len(window))
        return feature(window, scale)

    monkeypatch.setattr(codec, "feature", counting_feature)
    source = recording(41)
    header = codec.header(source, gop=2)
    counts = [len(windows) for _ in codec.compress_stream(source, header)]
    assert counts == [2, 4, 5]


def test_groups_are_decoded_lazily(
    codec: SCICodec, stream: bytes, decoded: DecodedBitstream
) -> None:
    later = bytearray(stream)
    later[-1] ^= 0xFF  # damage in the last group, which is not decoded yet
    groups = codec.decompress_stream(BitstreamReader(bytes(later)))
    for first in (0, 4):
        assert torch.equal(next(groups).features, decoded.features[first : first + 4])
    with pytest.raises(BitstreamError, match="group of pictures 2"):
        next(groups)


def test_the_rate_scale_changes_the_header_and_the_coded_features(codec: SCICodec) -> None:
    source = recording(13)
    usual = codec.compress(source)
    assert codec.compress(source, rate_scale=source.rate_scale) == usual
    brighter = codec.compress(source, rate_scale=0.3)
    assert BitstreamReader(brighter).header.rate_scale == pytest.approx(0.3)
    assert brighter[48:] != usual[48:]


def test_features_of_a_whole_clip_give_the_payloads_of_compress_stream(
    codec: SCICodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    # in bf16, on CPUs that are faster in it, rounding depends on the number of windows in a batch
    monkeypatch.setattr("spike_zoo.nn.precision.has_fast_bf16", lambda **_: False)
    source = recording(27)
    header = codec.header(source, quality=2, gop=5)
    with torch.no_grad(), fast_precision(torch.device("cpu")):
        features = features_of(codec, source)
    coded = list(payloads(codec, features, header))
    assert coded == list(codec.compress_stream(source, header))


def test_fmvr_changes_images_and_not_the_bitstream(
    codec: SCICodec, decoded: DecodedBitstream
) -> None:
    plain, source = copy.deepcopy(codec), recording(20)
    plain.fmvr = None
    assert plain.compress(source) == codec.compress(source)
    assert not torch.equal(plain.reconstruct(decoded), codec.reconstruct(decoded))


@pytest.mark.parametrize(
    ("option", "value"),
    [("context", "residual"), ("temporal_prior", "symbols"), ("temporal_prior", "none")],
)
def test_options_of_the_decoder_change_p_frames_and_the_model_digest(
    codec: SCICodec, stream: bytes, option: str, value: str
) -> None:
    other, source = copy.deepcopy(codec), recording(20)
    setattr(other.inter, option, value)
    with pytest.raises(ModelMismatchError):
        other.decompress(stream)
    coded = other.compress(source)
    assert BitstreamReader(coded).payload(0) != BitstreamReader(codec.compress(source)).payload(0)
    assert len(other.decompress(coded).features) == 2
    iframes = (BitstreamReader(model.compress(recording(13))) for model in (codec, other))
    assert next(iframes).payload(0) == next(iframes).payload(0)


def test_a_codec_of_four_passes_rejects_bitstreams_of_two(codec: SCICodec, stream: bytes) -> None:
    other = copy.deepcopy(codec)
    assert other.codec_networks is not None
    for model in (other.codec_networks.intra.entropy, other.codec_networks.inter.entropy.content):
        model.passes = 4
    with pytest.raises(ModelMismatchError):
        other.decompress(stream)
    source = recording(20)
    assert len(other.decompress(other.compress(source)).features) == 2


def test_residual_coding_of_zero_content_gives_the_warped_frame(codec: SCICodec) -> None:
    other = copy.deepcopy(codec)
    assert other.inter is not None
    other.inter.context = "residual"
    last: Any = other.get_submodule("inter.synthesis.at_full.3")
    for parameter in last.parameters():  # the decoded content is zero
        torch.nn.init.zeros_(parameter)
    decoded = other.decompress(other.compress(recording(20)))
    first, second = decoded.features.split(1)
    inner = ..., slice(4, -4), slice(4, -4)  # the codec warps padded frames
    warped_feature = warp_features(first, decoded.motion[1:])
    torch.testing.assert_close(second[inner], warped_feature[inner], rtol=0, atol=1e-4)


def test_other_types_than_recordings_are_rejected(codec: SCICodec) -> None:
    wrong: Any = "clip.dat"
    with pytest.raises(
        UsageError, match=r"expected a SpikeRecording.*read_recording\('clip.dat'\)"
    ):
        codec.compress(wrong)


def test_an_analysing_encoder_codes_images_and_its_decoder_shows_them(codec: SCICodec) -> None:
    codec, source = copy.deepcopy(codec), recording(41)
    codec.analysis = "encoder"
    spikes, scale = torch.from_numpy(source.read())[None], torch.tensor([source.rate_scale])
    image = codec(spikes, scale).clamp(0, 1)
    coded = FeatureStream(codec, source, float(scale)).coded(20)
    torch.testing.assert_close(coded, image.expand_as(coded), rtol=0, atol=0.02)  # bfloat16
    decoded = codec.decompress(codec.compress(source))
    assert torch.equal(codec.reconstruct(decoded), decoded.features.mean(dim=1, keepdim=True))
    assert len(codec.decompress(codec.compress(recording(13))).features) == 1  # no neighbours


@pytest.mark.parametrize("analysis", ["decoder", "encoder"])
def test_groups_encoded_alone_equal_those_of_the_whole_recording(
    codec: SCICodec, analysis: Any
) -> None:
    codec, source = copy.deepcopy(codec), recording(48)
    codec.analysis = analysis
    header = codec.header(source, gop=2)
    whole = list(codec.compress_stream(source, header))
    assert list(codec.compress_stream(source, header, groups=range(1, 3))) == whole[1:]
