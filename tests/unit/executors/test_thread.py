"""Nodes whose functions run on threads; what the pool itself promises is in the contract."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from pipelines import SKIP, GraphError, NodeError, Plumber, To, lift
from pipelines.executors.thread import MOST_THREADS
from pipelines.testing import feed
from tests.unit.graphs import FED, graph, line, node, same

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")


def threaded(function: Any, **properties: Any) -> dict[str, Any]:
    return node(function, executor="thread", **properties)


async def until(predicate: Any) -> None:
    """Return as soon as something is true that a thread brings about."""
    while not predicate():
        await asyncio.sleep(0)


async def test_the_function_runs_on_another_thread():
    def where(self, q_elt):
        return threading.current_thread().name

    report = await Plumber(line(inp=feed([1]), n=threaded(where), out=same)).run(collect=["out"])
    assert report.outputs["out"][0].startswith("pipelines")


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_p4_as_many_run_at_once_as_the_concurrency_says(concurrency):
    lock, running, most = threading.Lock(), [0], [0]
    barrier = threading.Barrier(concurrency, timeout=30)

    def work(self, q_elt):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        barrier.wait()
        with lock:
            running[0] -= 1

    await Plumber(line(inp=feed(range(3 * concurrency)), n=threaded(work, concurrency=concurrency))).run()
    assert most == [concurrency]


async def test_p2_results_keep_the_order_of_the_items():
    gate = threading.Event()

    def work(self, q_elt):
        if q_elt[0] == 0:
            gate.wait(30)
        elif q_elt[0] == 5:
            gate.set()
        return q_elt[0]

    report = await Plumber(line(inp=feed(range(10)), n=threaded(work), out=same)).run(collect=["out"])
    assert report.outputs["out"] == list(range(10))


async def test_p8_the_event_loop_goes_on_meanwhile():
    gate = threading.Event()

    async def opener(self, q_elt):
        gate.set()

    given = graph({"inp": ["n", "o"]}, inp=feed([1]), n=threaded(lambda self, q_elt: gate.wait(30)), o=opener)
    report = await Plumber(given).run(collect=["n"])
    assert report.outputs["n"] == [True]


async def test_args_skip_to_and_lift_work_as_elsewhere():
    def route(self, q_elt, limit):
        if q_elt[0] == 0:
            return SKIP
        return To("b", q_elt[0]) if q_elt[0] > limit else q_elt[0]

    given = graph(
        {"inp": ["n"], "n": ["a", "b"]},
        inp=feed(range(4)),
        n=threaded(route) | {"args": {"limit": 2}},
        a=threaded(lift(lambda item: -item)),
        b=same,
    )
    report = await Plumber(given).run(collect=["a", "b"])
    assert report.outputs == {"a": [-1, -2], "b": [1, 2, 3]}


async def test_batches_and_zips_work_as_elsewhere():
    given = graph({"a": ["z"], "b": ["z"]}, a=feed([1, 2]), b=feed("xy"), z=threaded(lambda self, q_elt: q_elt))
    assert (await Plumber(given).run(collect=["z"])).outputs["z"] == [(1, "x"), (2, "y")]
    given = line(inp=feed(range(5)), n=threaded(lambda self, q_elt: sum(q_elt[0]), batch={"size": 3}))
    assert (await Plumber(given).run(collect=["n"])).outputs["n"] == [3, 7]


async def test_p6_an_exception_is_a_failure_like_any_other():
    def work(self, q_elt):
        if q_elt[0] == 1:
            raise KeyError("k")
        return q_elt[0]

    given = line(inp=feed(range(3)), n=threaded(work, on_error="skip", retry={"attempts": 2, "backoff": 0}), out=same)
    report = await Plumber(given).run(collect=["out"])
    assert report.outputs["out"] == [0, 2]
    assert [(each.item, each.attempts, repr(each.error)) for each in report.failures] == [(1, 2, "KeyError('k')")]


async def test_p6_stop_iteration_is_told_as_what_it_is():
    with pytest.raises(NodeError, match="RuntimeError: the function raised StopIteration"):
        await Plumber(line(inp=feed([1]), n=threaded(lambda self, q_elt: next(iter(()))), out=same)).run()


async def test_the_function_sees_the_context_variables_of_whoever_started_the_graph():
    variable.set("the caller's")
    report = await Plumber(line(inp=feed([1]), n=threaded(lambda self, q_elt: variable.get()))).run(collect=["n"])
    assert report.outputs["n"] == ["the caller's"]


async def test_a_call_that_takes_too_long_gives_its_place_free_while_its_thread_goes_on():
    gate = threading.Event()

    def work(self, q_elt):
        return gate.wait(60) if q_elt[0] == 0 else q_elt[0]

    async def release(self, q_elt):
        gate.set()
        return q_elt[0]

    given = line(inp=feed(range(3)), n=threaded(work, timeout=0.5, concurrency=2, on_error={"route": "dead"}), out=same)
    given["nodes"]["dead"] = {"coro": release}
    report = await Plumber(given).run(collect=["out"])
    assert (report.failures[0].item, type(report.failures[0].error)) == (0, TimeoutError)
    # On a machine that is too busy to start a thread in time others fail as well.
    assert sorted([*report.outputs["out"], *[each.item for each in report.failures]]) == [0, 1, 2]


async def test_p5_no_thread_is_alive_when_the_run_has_ended():
    report = await Plumber(line(inp=feed(range(50)), n=threaded(lambda self, q_elt: q_elt[0]))).run()
    assert report.state == "completed"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pipelines")]


@pytest.mark.parametrize("aborts", [1, 2])
async def test_p5_abort_waits_for_functions_that_run(aborts):
    gate, started, ended = threading.Event(), threading.Event(), threading.Event()

    def work(self, q_elt):
        started.set()
        gate.wait(30)
        ended.set()

    plumber = Plumber(line(inp=FED, n=threaded(work)))
    plumber.create_pipeline()
    await plumber.put("inp", 1)
    await until(started.is_set)
    aborting = [asyncio.create_task(plumber.abort()) for _ in range(aborts)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(task.done() for task in aborting)
    gate.set()
    await asyncio.wait(aborting)
    assert ended.is_set()
    assert plumber.report is not None
    assert plumber.report.state == "aborted"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pipelines")]


async def test_p5_a_failure_elsewhere_waits_for_functions_that_run():
    gate, started = threading.Event(), threading.Event()

    def work(self, q_elt):
        started.set()
        gate.wait(30)

    async def fail(self, q_elt):
        await until(started.is_set)
        asyncio.get_running_loop().call_later(0.01, gate.set)
        raise ValueError("elsewhere")

    given = graph({"inp": ["n", "f"]}, inp=feed([1]), n=threaded(work), f=fail)
    with pytest.raises(NodeError, match="elsewhere"):
        await Plumber(given).run()
    assert gate.is_set()


async def test_cleanup_comes_before_the_threads_end_and_setup_before_they_begin():
    story = []

    async def note(self):
        story.append(self.outcome)

    def work(self, q_elt):
        story.append(threading.current_thread().name.split("_")[0])

    await Plumber(line(inp=feed([1]), n=threaded(work, setup=note, cleanup=note))).run()
    assert story == [None, "pipelines", "completed"]


async def test_nodes_share_the_threads_of_a_run():
    names = set()

    def work(self, q_elt):
        names.add(threading.current_thread().name)
        return q_elt[0]

    nodes = {f"n{number}": threaded(work, concurrency=1) for number in range(4)}
    await Plumber(line(inp=feed(range(100)), **nodes)).run()
    assert 1 <= len(names) <= 4 <= MOST_THREADS


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_p7_what_yields_stays_in_the_event_loop(kind):
    async def async_generator(self, q_elt):
        yield q_elt

    def generator(self, q_elt):
        yield q_elt

    coro = {"generator": generator, "async generator": async_generator}[kind]
    with pytest.raises(GraphError, match="asks for executor 'thread', but its coro yields"):
        Plumber(line(inp=FED, n=threaded(coro)))
