"""Tests of encoding and decoding of frames: closed loop, modes, gaps and independent groups."""

import copy
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import pytest
import torch
from torch import Tensor

import spike_zoo
from spike_zoo.coding.rans import GroupDecoder, GroupEncoder
from spike_zoo.methods.sci import FEM, SCI, SCICodec
from spike_zoo.methods.sci.codec import frame_encoder
from spike_zoo.methods.sci.codec.bitstream import digest_of, exact_context
from spike_zoo.methods.sci.codec.entropy import DecodedLatent, FrameCoder
from spike_zoo.methods.sci.codec.frame_encoder import DecodedFrame, FrameEncoder, interpolated
from spike_zoo.methods.sci.codec.frames import CodecNetworks, decode_frames, encode_frames
from spike_zoo.methods.sci.codec.inter import MODE_STOPS, FrameMode, Inter, ReferenceFrame
from spike_zoo.methods.sci.codec.intra import LATENT, STRIDE, block_analysis, block_synthesis
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import RateEstimator, SymbolDecoder, SymbolEncoder
from spike_zoo.methods.sci.features.motion_estimation import MotionEstimation
from spike_zoo.metrics import psnr
from spike_zoo.metrics.flow import end_point_error
from spike_zoo.nn.padding import pad_to_multiple
from spike_zoo.testing import pattern_take
from tests.methods.sci.codecs import COLUMNS, HEIGHT, WIDTH, features_of

CPU, SIZE, FRAMES = torch.device("cpu"), (HEIGHT, COLUMNS), 9


def encode_group(
    codec: SCICodec, features: list[torch.Tensor], weight: float | None = None, quality: int = 2
) -> tuple[bytes, list[DecodedFrame]]:
    """Encode a group, and return its payload and the frames decoded by the encoder."""
    encoder = GroupEncoder()
    assert codec.codec_networks is not None
    with exact_context(CPU):
        options: Any = {"estimation": codec.motion, "weight": weight}
        symbols = SymbolEncoder(encoder)
        frames = list(encode_frames(codec.codec_networks, symbols, features, quality, **options))
    return encoder.finish(), frames


def decode_group(
    codec: SCICodec, payload: bytes, count: int, quality: int = 2
) -> list[DecodedFrame]:
    decoder = GroupDecoder(payload, 0)
    assert codec.codec_networks is not None
    with exact_context(CPU):
        symbols = SymbolDecoder(decoder, CPU)
        frames = list(decode_frames(codec.codec_networks, symbols, SIZE, quality, count))
    decoder.finish()
    return frames


@pytest.fixture(scope="module")
def skipping(codec: SCICodec) -> SCICodec:
    """Return a codec with the options ``skip`` and ``passes: 4``."""
    skipping = copy.deepcopy(codec)
    assert skipping.codec_networks is not None
    intra, inter, _, _ = skipping.codec_networks
    inter.skip = True
    for model in (intra.entropy, inter.entropy.motion, inter.entropy.content):
        model.passes = 4
    return skipping


def test_p_frames_of_a_still_scene_take_at_most_2_bytes_and_do_not_change_it(
    skipping: SCICodec, features: list[Tensor]
) -> None:
    still = [features[0]] * FRAMES
    payload, frames = encode_group(skipping, still, weight=1e-3)
    # the encoder raises the quality of the I-frame by 1
    alone, _ = encode_group(skipping, still[:1], weight=1e-3, quality=3)
    # one of eight P-frames is coded, with 6 bits, in 16-bit words
    assert len(payload) - len(alone) <= 2
    for frame in frames:
        assert torch.allclose(frame.feature.clamp(0, 1), frames[0].feature.clamp(0, 1), atol=1e-5)
    for frame, other in zip(frames, decode_group(skipping, payload, FRAMES), strict=True):
        assert torch.equal(frame.feature, other.feature)


def begin_group(
    codec: SCICodec, encoder: GroupEncoder, features: list[Tensor]
) -> tuple[Inter, SymbolEncoder, FrameCoder, ReferenceFrame, Tensor]:
    """Encode an I-frame; return parts of the coder, the reference and the next padded feature."""
    assert codec.codec_networks is not None
    intra, inter, gains, _ = codec.codec_networks
    first, following = (pad_to_multiple(feature, STRIDE) for feature in features[:2])
    symbols = SymbolEncoder(encoder)
    coder = FrameCoder(symbols, gains, 3)
    symbols.number(0, 2)  # the I-frame has the quality of the group
    before = inter.start(intra.encode(coder, first, None).clamp(0, 1))
    return inter, symbols, coder, before, following


