"""How an edge carries items, and how a node's incoming edges are joined."""
