"""`pipelines` in uvloop's event loop."""

from __future__ import annotations

import uvloop

from .pipelines import *  # noqa: F403

ABOUT = "`pipelines` as above, in the event loop of uvloop."
DISTRIBUTION = "uvloop"

loop_factory = uvloop.new_event_loop
