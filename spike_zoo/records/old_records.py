"""What records of earlier schemas say otherwise than today's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How every record says what one reconstruction costs; the older ones say it nowhere else.
COST_FIELDS = ("macs", "image_size", "seconds_per_image")
_RATIO = 4  # of the image's pixels along one of the spikes', where a record does not say


def cost_of_forward(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one reconstruction costs, as records before ``costs`` say it.

    Args:
        content: The record as read from its file.
    """
    macs, size, seconds = (content[name] for name in COST_FIELDS)
    if content["schema"] == 1:
        size = image_size_of_schema_1(content)
    return {"macs": macs, "seconds": seconds, "size": size}


def image_size_of_schema_1(content: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return height and width of the image whose cost a record of schema 1 holds.

    Such records of deblurring give the spikes' size in ``image_size``, though the costs are those
    of an image several times as high and wide. The stage that only denoises makes one of the
    spikes' size, so there it is right.

    Args:
        content: The record as read from its file.
    """
    size = content["image_size"]
    if not size:
        return None
    config = content["config"]
    model = config.get("model", {}).get("init_args") or {}
    data = config.get("data", {}).get("init_args") or {}
    is_larger = content["method"] == "ssdm" and model.get("stage") != "denoise"
    ratio = data.get("ratio", _RATIO) if is_larger else 1
    return ratio * size[0], ratio * size[1]
