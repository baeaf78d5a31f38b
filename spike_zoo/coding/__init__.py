"""Integers to bytes and back: a range coder, its fixed tables, and the ``.sci`` container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use

if TYPE_CHECKING:
    from spike_zoo.coding.container import BitstreamReader, BitstreamWriter, Header
    from spike_zoo.coding.errors import (
        BitstreamError,
        CorruptBitstreamError,
        DecodeMismatchError,
        DeviceNotExactError,
        ModelMismatchError,
        NotFinalizedError,
        TruncatedBitstreamError,
    )
    from spike_zoo.coding.rans import GroupDecoder, GroupEncoder, ideal_bits
    from spike_zoo.coding.tables import (
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
    "SIGMAS": "tables",
    "BitstreamError": "errors",
    "BitstreamReader": "container",
    "BitstreamWriter": "container",
    "CorruptBitstreamError": "errors",
    "DecodeMismatchError": "errors",
    "DeviceNotExactError": "errors",
    "FrequencyTables": "tables",
    "GroupDecoder": "rans",
    "GroupEncoder": "rans",
    "Header": "container",
    "ModelMismatchError": "errors",
    "NotFinalizedError": "errors",
    "TruncatedBitstreamError": "errors",
    "asset_bytes": "tables",
    "from_frequencies": "tables",
    "gaussian_tables": "tables",
    "ideal_bits": "rans",
    "quantised": "tables",
}

__getattr__ = on_first_use(__name__, _HOMES)
