"""What a page shows of a recording, an archive, runs or a bitstream, one file per part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use

if TYPE_CHECKING:
    from spike_zoo.reports.choices import Choices
    from spike_zoo.reports.sources import report_of, report_of_runs

__all__ = ["Choices", "report_of", "report_of_runs"]

_HOMES = {"Choices": "choices", "report_of": "sources", "report_of_runs": "sources"}

__getattr__ = on_first_use(__name__, _HOMES)