MODES = [FrameMode(*parts) for parts in itertools.product(*map(range, MODE_STOPS))]  # type: ignore[arg-type]
FAST_MODES = FrameMode(False, False, True, 1), FrameMode(True, False, False, 7)


@pytest.mark.parametrize(
    "mode",
    [mode if mode in FAST_MODES else pytest.param(mode, marks=pytest.mark.slow) for mode in MODES],
)
def test_every_mode_is_decoded_as_encoded(
    skipping: SCICodec, features: list[Tensor], mode: FrameMode
) -> None:
    encoder = GroupEncoder()
    with exact_context(CPU):
        inter, symbols, coder, before, last = begin_group(skipping, encoder, features)
        generator = torch.Generator().manual_seed(0)
        motion = 2 + torch.rand(1, 2, *last.shape[-2:], generator=generator)
        inter.encode_mode(symbols, mode)
        frame = inter.continue_motion(before, mode.gap)
        if mode.affine:
            frame = inter.encode_affine(coder, last, motion, before, mode.gap)
        if mode.motion:
            frame = inter.encode_motion(coder, motion, frame, before)
        if mode.content:
            frame = inter.encode_content(coder, last, frame, before)
    encoded = interpolated(before, DecodedFrame(frame.feature, frame.motion), mode.gap)
    start, *decoded = decode_group(skipping, encoder.finish(), 2 + mode.gap, quality=3)
    for ours, theirs in zip(encoded, decoded, strict=True):
        assert torch.equal(ours.cropped(SIZE).feature, theirs.feature)
        assert torch.equal(ours.cropped(SIZE).motion, theirs.motion)
        assert bool(theirs.motion.any()) == bool(mode.affine or mode.motion)
        if not any(mode[:3]):
            torch.testing.assert_close(theirs.feature.clamp(0, 1), start.feature.clamp(0, 1))


def test_affine_motion_that_is_not_coded_again_continues(
    skipping: SCICodec, features: list[Tensor]
) -> None:
    encoder, expected = GroupEncoder(), torch.tensor([3.0, -1.5]).view(1, 2, 1, 1)
    with exact_context(CPU):
        inter, symbols, coder, start, last = begin_group(skipping, encoder, features)
        motion = expected.expand(1, 2, *last.shape[-2:])
        inter.encode_mode(symbols, FrameMode(True, False, False, 0))
        before = inter.encode_affine(coder, last, motion, start, 0).reference(0)
        inter.encode_mode(symbols, FrameMode(False, False, False, 2))
        frame = inter.continue_motion(before, 2)
    _, *decoded = decode_group(skipping, encoder.finish(), 5, quality=3)
    for number, theirs in enumerate(decoded):
        assert torch.allclose(theirs.motion, expected.expand_as(theirs.motion), atol=0.5), number
        torch.testing.assert_close(theirs.motion, decoded[0].motion)
    ours = DecodedFrame(frame.feature, frame.motion).cropped(SIZE)
    assert torch.equal(ours.feature, decoded[-1].feature)


