"""Tests of bitstreams: contents, digests of models, rejected input and damage."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from spike_zoo.coding import BitstreamError, BitstreamReader
from spike_zoo.coding.chunks import pack_chunk
from spike_zoo.coding.errors import (
    CorruptBitstreamError,
    DecodeMismatchError,
    DeviceNotExactError,
    ModelMismatchError,
    NotFinalizedError,
)
from spike_zoo.coding.header import HEADER_BYTES, Header
from spike_zoo.errors import ConfigError, PlaneRangeError
from spike_zoo.methods.sci import FEM, SCICodec
from spike_zoo.methods.sci.codec.bitstream import (
    DIGEST_BYTES,
    DecodedBitstream,
    decoded_group,
    digest_of,
)
from spike_zoo.spikes import SpikeRecording
from tests.methods.sci.codecs import COLUMNS, HEIGHT, recording


def planes_of(count: int, height: int = HEIGHT, width: int = COLUMNS) -> SpikeRecording:
    return SpikeRecording.from_planes(np.zeros((count, height, width), bool), rate_scale=0.6)


def test_the_header_states_the_recording_the_settings_and_the_model(codec: SCICodec) -> None:
    source = SpikeRecording.from_planes(
        np.zeros((76, HEIGHT, COLUMNS), bool), fps=20_000.0, rate_scale=0.5
    )
    header = codec.header(source, quality=1, gop=3)
    assert header.digest == digest_of(codec) == codec.update_tables()
    assert (header.height, header.width, header.planes) == (HEIGHT, COLUMNS, 76)
    assert (header.window, header.step, header.channels) == (13, 7, 3)
    assert (header.quality, header.gop, header.frames, header.groups) == (1, 3, 10, 4)
    assert (header.fps, header.rate_scale) == (20_000.0, 0.5)
    assert codec.header(source, rate_scale=0.25).rate_scale == 0.25


def test_a_better_quality_takes_more_bytes(codec: SCICodec) -> None:
    sizes = [len(codec.compress(recording(20), quality=quality)) for quality in range(4)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


DECODER = (
    *("intra.entropy.fuse.0.narrow.weight", "intra.entropy.quality"),
    *("intra.entropy.scales.layers.0.weight_integer", "intra.entropy.scales.layers.2.shift"),
    *("intra.entropy.prior.frequencies", "intra.synthesis.mend.leave.bias"),
    *("inter.entropy.prior.0.weight", "inter.entropy.motion.scales.layers.1.multiplier"),
    *("inter.contexts.enter.0.weight", "inter.motion_synthesis.0.spatial.weight"),
    *("inter.synthesis.at_full.0.weight", "gains.decoder.content"),
)
OTHERS = (
    *("fem.tail.0.weight", "fam.embed.weight", "fmvr.layers.0.weight"),
    *("motion.levels.0.last.weight", "intra.analysis.transform.0.weight"),
    *("inter.analysis.content.at_full.weight", "gains.encoder.intra"),
    *("intra.entropy.scales.layers.0.weight", "intra.entropy.scales.layers.1.step"),
    "inter.entropy.content.prior.means",
)


def test_every_part_of_the_decoder_changes_the_digest_and_no_other(
    codec: SCICodec, stream: bytes
) -> None:
    other = copy.deepcopy(codec)
    state = other.state_dict()
    for name in OTHERS:
        state[name][(0,) * state[name].ndim] += 1
    assert digest_of(other) == digest_of(codec)
    reader = BitstreamReader(stream)
    features = [
        decoded_group(model, reader.payload(2), reader.header, 2)[0] for model in (other, codec)
    ]
    assert torch.equal(*features)
    digests = {digest_of(codec)}
    for name in DECODER:
        state[name][(0,) * state[name].ndim] += 1
        digests.add(digest_of(other))
    assert len(digests) == len(DECODER) + 1
    with pytest.raises(ModelMismatchError, match="decode with the weights that made it") as caught:
        other.decompress(stream)
    assert caught.value.of_file == digest_of(codec)
    assert caught.value.of_model == digest_of(other)
    for digest in (digest_of(codec), digest_of(other)):
        assert len(digest) == DIGEST_BYTES == 12
        assert digest.hex() in str(caught.value)


def test_the_digest_depends_only_on_the_weights(codec: SCICodec) -> None:
    other = copy.deepcopy(codec)
    for value in other.parameters():
        value.data.zero_()
    assert digest_of(other) != digest_of(codec)
    other.load_state_dict(codec.state_dict())
    assert digest_of(other) == digest_of(codec)
    other.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's
    assert digest_of(other) == digest_of(codec)
    inside = torch.nn.ModuleDict({"module": other})
    assert digest_of(inside["module"]) == digest_of(codec)  # type: ignore[arg-type]  # it is one


def test_finalised_half_precision_weights_do_not_change_when_loaded_and_finalised_again(
    codec: SCICodec,
) -> None:
    rounded = copy.deepcopy(codec).half().float()
    digest = rounded.update_tables()
    file = {n: t.half() if t.is_floating_point() else t for n, t in rounded.state_dict().items()}
    loaded = copy.deepcopy(codec)
    loaded.load_state_dict(file)
    assert digest_of(loaded) == digest != digest_of(codec)
    assert loaded.update_tables() == digest, "a second finalisation changes nothing"


def test_a_device_that_fails_the_exactness_check_raises_in_both_directions(
    codec: SCICodec, stream: bytes
) -> None:
    other = copy.deepcopy(codec)
    other.get_buffer("inter.entropy.motion.scales.probe_crc").bitwise_xor_(1)
    actions: list[Callable[[], object]] = [
        lambda: other.compress(recording(13)),
        lambda: other.decompress(stream),
    ]
    for action in actions:
        with pytest.raises(DeviceNotExactError, match="cpu does not compute integers of float64"):
            action()


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        (planes_of(12), {}, PlaneRangeError, "each of 13 planes; this recording has 12"),
        (planes_of(13, 15), {}, ConfigError, r"planes of 48 x 15 pixels .* cannot be coded: both"),
        (planes_of(13, width=8), {}, ConfigError, "both sides must be at least 16"),
        (planes_of(13, 16, 65536), {}, ConfigError, "width 65536; it is 1 to 65535"),
        (planes_of(13), {"quality": -1}, ConfigError, "quality -1; it is 0 to 3"),
        (planes_of(13), {"gop": 65536}, ConfigError, "gop 65536; it is 1 to 65535"),
    ],
)
def test_recordings_and_options_that_cannot_be_coded_are_rejected(
    codec: SCICodec,
    source: SpikeRecording,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        codec.compress(source, **options)


def test_other_probability_tables_change_the_model_digest(
    codec: SCICodec, stream: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spike_zoo.coding.tables.asset_bytes", lambda: b"other tables")
    with pytest.raises(ModelMismatchError, match="the bitstream was made by model"):
        codec.decompress(stream)


def test_headers_with_another_window_step_or_channels_are_rejected(
    codec: SCICodec, stream: bytes
) -> None:
    header = Header.parse(stream)
    for other in (replace(header, window=19), replace(header, step=4), replace(header, channels=5)):
        with pytest.raises(BitstreamError, match="SCI's have 13, 7 and 3: another program wrote"):
            codec.decompress(other.pack() + stream[HEADER_BYTES:])


def test_dark_and_saturated_recordings_are_coded(codec: SCICodec) -> None:
    spikes = np.zeros((20, 16, 17), bool)
    spikes[13:] = True
    decoded = codec.decompress(codec.compress(SpikeRecording.from_planes(spikes, rate_scale=0.6)))
    assert decoded.features.shape == (2, 3, 16, 17)
    assert torch.isfinite(decoded.features).all()
    assert torch.isfinite(decoded.motion).all()


def test_weights_without_a_final_codec_raise(unfinished: SCICodec, stream: bytes) -> None:
    for codec, error, message in (
        (unfinished, NotFinalizedError, r"call update_tables\(\) once its training"),
        (SCICodec(FEM(0.125)), ConfigError, r"these weights have no codec.*'codec' or"),
    ):
        with pytest.raises(error, match=message):
            codec.compress(recording(13))
        with pytest.raises(error, match=message):
            codec.decompress(stream)


def test_a_damaged_group_does_not_change_the_other_groups(
    codec: SCICodec, stream: bytes, decoded: DecodedBitstream
) -> None:
    lengths = BitstreamReader(stream).payload_bytes()
    damaged = bytearray(stream)
    damaged[HEADER_BYTES + 8 + lengths[0] + 8 + 20] ^= 0xFF  # inside group 1
    with pytest.raises(CorruptBitstreamError, match="group of pictures 1") as caught:
        codec.decompress(bytes(damaged))
    assert caught.value.gop == 1
    partial = codec.decompress(bytes(damaged), strict=False)
    assert partial.feature_index == (0, 1, 2, 3, 8, 9)
    assert partial.planes == (6, 13, 20, 27, 62, 69)
    assert torch.equal(partial.features, decoded.features[[0, 1, 2, 3, 8, 9]])
    assert torch.equal(partial.motion, decoded.motion[[0, 1, 2, 3, 8, 9]])
    assert [type(error) for error in partial.errors] == [CorruptBitstreamError]


def test_a_group_with_wrong_symbols_and_a_valid_chunk_is_omitted(
    codec: SCICodec, stream: bytes
) -> None:
    reader = BitstreamReader(stream)
    parts = [bytearray(payload) for _, payload in reader]
    parts[1][100] ^= 1
    chunks = [
        pack_chunk(number, bytes(part), reader.header.checksum) for number, part in enumerate(parts)
    ]
    forged = stream[:HEADER_BYTES] + b"".join(chunks)
    partial = codec.decompress(forged, strict=False)
    assert partial.feature_index == (0, 1, 2, 3, 8, 9)
    (error,) = partial.errors
    assert isinstance(error, (DecodeMismatchError, CorruptBitstreamError))
    assert "group of pictures 1" in str(error)


def test_the_complete_groups_of_a_truncated_bitstream_are_decoded(
    codec: SCICodec, stream: bytes
) -> None:
    partial = codec.decompress(stream[:-1], strict=False)
    assert partial.feature_index == tuple(range(8))
    empty = codec.decompress(stream[: HEADER_BYTES + 30], strict=False)
    assert empty.features.shape == (0, 3, HEIGHT, COLUMNS)
    assert empty.motion.shape == (0, 2, HEIGHT, COLUMNS)
    assert len(empty.errors) == 1
