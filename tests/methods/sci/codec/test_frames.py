"""Tests of encoding and decoding of frames: closed loop, modes, gaps and independent groups."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch

from spike_zoo.coding import GroupDecoder, GroupEncoder
from spike_zoo.methods.sci import FEM, MotionEstimation, SCICodec
from spike_zoo.methods.sci.codec.bitstream import exact_context
from spike_zoo.methods.sci.codec.entropy import DecodedLatent
from spike_zoo.methods.sci.codec.frames import (
    CodecNetworks,
    DecodedFrame,
    PFrameEncoder,
    decode_frames,
    encode_frames,
    interpolated,
)
from spike_zoo.methods.sci.codec.inter import MODES, FrameMode, ReferenceFrame
from spike_zoo.methods.sci.codec.intra import LATENT, block_analysis, block_synthesis
from spike_zoo.methods.sci.codec.symbols import RateEstimator, SymbolDecoder, SymbolEncoder
from spike_zoo.metrics import psnr
from tests.methods.sci.codecs import COLUMNS, HEIGHT, WIDTH, features_of, recording

CPU, SIZE, FRAMES = torch.device("cpu"), (HEIGHT, COLUMNS), 9


def written(
    codec: SCICodec, features: list[torch.Tensor], weight: float | None = None, quality: int = 2
) -> tuple[bytes, list[DecodedFrame]]:
    """Encode a group, and return its payload and the frames decoded by the encoder."""
    encoder = GroupEncoder()
    assert codec.coding is not None
    with exact_context(CPU):
        frames = list(
            encode_frames(
                codec.coding,
                SymbolEncoder(encoder),
                features,
                quality,
                estimation=codec.motion,
                weight=weight,
            )
        )
    return encoder.finish(), frames


def read(codec: SCICodec, payload: bytes, count: int) -> list[DecodedFrame]:
    decoder = GroupDecoder(payload, 0)
    assert codec.coding is not None
    with exact_context(CPU):
        frames = list(decode_frames(codec.coding, SymbolDecoder(decoder, CPU), SIZE, 2, count))
    decoder.finish()
    return frames


def test_the_encoders_frames_are_the_decoders_bit_for_bit(codec: SCICodec) -> None:
    payload, ours = written(codec, features_of(codec, recording())[:FRAMES])
    theirs = read(codec, payload, FRAMES)
    assert len(ours) == len(theirs) == FRAMES  # an I-frame and 8 P-frames
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert torch.equal(one.feature, other.feature), number
        assert one.feature.shape == (1, 3, *SIZE)
        assert torch.equal(one.motion, other.motion), number
        assert bool(one.motion.any()) == (number > 0)


@pytest.fixture
def skipping(codec: SCICodec) -> SCICodec:
    """Return a codec with the option ``skip``."""
    skipping = copy.deepcopy(codec)
    assert skipping.inter is not None
    skipping.inter.skip = True
    return skipping


def test_a_scene_at_rest_costs_next_to_nothing_and_stays_as_it_is(skipping: SCICodec) -> None:
    still = [features_of(skipping, recording())[0]] * FRAMES
    payload, frames = written(skipping, still, weight=1e-3)
    alone, _ = written(skipping, still[:1], weight=1e-3, quality=3)  # the raised I-frame quality
    # two of eight P-frames are coded, with 4 bits each, in 16-bit words
    assert len(payload) - len(alone) <= 2
    for frame in frames:
        assert torch.allclose(frame.feature.clamp(0, 1), frames[0].feature.clamp(0, 1), atol=1e-5)
    for frame, other in zip(frames, read(skipping, payload, FRAMES), strict=True):
        assert torch.equal(frame.feature, other.feature)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_read_as_it_was_written(
    skipping: SCICodec, mode: FrameMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replace the costs, so that each mode is chosen."""
    of_parts = itertools.cycle([not mode.motion, 0.5, not mode.content, 0.5])
    of_gaps = itertools.cycle([0.0, 1.0])  # costs of a gap and of halves

    def cost(_: PFrameEncoder, bits: object, decoded: object, features: list[Any]) -> float:
        return float(next(of_parts if len(features) == 1 else of_gaps))

    monkeypatch.setattr(PFrameEncoder, "cost", cost)
    count = 2 + mode.gap
    payload, ours = written(skipping, features_of(skipping, recording())[:count], weight=1.0)
    theirs = read(skipping, payload, count)
    for number, (frame, other) in enumerate(zip(ours, theirs, strict=True)):
        assert torch.equal(frame.feature, other.feature)
        assert torch.equal(frame.motion, other.motion)
        assert bool(frame.motion.any()) == (number > 0 and mode.motion)
    if mode.gap and not (mode.motion or mode.content):
        still = ours[0].feature.clamp(0, 1)
        assert torch.allclose(ours[1].feature.clamp(0, 1), still, atol=1e-5)


