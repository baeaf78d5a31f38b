"""Records of runs: results, provenance, initial weights and model cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.records.provenance import commit, config_hash, versions
    from spike_zoo.records.redaction import redact
    from spike_zoo.records.result import RunResult, variant_and_profile

__all__ = ["RunResult", "commit", "config_hash", "redact", "variant_and_profile", "versions"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "RunResult": "result",
        "commit": "provenance",
        "config_hash": "provenance",
        "redact": "redaction",
        "variant_and_profile": "result",
        "versions": "provenance",
    },
)
