"""Tests of the data of viewers: layers, and lossless planes."""

import base64
import zlib

import numpy as np
import pytest

from spike_zoo.media.viewer import Layer, SpikePlanes, Viewer, image_size, image_source


def test_planes_are_stored_bit_for_bit() -> None:
    spikes = np.random.default_rng(0).random((21, 5, 7)) < 0.3
    data = SpikePlanes.of(spikes, first=100, rate_scale=0.6).as_data()
    content = zlib.decompress(base64.b64decode(data["packed"]))
    bits = np.unpackbits(
        np.frombuffer(content, np.uint8).reshape(5, 7, 3), axis=2, bitorder="little"
    )
    np.testing.assert_array_equal(np.moveaxis(bits[..., :21], 2, 0), spikes)
    assert (data["shape"], data["first"], data["rateScale"]) == ((21, 5, 7), 100, 0.6)


def test_a_layer_has_one_image_or_one_for_each_moment() -> None:
    image = np.zeros((4, 6))
    still, moving = Layer.of("still", [image]), Layer.of("moving", [image, None, image])
    moments = ("a", "b", "c")
    data = Viewer("both", (still, moving), moments, (6, 4)).as_data()
    assert [len(layer["images"]) for layer in data["layers"]] == [1, 3]
    assert data["layers"][1]["images"][1] == "", "no image at that moment"
    assert data["sides"] == [0, 1]
    with pytest.raises(ValueError, match="wrong: 2 images for 3 moments"):
        Viewer("v", (Layer.of("wrong", [image, image]),), moments, (6, 4))
    with pytest.raises(ValueError, match="at least one layer and one moment"):
        Viewer("v", (), moments, (6, 4))


def test_the_size_of_an_image_is_read_from_its_header() -> None:
    assert image_size(image_source(np.zeros((4, 6)))) == (6, 4)
