"""Entropy coding: range coder, frequency tables, and the ``.sci`` and ``.spl`` bitstreams."""

from spike_zoo.coding.container import BitstreamReader, BitstreamWriter
from spike_zoo.coding.errors import BitstreamError
from spike_zoo.coding.header import Header

__all__ = ["BitstreamError", "BitstreamReader", "BitstreamWriter", "Header"]
