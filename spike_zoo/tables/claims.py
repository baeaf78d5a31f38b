"""What a table file expects of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from spike_zoo.errors import closest
from spike_zoo.metrics.rate import Interpolation
from spike_zoo.tables.fields import Fields
from spike_zoo.tables.spec import Expectation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.spec import Row


class Claims(Fields):
    """Reads the expectations of one table.

    Args:
        place: File and table, for errors.
        rows: The table's rows.
        columns: Its columns.
        curves: Names of its curves.
    """

    def __init__(
        self,
        place: Fields,
        rows: Sequence[Row],
        columns: Sequence[Column],
        curves: Sequence[str] = (),
    ) -> None:
        super().__init__(place.file, place.place)
        self.rows = {row.name: row for row in rows}
        self.columns = {column.name: column for column in columns}
        self.curves = curves

    def expectations(self, listed: Any) -> list[Expectation]:  # noqa: ANN401
        """Return what the rows should show."""
        found = [
            self.expectation(f"expectation {n}", one)
            for n, one in enumerate(self.sequence(listed, "expect"), 1)
        ]
        claims = [f"{e.row} / {e.held_against} / {e.by} / {e.is_close} / {e.than}" for e in found]
        self.once(claims, "expectation")
        return found

    def expectation(self, place: str, content: Any) -> Expectation:  # noqa: ANN401
        """Return one claim: better than a row, close to it, or one about a row by itself."""
        if isinstance(content, dict) and "bd_rate_below" in content:
            return self.rate_expectation(place, content)
        if isinstance(content, dict) and not {"within", "better_than"} & content.keys():
            return self.lone_expectation(place, content)
        is_close = isinstance(content, dict) and "within" in content
        required = {"row", "by"} | ({"within", "of"} if is_close else {"better_than"})
        optional = {"claim", "above"} | (set() if is_close else {"at_least", "reported"})
        self.keys(content, required, optional, place)
        row, by = str(content["row"]), str(content["by"])
        other, above = str(content["of" if is_close else "better_than"]), content.get("above")
        for name in (row, other) if above is None else (row, other, above):
            self.known_row(place, name)
        if row == other or above in (row, other):
            raise self.error(f"{place} holds row {above or row!r} against itself")
        column = self.known_column(place, by)
        if column.better == "neither" and (above is not None or not is_close):
            raise self.error(f"{place}: nobody knows whether more or less of {by!r} is better")
        margin = self.number(place, content.get("within" if is_close else "at_least", 0.0))
        claim, reported = str(content.get("claim", "")), None
        if "reported" in content:
            reported = self.finite(f"{place}: reported", content["reported"], above=0.0)
        elif not is_close:
            reported = self.published_difference(row, other, column)
        return Expectation(row, other, by, margin, is_close, claim, above, reported=reported)

    def published_difference(self, row: str, other: str, column: Column) -> float | None:
        """Return by how much a row is better than another in what one source published.

        None where it has not both, or the other is as good: then nobody reports a difference.
        """
        first, second = self.rows[row], self.rows[other]
        pair = [one.published.get(column.name) for one in (first, second)]
        if first.source != second.source or pair[0] is None or pair[1] is None:
            return None
        difference = (pair[0] - pair[1]) * (-1.0 if column.better == "lower" else 1.0)
        return difference if difference > 0 else None

    def rate_expectation(self, place: str, content: dict[str, Any]) -> Expectation:
        """Return a claim about the BD-rate of a row's curve against that of an anchor."""
        self.keys(content, {"row", "bd_rate_below", "anchor"}, {"by", "method", "claim"}, place)
        row, anchor = str(content["row"]), str(content["anchor"])
        for name in (row, anchor):
            self.known_row(place, name)
        if row == anchor:
            raise self.error(f"{place} holds row {row!r} against itself")
        if "by" not in content and len(self.curves) != 1:
            named = ", ".join(self.curves) or "none"
            raise self.error(f"{place}: by says which curve is meant; the table has {named}")
        by = str(content.get("by", *self.curves[:1]))
        if by not in self.curves:
            raise self.error(f"{place} names no curve: {by!r}.{closest(by, self.curves, most=3)}")
        method = content.get("method", "cubic")
        if method not in get_args(Interpolation):
            raise self.error(f"{place}: method is cubic or pchip, got {method!r}")
        limit, claim = self.number(place, content["bd_rate_below"]), str(content.get("claim", ""))
        return Expectation(row, None, by, claim=claim, limit=limit, anchor=anchor, method=method)

    def lone_expectation(self, place: str, content: dict[str, Any]) -> Expectation:
        """Return a claim about one row: ``at_most``, ``at_least`` or better ``than`` a column."""
        kinds = [key for key in ("at_most", "at_least", "than") if key in content]
        if len(kinds) != 1:
            self.keys(content, {"row", "by", "better_than"}, {"claim", "above", "at_least"}, place)
        (kind,) = kinds
        self.keys(content, {"row", "by", kind}, {"claim"}, place)
        row, by = str(content["row"]), str(content["by"])
        self.known_row(place, row)
        better, claim = self.known_column(place, by).better, str(content.get("claim", ""))
        if kind == "than":
            than = self.known_column(place, str(content[kind]))
            if than.name == by or "neither" in (better, than.better) or better != than.better:
                raise self.error(f"{place}: {by!r} and {than.name!r} cannot be compared")
            return Expectation(row, None, by, claim=claim, than=than.name)
        way = {"higher": "at_least", "lower": "at_most"}.get(better)
        if kind != way:
            raise self.error(
                f"{place}: nobody knows whether more or less of {by!r} is better"
                if way is None
                else f"{place}: {better} is better of {by!r}, so a claim says {way}, not {kind}"
            )
        return Expectation(row, None, by, claim=claim, limit=self.number(place, content[kind]))

    def known_row(self, place: str, name: str) -> None:
        """Refuse a row that is not there."""
        if name not in self.rows:
            raise self.error(f"{place} names no row: {name!r}.{closest(name, self.rows, most=3)}")

    def known_column(self, place: str, name: str) -> Column:
        """Return the column of a name."""
        if name not in self.columns:
            raise self.error(
                f"{place} names no column: {name!r}.{closest(name, self.columns, most=3)}"
            )
        return self.columns[name]
