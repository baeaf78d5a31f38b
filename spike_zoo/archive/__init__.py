"""HDF5 archives of recordings: reader, writer, parallel build and validation."""

from spike_zoo.archive.build import build_archive
from spike_zoo.archive.joined import open_archive
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.archive.validate import verify_archive
from spike_zoo.archive.writer import ArchiveWriter

__all__ = ["ArchiveWriter", "SpikeArchive", "build_archive", "open_archive", "verify_archive"]
