"""`Processor` and `InputProcessor`: what a coro gets as ``self``, and what ``Plumber.nodes`` lists.

They hold what belongs to one node for its user to see: names, arguments, environment, channels.
The loop that receives, calls and sends is `pipelines.engine.runner`; it is kept out of here so that
nothing of the engine can be shadowed by an environment variable or overwritten by a coro.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .context import NO_ARGS, Context
from .graph.model import Properties
from .types import Coro

__all__ = ["InputProcessor", "Processor"]


class Processor(Context):
    """One node of a running graph, as its coro sees it.

    A coro may set attributes of its own here (an open file, a connection); it finds them again at
    its next call. An attribute that nobody has set is looked up in ``env_vars``.

    Attributes:
        name: The node's name in the dict.
        args: The keyword arguments of the coro, read-only.
        properties: The node's properties, each given or default.
        env_vars: The mapping given to `Plumber`, the same object for all nodes.
        processor_coro: The function that runs for each item; None for a source fed by the program.
        liason_queues: The incoming and the outgoing channels, as two tuples.
        input_queue: Joins the incoming channels; ``qsize()`` says how many calls' worth is waiting.
            None for a source, and before the graph is started.
        output_queue: Of a source: what its items are put into. Else: where results wait for their
            turn; ``qsize()`` says how many do. None before the graph is started.
        outcome: How the run ended, for ``cleanup``: ``completed``, ``failed``, ``stopped`` or
            ``aborted``; None while it runs.
    """

    def __init__(
        self,
        name: str,
        coro: Coro | None,
        args: Mapping[str, Any],
        env_vars: Mapping[str, Any],
        inputs: tuple[Any, ...] = (),
        outputs: tuple[Any, ...] = (),
        properties: Properties = Properties(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(name, MappingProxyType(dict(args)) if args else NO_ARGS, env_vars)
        self.properties = properties
        self.processor_coro = coro
        self.liason_queues = (inputs, outputs)
        self.input_queue: Any = None
        self.output_queue: Any = None

    def __repr__(self) -> str:
        coro = getattr(self.processor_coro, "__qualname__", self.processor_coro)
        return f"<{type(self).__name__} {self.name!r}, coro: {coro}>"


class InputProcessor(Processor):
    """A source: a node that nothing flows into."""