def test_omitted_frames_are_interpolated_along_the_motion() -> None:
    """Interpolate a pattern that moves by 4 pixels to the right in 4 frames."""
    pattern = torch.rand(1, 3, 24, 64, generator=torch.Generator().manual_seed(0))
    frames = [pattern[..., 8 - number : 56 - number] for number in range(5)]
    motion = torch.tensor([-4.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 24, 48)
    empty_latent = DecodedLatent(*(torch.zeros(1),) * 2)
    before = ReferenceFrame(frames[0], torch.zeros(1, 6, 1, 1), empty_latent, empty_latent)
    interpolated_frames = interpolated(before, DecodedFrame(frames[4], motion, motion), 3)
    assert len(interpolated_frames) == 4
    for number, frame in enumerate(interpolated_frames, 1):
        inside = (slice(None), slice(None), slice(None), slice(4, -4))
        assert torch.allclose(frame.feature[inside], frames[number][inside], atol=1e-5)
        assert torch.equal(frame.motion, motion / 4)


def test_a_gap_longer_than_the_group_is_rejected(
    skipping: SCICodec, features: list[Tensor]
) -> None:
    still = features[:1] * 5
    payload, _ = encode_group(skipping, still, weight=1e-3)  # one P-frame with a gap of 3
    with pytest.raises(ValueError, match="leaves out 3 frames of the 2 that remain"):
        decode_group(skipping, payload, 3)


@pytest.fixture(scope="module")
def shipped() -> SCICodec:
    """Return the codec of the weights ``sci``."""
    return cast("SCI", spike_zoo.load("sci")).codec


def event_features(event: str) -> tuple[list[Tensor], Tensor]:
    """Return five or nine features, of which every fourth is without the event, and its pixels."""
    rows, columns = torch.arange(64)[:, None], torch.arange(64)[None]
    background = 0.3 + 0.2 * ((rows // 8 + columns // 8) % 2)
    lamp = (rows - 32) ** 2 + (columns - 32) ** 2 < 100
    never = torch.zeros_like(lamp)
    bars = [(columns - left).clamp(0, 3) == columns - left for left in (6, 28, 50)]
    shown = {
        "flash": [never, never, lamp, lamp, never],
        "blinking": [never, lamp, lamp, never, never, lamp, lamp, never, never],
        "thin fast bar": [never, *bars, never],
    }[event]
    features = [torch.where(pixels, 0.95, background) for pixels in shown]
    pixels = torch.stack(torch.broadcast_tensors(*shown)).any(dim=0)
    return [feature.expand(1, 3, -1, -1) for feature in features], pixels


def coded_cost(
    codec: SCICodec, features: list[Tensor], quality: int, *, chooses: bool
) -> tuple[float, Tensor]:
    """Return the rate-distortion cost of a group, and the decoded features ``(n, 3, H, W)``."""
    assert codec.codec_networks is not None
    weight, symbols = codec.rd_weights[quality], RateEstimator(is_exact=True)
    options: Any = {"estimation": codec.motion, "weight": weight if chooses else None}
    with exact_context(CPU):
        frames = list(encode_frames(codec.codec_networks, symbols, features, quality, **options))
    decoded = torch.cat([frame.feature.clamp(0, 1) for frame in frames])
    errors = (decoded - torch.cat(features)).square().mean(dim=(1, 2, 3))
    return float(symbols.bits) / features[0][0, 0].numel() + weight * float(errors.sum()), decoded


EventCost = Callable[[str, int], tuple[float, Tensor]]


@pytest.fixture(scope="module")
def event_cost(shipped: SCICodec) -> EventCost:
    """Return a function that codes an event at a quality once, and returns its coded cost."""

    @functools.cache
    def cost(event: str, quality: int) -> tuple[float, Tensor]:
        return coded_cost(shipped, event_features(event)[0], quality, chooses=True)

    return cost


by_event = pytest.mark.parametrize(
    ("event", "qualities"),
    [
        ("flash", (0, 3)),
        pytest.param("blinking", range(4), marks=pytest.mark.slow),
        pytest.param("thin fast bar", range(4), marks=pytest.mark.slow),
    ],
)


@by_event
def test_short_events_between_equal_features_are_coded(
    event_cost: EventCost, event: str, qualities: Sequence[int]
) -> None:
    """Of the features that are encoded jointly, the last one equals the I-frame."""
    features, pixels = event_features(event)
    originals, psnrs = torch.cat(features), []
    for quality in qualities:
        _, decoded = event_cost(event, quality)
        psnrs.append(float(psnr(decoded[..., pixels][None], originals[..., pixels][None])))
    assert psnrs == sorted(psnrs)
    assert psnrs[0] > 15


@by_event
def test_choices_of_an_encoder_do_not_raise_the_cost(
    shipped: SCICodec, event_cost: EventCost, event: str, qualities: Sequence[int]
) -> None:
    features, _ = event_features(event)
    for quality in qualities:
        cost, _ = event_cost(event, quality)
        limit, _ = coded_cost(shipped, features, quality, chooses=False)
        assert cost <= limit * (1 + 1e-6)  # bits are summed in another order


@pytest.mark.parametrize("quality", [0, 3])
def test_the_motion_of_a_camera_is_decoded(
    shipped: SCICodec, quality: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encode a pattern that moves by 3 pixels to the left per feature: at quality 0 as affine."""
    modes = []
    monkeypatch.setattr(Inter, "encode_mode", lambda *call: modes.append(call[-1]))
    noise = torch.rand(1, 1, 10, 20, generator=torch.Generator().manual_seed(0))
    pattern = torch.nn.functional.interpolate(noise, scale_factor=8, mode="bicubic").clamp(0, 1)
    features = [
        pattern[..., 8:72, 16 + 3 * n : 112 + 3 * n].expand(-1, 3, -1, -1) for n in range(9)
    ]
    options: Any = {"estimation": shipped.motion, "weight": shipped.rd_weights[quality]}
    assert shipped.codec_networks is not None
    with exact_context(CPU):
        symbols = RateEstimator(is_exact=True)
        _, *frames = encode_frames(shipped.codec_networks, symbols, features, quality, **options)
    motion = torch.cat([frame.motion for frame in frames])
    expected = torch.tensor([3.0, 0.0]).view(1, 2, 1, 1).expand_as(motion)
    assert end_point_error(motion, expected).mean() < 0.2
    assert quality == 3 or not any(mode.motion for mode in modes)


@pytest.mark.parametrize(
    ("event", "quality", "expected"),
    [
        (None, 1, [3, 3]),  # two I-frames are tried at quality 1
        (None, 3, [0, 0, 1, 0, 0, 1, 3]),
        ("flash", 3, [0, 0, 0, 0]),
    ],
    ids=["none, only interpolated", "none, coarse reference", "in all, never interpolated"],
)
def test_an_encoder_does_not_try_what_cannot_cost_less(
    shipped: SCICodec,
    event: str | None,
    quality: int,
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gaps = []

    def encode_parts(
        encoder: FrameEncoder, symbols: Any, features: list[Tensor], *rest: Tensor
    ) -> Any:
        gaps.append(len(features) - 1)
        return original(encoder, symbols, features, *rest)

    original: Any = FrameEncoder._parts
    monkeypatch.setattr(FrameEncoder, "_parts", encode_parts)
    features, _ = event_features(event or "flash")
    still = [features[0].repeat(1, 1, 3, 3)] * 5  # small images are always compared
    coded_cost(shipped, features if event else still, quality, chooses=True)
    assert gaps == expected


class LocalEvent(NamedTuple):
    """Light in few pixels for a few planes, before a texture."""

    height: int
    width: int
    kind: str  # "lamp", or "bar", which crosses the image
    radius: int
    planes: int

    def features(self) -> list[Tensor]:
        """Return eight features of 13 planes, 7 planes apart; the event starts at plane 20."""
        noise = torch.Generator().manual_seed(0)
        rows, columns = torch.arange(self.height)[:, None], torch.arange(self.width)[None]
        texture = 0.4 + 0.3 * (rows / 3).sin() * (columns / 2.3 + rows / 9).sin()
        planes = torch.where(self.lit(rows, columns), 0.95, texture)
        features = []
        for middle in range(6, 56, 7):
            mean = planes[middle - 6 : middle + 7].mean(dim=0)
            mean = mean + 0.005 * torch.randn(mean.shape, generator=noise)
            features.append(mean.clamp(0, 1).expand(1, 3, -1, -1))
        return features

    def lit(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the pixels of the event in each of 62 planes."""
        lit = torch.zeros(62, self.height, self.width, dtype=torch.bool)
        for number in range(self.planes):
            along = number * self.width // self.planes
            across, right = rows - self.height // 2, columns - self.width // 2
            if self.kind == "lamp":
                lit[20 + number] = across**2 + right**2 < self.radius**2
            else:
                lit[20 + number] = ((columns - along).abs() < self.radius) & (across.abs() < 8)
        return lit


SIZES, KINDS = ((64, 64), (128, 160), (256, 384)), ("lamp", "bar")
#: Each pair of a radius and a duration once, with each kind and size at each radius and duration.
LOCAL_EVENTS = [
    LocalEvent(*SIZES[(i + j) % 3], KINDS[(i // 3 + j) % 2], radius, planes)
    for i, radius in enumerate(range(1, 7))
    for j, planes in enumerate((1, 3, 7, 14, 30))
]
FAST_EVENT = LocalEvent(64, 64, "lamp", 2, 7)


@pytest.mark.parametrize(
    "event",
    [
        event if event == FAST_EVENT else pytest.param(event, marks=pytest.mark.slow)
        for event in LOCAL_EVENTS
    ],
    ids=lambda event: "-".join(map(str, event)),
)
def test_small_events_cost_no_more_than_with_all_comparisons_and_stay_at_higher_qualities(
    shipped: SCICodec, event: LocalEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 180 combinations take hours; the sample covers each pair of two properties."""
    features, shares = event.features(), []
    added = torch.cat(features) - features[0]
    for quality in range(QUALITIES):
        cost, decoded = coded_cost(shipped, features, quality, chooses=True)
        with monkeypatch.context() as patch:  # without errors, all options are compared
            patch.setattr(frame_encoder, "square_error", lambda *pair: torch.zeros_like(pair[1]))
            limit, _ = coded_cost(shipped, features, quality, chooses=True)
        assert cost <= 1.02 * limit, quality
        shares.append(float(((decoded - decoded[:1]) * added).sum() / added.square().sum()))
    is_shown = [share > 0.5 for share in shares]
    assert is_shown == sorted(is_shown), shares


def test_effort_lowers_the_cost_of_an_i_frame_for_the_same_decoder(shipped: SCICodec) -> None:
    recording, quality, costs = pattern_take(3, planes=13, height=64, width=64).recording, 3, []
    (feature,) = features_of(shipped, recording)
    for effort in (0, 1):
        data = shipped.compress(recording, quality, effort=effort)
        decoded = shipped.decompress(data)
        assert decoded.header.digest == digest_of(shipped)
        error = float(torch.nn.functional.mse_loss(decoded.features, feature))
        costs.append(8 * len(data) / feature[0, 0].numel() + shipped.rd_weights[quality] * error)
    assert costs[1] < 0.98 * costs[0]


def test_rate_estimation_makes_the_same_choices_as_encoding(
    skipping: SCICodec, features: list[Tensor]
) -> None:
    features = features[:4]
    payload, expected = encode_group(skipping, features, weight=64.0)
    for frame, other in zip(decode_group(skipping, payload, 4), expected, strict=True):
        assert torch.equal(frame.feature, other.feature)
    assert skipping.codec_networks is not None
    options: Any = {"weight": 64.0, "estimation": skipping.motion}
    with exact_context(CPU):
        symbols = RateEstimator(is_exact=True)
        estimated = encode_frames(skipping.codec_networks, symbols, features, 2, **options)
        for frame, other in zip(estimated, expected, strict=True):
            assert torch.equal(frame.feature, other.feature)


@pytest.mark.parametrize(
    ("block_transform", "low", "high"), [(True, (30, 22), 60), (False, (5, 5), 20)]
)
def test_an_untrained_block_transform_codes_smooth_features(
    block_transform: bool, low: tuple[float, float], high: float
) -> None:
    torch.manual_seed(0)  # the motion of the P-frame is random
    options: Any = {"fmvr": False, "block_transform": block_transform}
    coding = CodecNetworks.of_width(WIDTH, "condition", "full", **options)
    codec = SCICodec(FEM(WIDTH), MotionEstimation(WIDTH), coding=coding).eval()
    codec.update_tables()
    rows, columns = torch.linspace(0.1, 0.9, HEIGHT), torch.linspace(0.4, 0.1, COLUMNS)
    feature = (0.5 * rows[:, None] + columns).expand(1, 3, -1, -1)
    features = [feature, feature.flip(-1)]  # an I-frame, and new content in a P-frame
    payload, ours = encode_group(codec, features)
    theirs = decode_group(codec, payload, 2)
    for encoded, decoded, original, least in zip(ours, theirs, features, low, strict=True):
        assert torch.equal(encoded.feature, decoded.feature)
        assert least < float(psnr(encoded.feature.clamp(0, 1), original)) < high


def test_a_block_transform_of_full_width_is_invertible() -> None:
    blocks = torch.rand(1, 1, 32, 48).expand(-1, 3, -1, -1)
    for zero in (0.0, 0.5):
        restored = block_synthesis(LATENT, zero)(block_analysis(LATENT, zero)(blocks))
        assert torch.allclose(restored, blocks, atol=1e-5)
