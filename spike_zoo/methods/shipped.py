"""What ``spike_zoo.load`` knows: methods without weights, shipped weights, published files."""

from __future__ import annotations

from spike_zoo.files import WEIGHTS_FOLDER, shipped_weights

__all__ = ["PUBLISHED", "WEIGHTLESS", "WEIGHTS_FOLDER", "shipped_names", "shipped_weights"]

#: Methods that need no weights: name -> class path.
WEIGHTLESS = {
    "tfp": "spike_zoo.methods.classical.TFP",
    "tfi": "spike_zoo.methods.classical.TFI",
    "tfstp": "spike_zoo.methods.classical.TFSTP",
    "tfi-aligned": "spike_zoo.methods.classical.AlignedTFI",
}

#: Published files: an entry only they have -> the class whose ``from_official`` reads them.
PUBLISHED = {
    "spike_enc2.0.weight": "spike_zoo.methods.ssdm.SSDMStudentModule",
    "encoder.conv0.net.0.weight": "spike_zoo.methods.stir.STIRModule",
}


def shipped_names() -> list[str]:
    """Return every name that needs no path."""
    return [*WEIGHTLESS, *shipped_weights()]
