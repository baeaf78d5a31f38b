"""Errors of bitstreams, and of the models and devices that code them."""

from __future__ import annotations

from spike_zoo.errors import FormatError, SpikeZooError


class BitstreamError(FormatError):
    """The content is not a bitstream that this version can decode."""


class CorruptBitstreamError(BitstreamError):
    """Bytes of a bitstream were changed after they were written.

    Args:
        message: Text of the error.
        gop: Group of pictures of the bytes, counted from 0; -1 for the header.
        byte_range: Half-open range of the damaged bytes in the file.
        path: The file.
    """

    def __init__(
        self,
        message: str,
        *,
        gop: int = -1,
        byte_range: tuple[int, int] = (0, 0),
        path: str | None = None,
    ) -> None:
        super().__init__(message, path=path)
        self.gop = gop
        self.byte_range = byte_range


class TruncatedBitstreamError(BitstreamError):
    """A bitstream is shorter than its header states.

    Args:
        message: Text of the error.
        last_complete_gop: The last complete group of pictures; -1 if none exists.
        path: The file.
    """

    def __init__(
        self, message: str, *, last_complete_gop: int = -1, path: str | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.last_complete_gop = last_complete_gop


class ModelMismatchError(BitstreamError):
    """The model or tables of the decoder differ from those of the encoder.

    Args:
        message: Text of the error.
        of_file: Digest of the model in the bitstream.
        of_model: Digest of the decoder's model.
        path: The file.
    """

    def __init__(
        self,
        message: str,
        *,
        of_file: bytes = b"",
        of_model: bytes = b"",
        path: str | None = None,
    ) -> None:
        super().__init__(message, path=path)
        self.of_file = of_file
        self.of_model = of_model


class DecodeMismatchError(BitstreamError):
    """The decoded symbols differ from the encoded ones: final state, length or checksum is wrong.

    Args:
        message: Text of the error.
        gop: The group of pictures, counted from 0.
        path: The file.
    """

    def __init__(self, message: str, *, gop: int = -1, path: str | None = None) -> None:
        super().__init__(message, path=path)
        self.gop = gop


class DeviceNotExactError(SpikeZooError):
    """A device does not compute integers exactly, so its tables may differ from the encoder's."""


class NotFinalizedError(SpikeZooError):
    """The integer tables of a codec are not exported yet, so it cannot encode or decode."""
