"""Data of HTML pages."""

import json
import re
from typing import Any


def page_data(html: str) -> list[dict[str, Any]]:
    """Return the JSON data of the interactive parts of a page."""
    match = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', html)
    return json.loads(match[1]) if match else []
