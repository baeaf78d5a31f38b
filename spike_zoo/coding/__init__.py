"""Integers to bytes and back: a range coder, its fixed tables, and the ``.sci`` container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use

if TYPE_CHECKING:
    from spike_zoo.coding.errors import (
        BitstreamError,
        CorruptBitstreamError,
        DecodeMismatchError,
        DeviceNotExactError,
        ModelMismatchError,
        NotFinalizedError,
        TruncatedBitstreamError,
    )
    from spike_zoo.coding.sci.container import BitstreamReader, BitstreamWriter, Header
    from spike_zoo.coding.sci.rans import GroupDecoder, GroupEncoder, ideal_bits
    from spike_zoo.coding.sci.tables import (
        SIGMAS,
        FrequencyTables,
        asset_bytes,
        from_frequencies,
        gaussian_tables,
        quantised,
    )

__all__ = [
    "SIGMAS",
    "BitstreamError",
    "BitstreamReader",
    "BitstreamWriter",
    "CorruptBitstreamError",
    "DecodeMismatchError",
    "DeviceNotExactError",
    "FrequencyTables",
    "GroupDecoder",
    "GroupEncoder",
    "Header",
    "ModelMismatchError",
    "NotFinalizedError",
    "TruncatedBitstreamError",
    "asset_bytes",
    "from_frequencies",
    "gaussian_tables",
    "ideal_bits",
    "quantised",
]

_HOMES = {
    "SIGMAS": "sci.tables",
    "BitstreamError": "errors",
    "BitstreamReader": "sci.container",
    "BitstreamWriter": "sci.container",
    "CorruptBitstreamError": "errors",
    "DecodeMismatchError": "errors",
    "DeviceNotExactError": "errors",
    "FrequencyTables": "sci.tables",
    "GroupDecoder": "sci.rans",
    "GroupEncoder": "sci.rans",
    "Header": "sci.container",
    "ModelMismatchError": "errors",
    "NotFinalizedError": "errors",
    "TruncatedBitstreamError": "errors",
    "asset_bytes": "sci.tables",
    "from_frequencies": "sci.tables",
    "gaussian_tables": "sci.tables",
    "ideal_bits": "sci.rans",
    "quantised": "sci.tables",
}

__getattr__ = on_first_use(__name__, _HOMES)
