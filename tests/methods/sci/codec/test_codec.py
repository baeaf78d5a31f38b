"""Tests of the public methods of SCICodec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from spike_zoo.coding import BitstreamError, BitstreamReader
from spike_zoo.errors import UsageError
from spike_zoo.methods.sci import SCICodec
from spike_zoo.methods.sci.codec.bitstream import payloads
from spike_zoo.methods.sci.codec.inter import Context, TemporalPrior
from spike_zoo.methods.sci.features.blocks import warped
from spike_zoo.tasks.protocols import Compresses, codec_from
from tests.methods.sci.codecs import COLUMNS, HEIGHT, features_of, lively_codec, recording


def test_a_codec_is_what_commands_ask_for(codec: SCICodec) -> None:
    assert isinstance(codec, Compresses)
    holder = torch.nn.Module()
    holder.codec = codec
    assert codec_from(holder, "--method mine") is codec


def test_what_comes_out_is_features_and_motion_of_every_window(
    codec: SCICodec, stream: bytes
) -> None:
    decoded = codec.decompress(stream)
    assert decoded.features.shape == (10, 3, HEIGHT, COLUMNS)
    assert decoded.motion.shape == (10, 2, HEIGHT, COLUMNS)
    assert decoded.features.dtype == decoded.motion.dtype == torch.float32
    assert decoded.features.min() >= 0
    assert decoded.features.max() <= 1
    assert decoded.feature_index == tuple(range(10))
    assert decoded.planes == tuple(range(6, 70, 7))
    assert decoded.errors == ()
    is_still = [not motion.any() for motion in decoded.motion]
    assert is_still == [index % 4 == 0 for index in range(10)]


def test_a_file_is_read_as_its_bytes_are(codec: SCICodec, stream: bytes, tmp_path: Path) -> None:
    path = tmp_path / "street.sci"
    path.write_bytes(stream)
    wanted = codec.decompress(stream).features
    assert torch.equal(codec.decompress(path).features, wanted)
    assert torch.equal(codec.decompress(str(path)).features, wanted)


def test_groups_of_one_are_i_frames_alone(codec: SCICodec) -> None:
    decoded = codec.decompress(codec.compress(recording(27), gop=1))
    assert not decoded.motion.any()
    assert len(decoded.features) == 3


def test_what_was_decoded_before_does_not_matter(codec: SCICodec) -> None:
    one, other = (codec.compress(recording(27, seed), quality=3) for seed in (3, 4))
    alone = codec.decompress(one).features
    for order in ([one, other], [other, one], [one, one]):
        found = [codec.decompress(data).features for data in order]
        assert torch.equal(found[order.index(one)], alone)


def test_groups_are_written_as_soon_as_their_planes_are_read(
    codec: SCICodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    feature = codec.feature

    def counted(window: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        made.append(len(window))
        return feature(window, scale)

    monkeypatch.setattr(codec, "feature", counted)
    seen = [len(made) for _ in codec.compress_stream(recording(), quality=2, gop=4)]
    assert seen == [4, 8, 10]


def test_groups_are_decoded_as_they_are_asked_for(codec: SCICodec, stream: bytes) -> None:
    whole, later = codec.decompress(stream), bytearray(stream)
    later[-1] ^= 0xFF  # damage in the last group, which is not decoded yet
    groups = codec.decompress_stream(BitstreamReader(bytes(later)))
    for first in (0, 4):
        assert torch.equal(next(groups).features, whole.features[first : first + 4])
    with pytest.raises(BitstreamError, match="group of pictures 2"):
        next(groups)


def test_the_rate_scale_is_luminance_and_so_changes_what_is_coded(codec: SCICodec) -> None:
    source = recording(27)
    usual = codec.compress(source)
    assert codec.compress(source, rate_scale=source.rate_scale) == usual
    brighter = codec.compress(source, rate_scale=0.3)
    assert BitstreamReader(brighter).header.rate_scale == pytest.approx(0.3)
    assert brighter[48:] != usual[48:]


def test_features_are_those_that_clips_are_seen_by(codec: SCICodec) -> None:
    source = recording(41)
    header = codec.header(source, quality=2, gop=5)
    made = list(payloads(codec, features_of(codec, source), header))
    assert made == list(codec.compress_stream(source, quality=2, gop=5))


def test_refining_motion_never_changes_a_bitstream(codec: SCICodec) -> None:
    plain, source = lively_codec(fmvr=False), recording(34)
    assert plain.fmvr is None
    made = codec.compress(source)
    assert plain.compress(source) == made
    decoded = plain.decompress(made)
    assert torch.equal(decoded.motion, codec.decompress(made).motion)
    assert not torch.equal(plain.reconstruct(decoded), codec.reconstruct(decoded))


@pytest.mark.parametrize(
    ("context", "temporal_prior"),
    [("residual", "full"), ("condition", "symbols"), ("condition", "none")],
)
def test_switches_of_the_codec_make_other_p_frames(
    codec: SCICodec, context: Context, temporal_prior: TemporalPrior
) -> None:
    other = lively_codec(context, temporal_prior)
    first, second = (BitstreamReader(one.compress(recording(27))) for one in (codec, other))
    assert second.payload(0) != first.payload(0)
    assert len(other.decompress(other.compress(recording(27))).features) == 3
    pictures = (BitstreamReader(one.compress(recording(13))) for one in (codec, other))
    assert next(pictures).payload(0) == next(pictures).payload(0)  # I-frames are equal


def test_residual_coding_adds_what_was_warped() -> None:
    other = lively_codec("residual")
    last: Any = other.get_submodule("inter.synthesis.at_full.3")
    for parameter in last.parameters():  # the decoded content is zero
        torch.nn.init.zeros_(parameter)
    decoded = other.decompress(other.compress(recording(20)))
    first, second = decoded.features.split(1)
    inner = ..., slice(4, -4), slice(4, -4)  # the codec warps padded frames
    moved = warped(first, decoded.motion[1:])
    torch.testing.assert_close(second[inner], moved[inner], rtol=0, atol=1e-4)


def test_what_is_no_recording_is_not_coded(codec: SCICodec) -> None:
    wrong: Any = "clip.dat"
    with pytest.raises(UsageError, match=r"no recording .*read_recording\('clip.dat'\)"):
        codec.compress(wrong)
