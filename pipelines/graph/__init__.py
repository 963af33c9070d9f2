"""The graph dict, read: validated with all problems at once, resolved, ordered and frozen."""

from .graph import Graph
from .model import Batch, CallKind, Edge, Node, Properties, Route

__all__ = ["Batch", "CallKind", "Edge", "Graph", "Node", "Properties", "Route"]
