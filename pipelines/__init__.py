"""Graphs of coroutines: write what the nodes do, say in a dict how they connect."""

from .blocking import run
from .errors import (
    AbortedError,
    AlignmentError,
    ClosedError,
    GraphError,
    LimitError,
    MissingExtraError,
    NodeError,
    PipelinesError,
    Problem,
    SkippedError,
    StalledError,
    StateError,
    StoppedError,
    SubmitError,
    UnknownNodeError,
)
from .graph import Graph
from .limits import Limits
from .plumber import Plumber
from .processor import InputProcessor, Processor
from .registry import Registry
from .signature import lift
from .statistics import Report, Statistics
from .types import SKIP, FailedItem, To

__version__ = "0.1.0"

__all__ = [
    "SKIP",
    "AbortedError",
    "AlignmentError",
    "ClosedError",
    "FailedItem",
    "Graph",
    "GraphError",
    "InputProcessor",
    "LimitError",
    "Limits",
    "MissingExtraError",
    "NodeError",
    "PipelinesError",
    "Plumber",
    "Problem",
    "Processor",
    "Registry",
    "Report",
    "SkippedError",
    "StalledError",
    "StateError",
    "Statistics",
    "StoppedError",
    "SubmitError",
    "To",
    "UnknownNodeError",
    "__version__",
    "lift",
    "run",
]
