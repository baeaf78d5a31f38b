"""Charts with matplotlib: SVG for pages, arrays for PNG files."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#26292f"
_GRID: Final = "#d6dbe3"
#: Colours of a page -> CSS, so that drawings follow its light and dark theme.
_THEME: Final = {INK: "currentColor", _GRID: "var(--line)"}
#: Colours for light and dark backgrounds, and for common colour blindness.
COLOURS: Final = ("#2f80c9", "#d9822b", "#2f9e6a", "#b5508f", "#8a6fd1", "#9a8b2f", "#7a8288")
_SETTINGS: Final[Any] = {
    "svg.hashsalt": "spike-zoo",  # reproducible ids
    "svg.fonttype": "none",  # text elements instead of outlines
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # part of matplotlib: the same layout everywhere
    "axes.edgecolor": _GRID,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": _GRID,
    "text.color": INK,
    "xtick.color": _GRID,
    "xtick.labelcolor": INK,
    "ytick.color": _GRID,
    "ytick.labelcolor": INK,
}
_MAX_CELL, _MIN_CELL, _WIDEST_GRID = 0.56, 0.12, 12.0  # inches of a confusion matrix
_MAX_NAME: Final = 20  # letters of a class name
_MAX_IN_LEGEND: Final = 20  # classes
_DARK: Final = 0.55  # share of the row above which numbers are white


def new_chart(width: float = 5.6, height: float = 3.8) -> tuple[Figure, Axes]:
    """Return an empty figure, with its size in inches, and its axes with a grid."""
    figure, (axes,) = new_charts(1, 1, width, height)
    return figure, axes


def new_charts(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return an empty figure, with its size in inches, and its axes with grids, row by row."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        for panel in axes:
            panel.grid(visible=True)
            panel.set_axisbelow(True)
    return figure, axes


def set_log_scale(axes: Axes) -> None:
    """Make the x-axis logarithmic, with numbers such as 0.02 instead of powers."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def to_svg(figure: Figure, label: str) -> Markup:
    """Return a figure as SVG to embed in a page; the label is for screen readers."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context(_SETTINGS):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # the page has styles and metadata, and ids must be unique in the page
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    for colour, css in _THEME.items():
        text = text.replace(colour, css)
    size = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg {size[0] if size else ""} role="img" aria-label="{escape(label)}" '
    head += 'xmlns:xlink="http://www.w3.org/1999/xlink">'
    return Markup(re.sub(r"<svg[^>]*>", lambda _: head, text, count=1))


def to_array(figure: Figure) -> NDArray[np.uint8]:
    """Return a figure as R,G,B image, uint8 ``(H, W, 3)``."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with rc_context(_SETTINGS):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def confusion_chart(counts: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.uint8]:
    """Draw a confusion matrix with numbers of samples; colours are shares of the row.

    Args:
        counts: ``(K, K)``, number of samples by true class (row) and predicted class (column).
        names: Names of the K classes.

    Returns:
        uint8 ``(H, W, 3)``, R,G,B. Numbers are omitted if the cells are too small.
    """
    classes = len(names)
    if counts.shape != (classes, classes) or not classes:
        raise ValueError(f"{classes} names need counts of as many rows, got {counts.shape}")
    cell = float(np.clip(_WIDEST_GRID / classes, _MIN_CELL, _MAX_CELL))
    side = cell * classes
    figure, axes = new_chart(max(side + 1.5, 4.2), max(side + 1.8, 2.6))
    axes.grid(visible=False)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = min(10.0, 60 * cell)
    labels = [_shortened(name) for name in names]
    is_turned = max(map(len, labels)) * size / 100 > cell
    axes.set_xticks(range(classes), labels, size=size, rotation=90 if is_turned else 0)
    axes.set_yticks(range(classes), labels, size=size)
    axes.set(xlabel="predicted", ylabel="truth")
    if len(str(counts.max())) * 0.1 < cell:
        for row, column in zip(*counts.nonzero(), strict=True):
            ink = "white" if shares[row, column] > _DARK else INK
            text = str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", color=ink, size=9)
    right, total = int(np.trace(counts)), int(counts.sum())
    figure.suptitle(f"{right} of {total} correct ({100 * right / max(total, 1):.2f} %)")
    axes.set_title("numbers: samples, colours: shares of the row", size=9)
    return to_array(figure)


def map_chart(
    points: NDArray[Any],
    classes: NDArray[np.int64],
    names: Sequence[str],
    ringed: NDArray[np.bool_] | None = None,
    title: str = "",
) -> NDArray[np.uint8]:
    """Draw points coloured by class, with the name of each class at the median of its points.

    Args:
        points: ``(N, 2)``.
        classes: ``(N,)``, class index of each point.
        names: Names of the classes.
        ringed: ``(N,)``, True for misclassified points, which are drawn with a ring.
        title: Title of the chart.

    Returns:
        uint8 ``(H, W, 3)``, R,G,B.
    """
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or len(classes) != len(points):
        raise ValueError(f"{len(classes)} classes need points (N, 2), got {points.shape}")
    colours = class_colours(len(names))
    present = sorted(set(classes.tolist()))
    has_legend = len(present) <= _MAX_IN_LEGEND
    figure, axes = new_chart(9.2 if has_legend else 7.6, 7.8)
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[], aspect="equal")
    rings = np.zeros(len(points), bool) if ringed is None else ringed
    for label in present:
        chosen = classes == label
        for is_ring in (False, True):
            x, y = points[chosen & (rings == is_ring)].T
            look: dict[str, Any] = {"edgecolors": INK if is_ring else "white"}
            look |= {"linewidths": 1.5 if is_ring else 0.5, "zorder": 3 if is_ring else 2}
            axes.scatter(x, y, s=40, color=[colours[label]], **look)
        x, y = np.median(points[chosen], axis=0)
        look = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1}
        axes.text(x, y, _shortened(names[label]), ha="center", va="center", bbox=look, zorder=4)
    if has_legend:
        from matplotlib.lines import Line2D

        dot: dict[str, Any] = {"marker": "o", "linestyle": ""}
        dots = [
            Line2D([], [], color=colours[label], label=_shortened(names[label]), **dot)
            for label in present
        ]
        figure.legend(handles=dots, loc="outside right upper", frameon=False, labelcolor=INK)
    figure.suptitle(title)
    axes.set_title("" if ringed is None else "ring: classified wrongly", size=9)
    return to_array(figure)


def class_colours(classes: int) -> list[tuple[float, ...]]:
    """Return a distinct colour for each class."""
    from matplotlib import colormaps

    if classes <= 20:
        return [colormaps["tab10" if classes <= 10 else "tab20"](n) for n in range(classes)]
    return [colormaps["hsv"](n / classes) for n in range(classes)]


def _shortened(name: str) -> str:
    name = name.replace("$", r"\$")  # not the start of a formula
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1].rstrip()}…"
