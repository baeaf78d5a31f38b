"""Spike recordings in memory: bit packing, planes, windows and colour filters."""

from spike_zoo.spikes.pixel_maps import PixelMaps
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.take import Take

__all__ = ["PixelMaps", "SpikeRecording", "Take"]
