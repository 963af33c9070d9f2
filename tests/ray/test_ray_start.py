"""Ray started by the library, and used where it is already; machines that are lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import NodeError, Plumber
from pipelines.executors.ray import RayExecutor
from pipelines.testing import feed
from tests.unit.graphs import failed, line, node, same

ray = pytest.importorskip("ray")
numpy = pytest.importorskip("numpy")

MEGABYTES = 131_072

LOCAL = {"num_cpus": 2, "log_to_driver": False}


def double(self, q_elt):
    return 2 * q_elt[0]


def on_ray(coro: Any, **properties: Any) -> dict[str, Any]:
    return node(coro, **{"executor": "ray", **properties})


def ray_processes() -> set[str]:
    """Ray's processes that this process has started, or they."""
    parents, commands = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                parents[entry.name] = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                commands[entry.name] = (entry / "cmdline").read_text()
        except OSError:
            continue
    family = {str(os.getpid())}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    # Python's fork server, which other tests may have started, has all sorts of paths in its command.
    rays = {pid for pid, command in commands.items() if "ray" in command and "multiprocessing" not in command}
    return (family & rays) - {str(os.getpid())}


async def test_p5_ray_is_started_for_as_long_as_it_is_used():
    assert not ray.is_initialized()
    executors = {"ray": RayExecutor(init=LOCAL)}

    async def look(self, q_elt):
        return len(ray_processes()) > 2

    given = line(inp=feed(range(100)), n=on_ray(double), out=same, look=look)
    report = await Plumber(given, executors=executors).run(collect=["look"])
    assert report.outputs["look"] == 100 * [True]
    assert not ray.is_initialized()
    assert not ray_processes()
    assert not [thread for thread in threading.enumerate() if "ray" in thread.name]


async def test_graphs_share_what_is_started_and_results_outlive_it():
    def array(self, q_elt):
        return numpy.full(MEGABYTES, float(q_elt[0]))

    executor = RayExecutor(init=LOCAL)
    async with executor:
        given = line(inp=feed(range(4)), a=on_ray(array), n=on_ray(lambda self, q_elt: q_elt[0] + 1), out=same)
        plumbers = [Plumber(given, executors={"ray": executor}) for _ in range(2)]
        reports = await asyncio.gather(*(plumber.run(collect=["out"]) for plumber in plumbers))
        assert ray.is_initialized()
        assert executor.capacity == 2
    assert not ray.is_initialized()
    assert not ray_processes()
    for report in reports:
        assert [float(each.sum()) for each in report.outputs["out"]] == [MEGABYTES * (n + 1.0) for n in range(4)]


async def test_p5_abort_while_ray_starts_leaves_nothing():
    plumber = Plumber(line(inp=feed(range(10)), n=on_ray(double)), executors={"ray": RayExecutor(init=LOCAL)})
    plumber.create_pipeline()
    await asyncio.sleep(0.05)
    await plumber.abort()
    assert not ray.is_initialized()
    assert not ray_processes()


@pytest.mark.slow
async def test_p5_values_that_were_on_their_way_do_no_harm_when_ray_is_gone():
    def array(self, q_elt):
        return numpy.full(MEGABYTES, float(q_elt[0]))

    seen = []

    async def take(self, q_elt):
        seen.append(q_elt[0])
        await asyncio.sleep(3600)

    nodes = {"a": on_ray(array), "b": on_ray(lambda self, q_elt: float(q_elt[0][0])), "out": node(take, concurrency=1)}
    plumber = Plumber(line(inp=feed(range(1000)), **nodes), executors={"ray": RayExecutor(init=LOCAL)})
    plumber.create_pipeline()
    while plumber.statistics().node("a").sent < 5 or not seen:
        await asyncio.sleep(0.01)
    await plumber.abort()
    assert not ray.is_initialized()
    assert not ray_processes()


async def test_p6_ray_that_cannot_start_fails_the_run():
    executors = {"ray": RayExecutor(init={"nonsense": 1})}
    report = await failed(Plumber(line(inp=feed(range(10)), n=on_ray(double)), executors=executors))
    assert isinstance(report.error, NodeError)
    assert "nonsense" in str(report.error)
    assert not ray_processes()


def test_without_ray_the_command_that_installs_it_is_told():
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from pipelines import MissingExtraError, Plumber\n"
        "nodes = {'inp': {}, 'n': {'coro': 'n', 'properties': {'executor': 'ray'}}}\n"
        "try: Plumber({'nodes': nodes, 'graph': {'inp': ['n']}}, {'n': lambda self, q_elt: 0})\n"
        "except MissingExtraError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert result.stdout.strip() == "the executor 'ray' needs the extra 'ray': pip install 'asyncio-pipelines[ray]'"


@pytest.fixture
def two_machines() -> Iterator[Any]:
    """A cluster of two, of which the second has all that is worth having."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_p1_what_a_lost_machine_held_is_made_again(two_machines):
    second = two_machines.add_node(num_cpus=2, resources={"second": 100})
    gone = False

    def array(self, q_elt):
        return numpy.full(MEGABYTES, float(q_elt[0]))

    async def lose(self, q_elt):
        nonlocal gone
        if q_elt[0] == 5.0 and not gone:
            gone = True
            two_machines.remove_node(second, allow_graceful=False)
            two_machines.add_node(num_cpus=2, resources={"second": 100})
        return q_elt[0]

    given = line(
        inp=feed(range(60)),
        a=on_ray(array, resources={"second": 1}),
        b=on_ray(lambda self, q_elt: q_elt[0] + 1, resources={"second": 1}),
        c=on_ray(lambda self, q_elt: float(q_elt[0][0]) - 1),
        out=node(lose, concurrency=1),
    )
    executors = {"ray": RayExecutor(address=two_machines.address, init={"log_to_driver": False})}
    report = await Plumber(given, executors=executors).run(collect=["out"])
    assert report.outputs["out"] == [float(number) for number in range(60)]
    assert gone
    assert not ray.is_initialized()
