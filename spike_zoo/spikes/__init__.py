"""Spike recordings in memory: bit packing, planes, windows and colour filters."""

from spike_zoo.spikes.packing import pack_bits, packed_width, unpack_bits, unpack_tensor
from spike_zoo.spikes.pixel_maps import PixelMaps
from spike_zoo.spikes.recording import PackedPlanes, SpikeRecording
from spike_zoo.spikes.take import Take
from spike_zoo.spikes.windows import (
    centers_with_stride,
    centred_window,
    mirrored_planes,
    planes_inside,
    spread_planes,
)

__all__ = [
    "PackedPlanes",
    "PixelMaps",
    "SpikeRecording",
    "Take",
    "centers_with_stride",
    "centred_window",
    "mirrored_planes",
    "pack_bits",
    "packed_width",
    "planes_inside",
    "spread_planes",
    "unpack_bits",
    "unpack_tensor",
]
