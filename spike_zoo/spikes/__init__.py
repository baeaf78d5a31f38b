"""Spike streams and recordings: bits, planes, windows and camera formats."""

from spike_zoo.spikes.formats import read_recording, write_recording
from spike_zoo.spikes.packing import pack_bits, packed_width, unpack_bits, unpack_tensor
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
    "SpikeRecording",
    "Take",
    "centers_with_stride",
    "centred_window",
    "mirrored_planes",
    "pack_bits",
    "packed_width",
    "planes_inside",
    "read_recording",
    "spread_planes",
    "unpack_bits",
    "unpack_tensor",
    "write_recording",
]
