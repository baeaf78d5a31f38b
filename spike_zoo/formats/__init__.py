"""Recordings on disk: camera files, numpy's, HDF5, lossless ones, and the sidecars beside them."""

from spike_zoo.formats.recording import detect_format, read_recording, write_recording

__all__ = ["detect_format", "read_recording", "write_recording"]
