"""The reference in uvloop's event loop, to set the graphs in that loop against."""

from __future__ import annotations

import uvloop

from .queues import *  # noqa: F403

ABOUT = "`queues` as above, in the event loop of uvloop."
DISTRIBUTION = "uvloop"

loop_factory = uvloop.new_event_loop
