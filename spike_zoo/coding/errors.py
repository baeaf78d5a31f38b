"""What can be wrong with a bitstream, or with the machine and model that are to code one."""

from __future__ import annotations

from spike_zoo.errors import FormatError, SpikeZooError


class BitstreamError(FormatError):
    """The content is no bitstream that this version can decode."""


class CorruptBitstreamError(BitstreamError):
    """Bytes of a bitstream are not those that were written.

    Args:
        message: As for every error of this package.
        gop: The group of pictures they belong to, counted from 0; -1 for the file's header.
        byte_range: The first byte of the file that cannot be trusted, and past the last.
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
    """A bitstream ends before all that its header promises.

    Args:
        message: As for every error of this package.
        last_complete_gop: The last group of pictures that is whole; -1 if none is.
        path: The file.
    """

    def __init__(
        self, message: str, *, last_complete_gop: int = -1, path: str | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.last_complete_gop = last_complete_gop


class ModelMismatchError(BitstreamError):
    """A bitstream was made by another model, or with other tables, than are to decode it.

    Args:
        message: As for every error of this package.
        of_file: The digest that the bitstream names.
        of_model: That of the model at hand.
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
    """What was decoded is not what was coded: the coder did not end where it began.

    Args:
        message: As for every error of this package.
        gop: The group of pictures, counted from 0.
        path: The file.
    """

    def __init__(self, message: str, *, gop: int = -1, path: str | None = None) -> None:
        super().__init__(message, path=path)
        self.gop = gop


class DeviceNotExactError(SpikeZooError):
    """A device does not compute integers exactly, so its tables would not be the encoder's."""


class NotFinalizedError(SpikeZooError):
    """A codec's integer tables were not exported yet, so nothing can be coded with it."""
