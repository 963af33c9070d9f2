"""What runs a graph: one driver that visits the nodes with work, and the loops of the nodes.

`scheduler` decides whose turn it is and gives the event loop back in time, `runner` receives, calls
and sends for one node, `source` does so for nodes without upstreams, `outbox` keeps order and room,
`attempts` holds retries, timeouts and error policies, `batching` collects items for one call.
"""
