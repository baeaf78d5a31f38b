"""Entropy coding: range coder, frequency tables, and the ``.sci`` and ``.spl`` bitstreams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
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

_HOMES = {
    **dict.fromkeys((name for name in __all__ if name.endswith("Error")), "errors"),
    **dict.fromkeys(("BitstreamReader", "BitstreamWriter"), "container"),
    "Header": "header",
    **dict.fromkeys(("GroupDecoder", "GroupEncoder", "ideal_bits"), "rans"),
    **dict.fromkeys(("SIGMAS", "gaussian_tables"), "tables"),
}

__getattr__ = lazy_attributes(__name__, _HOMES)
