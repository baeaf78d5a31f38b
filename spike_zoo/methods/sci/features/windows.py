"""How features lie in time: what each sees of a recording, and how far an analysis reaches."""

from __future__ import annotations

WINDOW = 13
"""Planes of one feature: the widest ventral filter, and four dorsal ones fit exactly."""
STEP = 7
"""Planes from one feature to the next; neighbouring windows share 6."""
REACH = 2
"""Features on either side of a target that its analysis sees."""
CLIP = WINDOW + 2 * REACH * STEP
"""Planes that the analysis of one target sees: 41."""
