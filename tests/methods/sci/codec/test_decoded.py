"""Tests of reconstruction and classification from decoded features."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor

from spike_zoo.coding import BitstreamReader
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci import FEM, ClassFAM, SCICodec
from spike_zoo.methods.sci.analysis.fam import surroundings
from spike_zoo.methods.sci.codec.bitstream import SCIDecoded
from spike_zoo.methods.sci.codec.decoded import analyses
from tests.methods.sci.codecs import lively_codec, recording


def by_hand(codec: SCICodec, features: Tensor, motion: Tensor, gop: int) -> list[Tensor]:
    """Return the images of features, computed one by one from all features in memory."""
    assert codec.fmvr is not None
    assert codec.fam is not None
    links = motion.clone()
    for index in range(len(features)):
        if index % gop:
            one = slice(index, index + 1)
            links[one] = codec.fmvr(motion[one], features[one])
    found = [surroundings(features[None], links[None], index) for index in range(len(features))]
    return [codec.fam(*one)[0].clamp(0, 1) for one in found]


@pytest.fixture(scope="module")
def decoded(codec: SCICodec, stream: bytes) -> SCIDecoded:
    return codec.decompress(stream)


def parts_of(decoded: SCIDecoded, *wanted: int) -> SCIDecoded:
    """Return a subset of features, as if the other groups were damaged."""
    places = [decoded.feature_index.index(index) for index in wanted]
    return dataclasses.replace(
        decoded,
        features=decoded.features[places],
        motion=decoded.motion[places],
        feature_index=tuple(wanted),
    )


def test_pictures_see_two_features_on_either_side_across_groups(
    codec: SCICodec, decoded: SCIDecoded
) -> None:
    with torch.inference_mode():
        wanted = torch.stack(by_hand(codec, decoded.features, decoded.motion, gop=4))
    found = codec.reconstruct(decoded)
    assert found.shape == (10, 1, *decoded.features.shape[-2:])
    assert 0 <= found.min() < found.max() <= 1
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_pictures_of_a_stream_are_those_of_the_whole(
    codec: SCICodec, stream: bytes, decoded: SCIDecoded
) -> None:
    groups = codec.decompress_stream(BitstreamReader(stream))
    named = list(codec.reconstruct_stream(groups))
    assert [number for number, _ in named] == list(range(10))
    assert torch.equal(torch.stack([image for _, image in named]), codec.reconstruct(decoded))


def test_pictures_come_as_soon_as_their_neighbours_are_there(
    codec: SCICodec, stream: bytes
) -> None:
    given: list[int] = []

    def groups() -> object:
        for group in codec.decompress_stream(BitstreamReader(stream)):
            given.extend(group.feature_index)
            yield group

    for number, _ in codec.reconstruct_stream(groups()):  # type: ignore[arg-type]  # it yields them
        assert max(given) <= number + 2 + 3  # two neighbours, and the rest of their group
        held = given[-1] - number
        assert held < 6


def test_groups_may_be_analysed_by_themselves(codec: SCICodec, decoded: SCIDecoded) -> None:
    alone = copy.deepcopy(codec)
    alone.boundary = "gop"
    found = alone.reconstruct(decoded)
    for first, last in ((0, 4), (4, 8), (8, 10)):
        group = parts_of(decoded, *range(first, last))
        assert torch.equal(found[first:last], codec.reconstruct(group))
    assert not torch.equal(found, codec.reconstruct(decoded))


def test_where_a_group_is_missing_the_nearest_features_stand_in(
    codec: SCICodec, decoded: SCIDecoded
) -> None:
    left = parts_of(decoded, 0, 1, 2, 3, 8, 9)
    found = codec.reconstruct(left)
    before, after = parts_of(decoded, 0, 1, 2, 3), parts_of(decoded, 8, 9)
    wanted = torch.cat([codec.reconstruct(before), codec.reconstruct(after)])
    assert torch.equal(found, wanted)
    assert [number for number, _ in codec.reconstruct_stream([left])] == [0, 1, 2, 3, 8, 9]


def test_motion_to_an_i_frame_is_zero_or_estimated_here(
    codec: SCICodec, decoded: SCIDecoded
) -> None:
    still = dict(analyses(codec, [decoded]))
    estimating = copy.deepcopy(codec)
    estimating.iframe_motion = "decoder_me"
    moved = dict(analyses(estimating, [decoded]))
    assert not still[4].motions[:, 1].any()  # from the I-frame 4 to 3
    wanted = codec.moved(decoded.features[4:5], decoded.features[3:4])
    assert wanted.any()
    torch.testing.assert_close(moved[4].motions[:, 1], wanted)
    assert torch.equal(still[2].motions[:, 1], moved[2].motions[:, 1])
    first = dict(analyses(estimating, [parts_of(decoded, 4, 5, 6, 7)]))
    assert not first[4].motions[:, 1].any()  # the previous feature is missing


def test_without_an_analysis_a_picture_is_the_mean_over_channels(
    codec: SCICodec, decoded: SCIDecoded
) -> None:
    plain = copy.deepcopy(codec)
    plain.fam = None
    found = plain.reconstruct(decoded)
    torch.testing.assert_close(found, decoded.features.mean(dim=1, keepdim=True))
    nothing = plain.reconstruct(parts_of(decoded))
    assert nothing.shape == (0, 1, *decoded.features.shape[-2:])


def test_one_stream_is_reconstructed_and_classified(codec: SCICodec, stream: bytes) -> None:
    torch.manual_seed(4)
    telling = lively_codec(fam=ClassFAM(3, width=0.125), final=False)
    state = {n: t for n, t in codec.state_dict().items() if not n.startswith("fam.")}
    telling.load_state_dict(state, strict=False)
    decoded = telling.decompress(stream)
    found = telling.classify(decoded)
    assert found.shape == (3,)
    assert float(found.sum()) == pytest.approx(1.0)
    assert telling.fam is not None
    with torch.inference_mode():
        whole = [one for number, one in analyses(telling, [decoded]) if 2 <= number < 8]
        logits = torch.stack([telling.fam(*one)[0] for one in whole]).mean(dim=0)
    torch.testing.assert_close(found, torch.softmax(logits, dim=0))
    few = telling.classify(parts_of(decoded, 0, 1))  # without neighbours: the middle one is used
    assert float(few.sum()) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="predict classes, not images"):
        telling.reconstruct(decoded)
    with pytest.raises(ConfigError, match="nothing was decoded, so there is nothing to classify"):
        telling.classify(parts_of(decoded))


def test_weights_of_pictures_tell_no_classes(codec: SCICodec, decoded: SCIDecoded) -> None:
    with pytest.raises(ConfigError, match="these weights predict no classes"):
        codec.classify(decoded)
    with pytest.raises(ConfigError, match="these weights predict no classes"):
        SCICodec(FEM(0.125)).classify(decoded)


def test_a_single_feature_is_analysed_too(codec: SCICodec) -> None:
    decoded = codec.decompress(codec.compress(recording(13)))
    assert codec.reconstruct(decoded).shape == (1, 1, 40, 48)
