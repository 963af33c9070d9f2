"""Where a node's function runs when it is not the event loop."""
