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
    RemoteError,
    SkippedError,
    StalledError,
    StateError,
    StoppedError,
    SubmitError,
    TravelError,
    UnknownNodeError,
    WorkerDiedError,
)
from .graph import Graph
from .limits import Limits
from .plumber import Plumber
from .processor import InputProcessor, Processor
from .registry import Registry
from .signature import lift
from .statistics import Report, Statistics
from .types import SKIP, FailedItem, To
from .version import VERSION

__version__ = VERSION

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
    "RemoteError",
    "Report",
    "SkippedError",
    "StalledError",
    "StateError",
    "Statistics",
    "StoppedError",
    "SubmitError",
    "To",
    "TravelError",
    "UnknownNodeError",
    "WorkerDiedError",
    "__version__",
    "lift",
    "run",
]
