"""File formats of recordings: ``.dat``, ``.npy``, ``.npz``, HDF5, ``.spl``, and sidecars."""

from spike_zoo.formats.recording import read_recording
from spike_zoo.formats.writing import write_recording

__all__ = ["read_recording", "write_recording"]
