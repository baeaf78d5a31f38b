"""Errors of bitstreams, and of the models and devices that code them."""

from spike_zoo.errors import FormatError, SpikeZooError


class BitstreamError(FormatError):
    """The content is not a bitstream that this version can decode.

    ``details`` are the attributes of the error.
    """

    def __init__(self, message: str, *, path: str | None = None, **details: object) -> None:
        super().__init__(message, path=path)
        self.__dict__.update(details)


class CorruptBitstreamError(BitstreamError):
    """Bytes of a bitstream were changed after they were written."""

    gop: int = -1  # group of pictures (or chunk) of the bytes, counted from 0; -1 for none
    byte_range: tuple[int, int] = (0, 0)  # half-open, of the damaged bytes in the file


class TruncatedBitstreamError(BitstreamError):
    """A bitstream is shorter than its header states."""

    last_complete_gop: int = -1  # group of pictures; -1 if none is complete


class ModelMismatchError(BitstreamError):
    """The model or tables of the decoder differ from those of the encoder."""

    of_file: bytes = b""  # digest of the model in the bitstream
    of_model: bytes = b""  # digest of the decoder's model


class DecodeMismatchError(BitstreamError):
    """The decoded symbols differ from the encoded ones: state, length or checksum is wrong."""

    gop: int = -1  # group of pictures, counted from 0


class DeviceNotExactError(SpikeZooError):
    """A device does not compute integers exactly, so its tables may differ from the encoder's."""


class NotFinalizedError(SpikeZooError):
    """The integer tables of a codec are not exported yet, so it cannot encode or decode."""
