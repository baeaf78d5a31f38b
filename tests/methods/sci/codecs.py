"""Tiny codecs with enlarged random weights, which give symbols other than zero."""

from typing import Any

import torch
from lightning import seed_everything
from torch import Tensor, nn

from spike_zoo.methods.sci import FAM, FEM, SCICodec
from spike_zoo.methods.sci.codec.bitstream import scale_nets
from spike_zoo.methods.sci.codec.frames import CodecNetworks, encode_frames
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.methods.sci.features.motion_estimation import MotionEstimation
from spike_zoo.spikes import SpikeRecording
from spike_zoo.testing import pattern_take

WIDTH = 0.125
HEIGHT, COLUMNS = 40, 48  # the codec pads to 64x64


def recording(planes: int = 76, seed: int = 3) -> SpikeRecording:
    """Return a recording of a drifting pattern; 76 planes give ten features."""
    return pattern_take(seed, planes=planes, height=HEIGHT, width=COLUMNS).recording


def features_of(codec: SCICodec, source: SpikeRecording) -> list[Tensor]:
    """Return all features of a recording, ``(1, 3, H, W)`` each."""
    spikes = torch.from_numpy(source[0 : source.shape[0]])[None]
    with torch.no_grad():
        return list(codec.features(spikes, torch.tensor([source.rate_scale or 1.0])).unbind(1))


def random_codec() -> SCICodec:
    """Return a final codec with symbols of up to about 30 and scale indexes of 0 to about 50.

    The scale indexes do not predict the symbols, so many symbols are escapes.
    """
    seed_everything(0, verbose=False)
    coding = CodecNetworks.of_width(WIDTH, "condition", "full", fmvr=True)
    codec = SCICodec(FEM(WIDTH), MotionEstimation(WIDTH), FAM(width=WIDTH), coding)
    _enlarge(codec)
    _estimate_steps(codec, recording(20))
    codec.update_tables()
    return codec.eval()


@torch.no_grad()
def _enlarge(codec: SCICodec) -> None:
    """Enlarge the random weights, so that symbols and scale indexes vary."""
    coding: Any = codec.codec_networks
    for part in ("intra", "inter", "motion"):  # outputs must depend on inputs, not on biases
        for layer in codec.get_submodule(part).modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                layer.bias.zero_()
    texture: Any = codec.fem.tail[-2]
    texture.weight *= 20.0
    for name, gain in {"intra": 4.2, "motion": 3.5, "content": 4.5}.items():
        coding.gains.encoder[name] += gain
        coding.gains.decoder[name] -= gain / 3
    for net in scale_nets(codec):
        layers: Any = net.layers
        for layer, factor in zip(layers, (3.0, 3.0, 15.0), strict=True):
            layer.weight *= factor
        layers[-1].bias += 2.0
    last = coding.intra.synthesis.mend.leave
    last.weight *= 8.0
    last.bias.fill_(0.5)
    nn.init.normal_(coding.inter.synthesis.at_full[-1].weight, std=0.03)
    nn.init.normal_(coding.fmvr.layers[-1].weight, std=0.05)


@torch.no_grad()
def _estimate_steps(codec: SCICodec, source: SpikeRecording) -> None:
    """Estimate the quantisation steps of the scale networks from activations."""
    codec.eval()
    for net in scale_nets(codec):
        net.train()
    codes: Any = codec.codec_networks
    features = features_of(codec, source)
    for quality in range(4):
        list(encode_frames(codes, RateEstimator(), features, quality, estimation=codec.motion))