def test_frames_that_are_left_out_lie_on_the_path_between_their_neighbours() -> None:
    """Interpolate a pattern that moves by 4 pixels to the right in 4 frames."""
    pattern = torch.rand(1, 3, 24, 64, generator=torch.Generator().manual_seed(0))
    frames = [pattern[..., 8 - number : 56 - number] for number in range(5)]
    motion = torch.tensor([-4.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 24, 48)
    nothing = DecodedLatent(*(torch.zeros(1),) * 2)
    before = ReferenceFrame(frames[0], nothing, nothing)
    found = interpolated(before, DecodedFrame(frames[4], motion, motion), 3)
    assert len(found) == 4
    for number, frame in enumerate(found, 1):
        inside = (slice(None), slice(None), slice(None), slice(4, -4))
        assert torch.allclose(frame.feature[inside], frames[number][inside], atol=1e-5)
        assert torch.equal(frame.motion, motion / 4)


def test_a_gap_longer_than_the_group_is_rejected(skipping: SCICodec) -> None:
    still = [features_of(skipping, recording())[0]] * 5
    payload, _ = written(skipping, still, weight=1e-3)  # one P-frame with a gap of 3
    with pytest.raises(ValueError, match="leaves out 3 frames of the 2 that remain"):
        read(skipping, payload, 3)


def test_the_encoder_chooses_the_cheapest_frame(skipping: SCICodec) -> None:
    """Compare the rate-distortion cost of the choice with that of coding all parts."""
    features = features_of(skipping, recording())[:2]
    weight, costs = 50.0, []
    for chosen in (weight, None):
        payload, frames = written(skipping, features, chosen)
        error = torch.nn.functional.mse_loss(frames[1].feature.clamp(0, 1), features[1])
        costs.append(8 * len(payload) / features[1][:, 0].numel() + weight * float(error))
    assert costs[0] <= costs[1] + 0.02  # payloads are whole 16-bit words


def test_counting_estimates_the_choices_that_a_stream_holds(skipping: SCICodec) -> None:
    features = features_of(skipping, recording())[:6]
    payload, wanted = written(skipping, features, weight=64.0)
    for one, other in zip(read(skipping, payload, 6), wanted, strict=True):
        assert torch.equal(one.feature, other.feature)
    assert skipping.coding is not None
    options: Any = {"weight": 64.0, "estimation": skipping.motion}
    with exact_context(CPU):
        symbols = RateEstimator(is_exact=True)
        counted = encode_frames(skipping.coding, symbols, features, 2, **options)
        for one, other in zip(counted, wanted, strict=True):
            assert torch.equal(one.feature, other.feature)


@pytest.mark.parametrize(("block_transform", "low", "high"), [(True, 30, 60), (False, 5, 20)])
def test_an_untrained_block_transform_codes_a_smooth_feature(
    block_transform: bool, low: float, high: float
) -> None:
    options = {"fmvr": False, "block_transform": block_transform}
    coding = CodecNetworks.of_width(WIDTH, "condition", "full", **options)
    codec = SCICodec(FEM(WIDTH), MotionEstimation(WIDTH), coding=coding).eval()
    codec.update_tables()
    rows, columns = torch.linspace(0.1, 0.9, HEIGHT), torch.linspace(0.4, 0.1, COLUMNS)
    feature = (0.5 * rows[:, None] + columns).expand(1, 3, -1, -1)
    payload, (ours,) = written(codec, [feature])
    (theirs,) = read(codec, payload, 1)
    assert torch.equal(ours.feature, theirs.feature)
    assert low < float(psnr(ours.feature.clamp(0, 1), feature)) < high


def test_a_block_transform_of_full_width_has_all_frequencies_of_a_block() -> None:
    blocks = torch.rand(1, 1, 32, 48).expand(-1, 3, -1, -1)
    restored = block_synthesis(LATENT)(block_analysis(LATENT)(blocks))
    assert torch.allclose(restored, blocks, atol=1e-5)


def test_a_p_frame_depends_on_the_decoded_frame_before_it(codec: SCICodec) -> None:
    features = features_of(codec, recording())
    _, usual = written(codec, features[:2])
    _, other = written(codec, [1 - features[0], features[1]])
    assert not torch.equal(usual[1].feature, other[1].feature)
