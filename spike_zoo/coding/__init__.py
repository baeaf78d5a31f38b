"""Entropy coding: range coder, frequency tables, and the ``.sci`` and ``.spl`` bitstreams."""

from spike_zoo.coding.container import BitstreamReader, BitstreamWriter
from spike_zoo.coding.errors import (
    BitstreamError,
    CorruptBitstreamError,
    DecodeMismatchError,
    DeviceNotExactError,
    ModelMismatchError,
    NotFinalizedError,
    TruncatedBitstreamError,
)
from spike_zoo.coding.header import Header
from spike_zoo.coding.rans import GroupDecoder, GroupEncoder, ideal_bits
from spike_zoo.coding.tables import SIGMAS, gaussian_tables

__all__ = [
    "SIGMAS",
    "BitstreamError",
    "BitstreamReader",
    "BitstreamWriter",
    "CorruptBitstreamError",
    "DecodeMismatchError",
    "DeviceNotExactError",
    "GroupDecoder",
    "GroupEncoder",
    "Header",
    "ModelMismatchError",
    "NotFinalizedError",
    "TruncatedBitstreamError",
    "gaussian_tables",
    "ideal_bits",
]
