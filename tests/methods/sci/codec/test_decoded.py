"""Tests of reconstruction and classification from decoded features."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from spike_zoo.methods.sci import SCICodec
from spike_zoo.methods.sci.analysis.fam import gather_analysis_input
from spike_zoo.methods.sci.codec.bitstream import DecodedBitstream
from spike_zoo.methods.sci.codec.codec import analysis_inputs


def reference_images(codec: SCICodec, features: Tensor, motion: Tensor, gop: int) -> list[Tensor]:
    """Return images, computed one by one from all features in memory."""
    assert codec.fmvr is not None
    assert codec.fam is not None
    links = motion.clone()
    for index in range(len(features)):
        if index % gop:
            part = slice(index, index + 1)
            links[part] = codec.fmvr(motion[part], features[part])
    inputs = [
        gather_analysis_input(features[None], links[None], index) for index in range(len(features))
    ]
    return [codec.fam(*arguments)[0].clamp(0, 1) for arguments in inputs]


def parts_of(decoded: DecodedBitstream, *indexes: int) -> DecodedBitstream:
    """Return a subset of features, as if the other groups were damaged."""
    indices = [decoded.feature_index.index(index) for index in indexes]
    features, motion = decoded.features[indices], decoded.motion[indices]
    return dataclasses.replace(decoded, features=features, motion=motion, feature_index=indexes)


def test_images_use_two_features_on_either_side_across_groups(
    codec: SCICodec, decoded: DecodedBitstream
) -> None:
    with torch.inference_mode():
        expected = torch.stack(reference_images(codec, decoded.features, decoded.motion, gop=4))
    images = codec.reconstruct(decoded)
    assert images.shape == (10, 1, *decoded.features.shape[-2:])
    assert 0 <= images.min() < images.max() <= 1
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-6)


def test_images_of_a_stream_are_returned_as_soon_as_their_neighbours_are_decoded(
    codec: SCICodec, decoded: DecodedBitstream
) -> None:
    decoded_numbers: list[int] = []

    def groups() -> Iterator[DecodedBitstream]:
        for first, last in ((0, 4), (4, 8), (8, 10)):
            decoded_numbers.extend(range(first, last))
            yield parts_of(decoded, *range(first, last))

    images: list[Tensor] = []
    for number, image in codec.reconstruct_stream(groups()):
        assert number == len(images)
        images.append(image)
        assert max(decoded_numbers) <= number + 2 + 3  # two neighbours, and the rest of their group
    assert torch.equal(torch.stack(images), codec.reconstruct(decoded))


def test_with_boundary_gop_groups_are_analysed_separately(
    codec: SCICodec, decoded: DecodedBitstream
) -> None:
    alone = copy.deepcopy(codec)
    alone.boundary = "gop"
    images = alone.reconstruct(decoded)
    for first, last in ((0, 4), (4, 8), (8, 10)):
        group = parts_of(decoded, *range(first, last))
        assert torch.equal(images[first:last], codec.reconstruct(group))
    assert not torch.equal(images, codec.reconstruct(decoded))


def test_features_of_missing_groups_are_replaced_by_the_nearest(
    codec: SCICodec, decoded: DecodedBitstream
) -> None:
    partial = parts_of(decoded, 0, 1, 2, 3, 8, 9)
    images = codec.reconstruct(partial)
    before, after = parts_of(decoded, 0, 1, 2, 3), parts_of(decoded, 8, 9)
    expected = torch.cat([codec.reconstruct(before), codec.reconstruct(after)])
    assert torch.equal(images, expected)
    assert [number for number, _ in codec.reconstruct_stream([partial])] == [0, 1, 2, 3, 8, 9]


def test_motion_to_an_i_frame_is_zero_or_estimated_by_the_decoder(
    codec: SCICodec, decoded: DecodedBitstream
) -> None:
    still = dict(analysis_inputs(codec, [decoded]))
    estimating = copy.deepcopy(codec)
    estimating.iframe_motion = "decoder_me"
    with_motion = dict(analysis_inputs(estimating, [decoded]))
    assert not still[4].motions[:, 1].any()  # from the I-frame 4 to 3
    expected = codec.estimate_flow(decoded.features[4:5], decoded.features[3:4])
    assert expected.any()
    torch.testing.assert_close(with_motion[4].motions[:, 1], expected)
    assert torch.equal(still[2].motions[:, 1], with_motion[2].motions[:, 1])
    first = dict(analysis_inputs(estimating, [parts_of(decoded, 4, 5, 6, 7)]))
    assert not first[4].motions[:, 1].any()  # the previous feature is missing


def test_without_an_analysis_an_image_is_the_mean_over_channels(
    codec: SCICodec, decoded: DecodedBitstream
) -> None:
    plain = copy.deepcopy(codec)
    plain.fam = None
    images = plain.reconstruct(decoded)
    torch.testing.assert_close(images, decoded.features.mean(dim=1, keepdim=True))
    assert codec.reconstruct(parts_of(decoded, 4)).shape == (1, 1, 40, 48)
    empty = plain.reconstruct(parts_of(decoded))
    assert empty.shape == (0, 1, *decoded.features.shape[-2:])
