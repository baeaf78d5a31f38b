"""Frame after frame: the encoder decodes what the decoder does, and groups stand alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from spike_zoo.coding import GroupDecoder, GroupEncoder
from spike_zoo.methods.sci.codec.bitstream import exact_context
from spike_zoo.methods.sci.codec.frames import CodecNetworks, DecodedFrame, coded_frames
from spike_zoo.methods.sci.codec.symbols import RateEstimator, SymbolDecoder, SymbolEncoder
from tests.methods.sci.codecs import COLUMNS, HEIGHT, features_of, recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from spike_zoo.methods.sci import SCICodec

CPU, SIZE, FRAMES = torch.device("cpu"), (HEIGHT, COLUMNS), 9


def written(codec: SCICodec, features: list[torch.Tensor]) -> tuple[bytes, list[DecodedFrame]]:
    """Return the payload of a group, and the frames as the encoder knows them."""
    encoder = GroupEncoder()
    assert codec.coding is not None
    with exact_context(CPU):
        frames = list(
            coded_frames(
                codec.coding,
                SymbolEncoder(encoder),
                SIZE,
                2,
                count=len(features),
                features=features,
                estimation=codec.motion,
            )
        )
    return encoder.finish(), frames


def read(codec: SCICodec, payload: bytes, count: int) -> list[DecodedFrame]:
    decoder = GroupDecoder(payload, 0)
    assert codec.coding is not None
    with exact_context(CPU):
        frames = list(coded_frames(codec.coding, SymbolDecoder(decoder, CPU), SIZE, 2, count=count))
    decoder.finish()
    return frames


def test_the_encoders_frames_are_the_decoders_bit_for_bit(codec: SCICodec) -> None:
    payload, ours = written(codec, features_of(codec, recording())[:FRAMES])
    theirs = read(codec, payload, FRAMES)
    assert len(ours) == len(theirs) == FRAMES  # an I-frame and 8 P-frames
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert torch.equal(one.feature, other.feature), number
        assert one.feature.shape == (1, 3, *SIZE)
        if number:
            assert one.motion is not None
            assert other.motion is not None
            assert torch.equal(one.motion, other.motion), number
        else:
            assert one.motion is other.motion is None


def test_counting_sees_the_frames_that_a_stream_gives(codec: SCICodec) -> None:
    features = features_of(codec, recording())[:3]
    _, wanted = written(codec, features)
    assert codec.coding is not None
    with exact_context(CPU):
        counted = coded_frames(
            codec.coding,
            RateEstimator(is_exact=True),
            SIZE,
            2,
            count=3,
            features=features,
            estimation=codec.motion,
        )
        for one, other in zip(counted, wanted, strict=True):
            assert torch.equal(one.feature, other.feature)


def test_a_group_does_not_know_what_came_before_it(codec: SCICodec) -> None:
    features = features_of(codec, recording())
    payload, _ = written(codec, features[4:6])
    assert written(codec, features[4:6])[0] == payload
    assert written(codec, features[3:6])[0] != payload


def test_a_p_frame_depends_on_the_decoded_frame_before_it(codec: SCICodec) -> None:
    features = features_of(codec, recording())
    _, usual = written(codec, features[:2])
    _, other = written(codec, [1 - features[0], features[1]])
    assert not torch.equal(usual[1].feature, other[1].feature)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: CodecNetworks.of_width(0.0, "condition", "full", fmvr=True),
            "codec_width must be above",
        ),
        (
            lambda: CodecNetworks.of_width(0.125, "mix", "full", fmvr=True),  # type: ignore[arg-type]
            "context must be one of condit",
        ),
        (
            lambda: CodecNetworks.of_width(0.125, "residual", "all", fmvr=True),  # type: ignore[arg-type]
            "temporal_prior must be on",
        ),
    ],
)
def test_switches_outside_their_range_are_refused(
    make: Callable[[], CodecNetworks], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make()
