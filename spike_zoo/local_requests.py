"""Requests to pages that are served to this machine alone."""

from __future__ import annotations

from typing import Final

HOST: Final = "127.0.0.1"


def is_local(host: str | None, origin: str | None) -> bool:
    """Return whether a request names this machine and is not from a page of another site.

    Args:
        host: Header ``Host``; a site whose name leads here sends its own. Any port is allowed, as
            of a tunnel.
        origin: Header ``Origin``, which browsers send with requests of pages; None: not given.
    """
    name = (host or "").partition(":")[0]
    return name in (HOST, "localhost") and origin in (None, f"http://{host}")
