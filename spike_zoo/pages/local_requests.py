"""Check of HTTP requests to local servers, against requests from other sites."""

from __future__ import annotations

from typing import Final

HOST: Final = "127.0.0.1"


def is_local(host: str | None, origin: str | None) -> bool:
    """Return whether a request is for a local host name and not from a page of another site.

    Args:
        host: Header ``Host``. A remote site that resolves to this machine (DNS rebinding) has
            another name here. Any port is allowed, for example of a tunnel.
        origin: Header ``Origin``, which browsers send with requests of pages; None if missing.
    """
    name = (host or "").partition(":")[0]
    return name in (HOST, "localhost") and origin in (None, f"http://{host}")
