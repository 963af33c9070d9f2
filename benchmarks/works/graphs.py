"""Works in which the graphs, not the items, are many: what it costs to make, run and end them."""

from __future__ import annotations

from ..jobs import Dag, Graphs
from ..meter import Reading
from .base import FULL, QUICK, TINY, Figure, Work, usual_figures

__all__ = ["WORKS"]


def _dag_figures(job: Dag, reading: Reading) -> dict[str, float]:
    return {"s": reading.seconds, "cpu_s": reading.cpu, "growth_mb": reading.growth}


def _dag(nodes: int) -> Dag:
    return Dag(nodes, items=10, parsed=False)


def _dag_parsed(nodes: int) -> Dag:
    return Dag(nodes, items=10, parsed=True)


def _graphs(graphs: int) -> Graphs:
    return Graphs(graphs, chain_items=10, depth=4, parsed=False)


def _graphs_parsed(graphs: int) -> Graphs:
    return Graphs(graphs, chain_items=10, depth=4, parsed=True)


DAG_SIZES = {FULL: {"nodes": 10_000}, QUICK: {"nodes": 1_000}, TINY: {"nodes": 30}}
DAG_FIGURES = (
    Figure("s", "seconds"),
    Figure("cpu_s", "CPU seconds"),
    Figure("growth_mb", "memory growth, MB"),
)
GRAPH_SIZES = {FULL: {"graphs": 1_000}, QUICK: {"graphs": 100}, TINY: {"graphs": 5}}
GRAPH_FIGURES = (
    Figure("us", "us per graph"),
    Figure("cpu_us", "CPU us per graph"),
    Figure("growth_mb", "memory growth, MB"),
)
ONLY_WITH_GRAPHS = ("queues", "queues_uvloop", "pipelines", "pipelines_uvloop")

WORKS = (
    Work(
        "dag10k",
        "one graph of 10,000 nodes and 20,000 edges is built from its description, and 10 items go through it",
        "dag",
        _dag,
        DAG_SIZES,
        DAG_FIGURES,
        scaled="nodes",
        figures_of=_dag_figures,
    ),
    Work(
        "dag10k_parsed",
        "the same; a contender that checks descriptions may have done so before",
        "dag",
        _dag_parsed,
        DAG_SIZES,
        DAG_FIGURES,
        scaled="nodes",
        figures_of=_dag_figures,
        contenders=ONLY_WITH_GRAPHS,
    ),
    Work(
        "graphs1000",
        "1,000 chains of a source and 4 nodes, with 10 items each, are started, run and ended in one event loop; "
        "a contender that checks descriptions may have done so before",
        "graphs",
        _graphs_parsed,
        GRAPH_SIZES,
        GRAPH_FIGURES,
        scaled="graphs",
        figures_of=usual_figures,
    ),
    Work(
        "graphs1000_parse",
        "the same, with each graph read and checked anew",
        "graphs",
        _graphs,
        GRAPH_SIZES,
        GRAPH_FIGURES,
        scaled="graphs",
        figures_of=usual_figures,
        contenders=ONLY_WITH_GRAPHS,
    ),
)
