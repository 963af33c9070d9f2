"""Nodes whose functions run on Ray; what every executor promises is in the contract."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines import GraphError, NodeError, Plumber, To, WorkerDiedError, lift
from pipelines.executors.ray import RayExecutor
from pipelines.testing import feed
from tests.unit.graphs import FED, failed, graph, line, node, same

numpy = pytest.importorskip("numpy")
ray = pytest.importorskip("ray")

pytestmark = pytest.mark.usefixtures("local_ray")

MEGABYTES = 131_072  # numbers of eight bytes


def on_ray(coro: Any, args: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    return node(coro, args, executor="ray", **properties)


def array(self, q_elt):
    """Ten megabytes full of the item."""
    return numpy.full(10 * MEGABYTES, float(q_elt[0]))


def more(self, q_elt):
    return q_elt[0] + 1


def first(self, q_elt):
    return float(q_elt[0][0])


def meet(self, q_elt, place, number):
    """Return when so many calls have begun."""
    begin = time.monotonic()
    Path(place, str(q_elt[0])).touch()
    while len(list(Path(place).iterdir())) < number:
        time.sleep(0.005)
    return begin, time.monotonic()


async def until(predicate: Any) -> None:
    while not predicate():
        await asyncio.sleep(0.005)


def resident() -> int:
    """Bytes of this process that are not shared with others."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(each.split()[1]) << 10 for each in lines if each.startswith("RssAnon"))


class TestValues:
    async def test_lambdas_and_local_functions_travel(self):
        offset = 3
        report = await Plumber(line(inp=feed(range(5)), n=on_ray(lambda self, q_elt: q_elt[0] + offset))).run(
            collect=["n"]
        )
        assert report.outputs["n"] == [3, 4, 5, 6, 7]

    async def test_p7_what_cannot_be_pickled_is_refused_with_its_name(self):
        given = line(inp=FED, n=on_ray(lambda self, q_elt, socket: 0, {"socket": asyncio.Lock(), "fine": 1}))
        with pytest.raises(GraphError):
            Plumber(given)
        given = line(inp=FED, n=on_ray(lambda self, q_elt, file: 0, {"file": (each for each in "ab")}))
        with pytest.raises(GraphError, match=r"args\.file cannot travel to a worker"):
            Plumber(given)

    async def test_large_values_between_neighbours_never_come_here(self):
        before, most = resident(), 0

        async def look(self, q_elt):
            nonlocal most
            most = max(most, resident())
            return q_elt[0]

        nodes = {"a": on_ray(array), "b": on_ray(more), "c": on_ray(more), "d": on_ray(first)}
        report = await Plumber(line(inp=feed(range(30)), **nodes, out=look)).run(collect=["out"])
        assert report.outputs["out"] == [number + 2.0 for number in range(30)]
        assert most - before < 10 << 20

    async def test_large_values_come_here_for_a_node_that_is_here(self):
        report = await Plumber(line(inp=feed([1, 2]), a=on_ray(array), b=on_ray(more), out=same)).run(collect=["out"])
        one, two = report.outputs["out"]
        assert (len(one), one[0], two[-1]) == (10 * MEGABYTES, 2.0, 3.0)
        one[0] = 5.0

    async def test_small_and_large_values_may_follow_each_other(self):
        def grow(self, q_elt):
            return "x" * (200_000 if q_elt[0] % 5 == 0 else 1)

        nodes = {"a": on_ray(grow), "b": on_ray(lambda self, q_elt: len(q_elt[0]))}
        report = await Plumber(line(inp=feed(range(100)), **nodes)).run(collect=["b"])
        assert report.outputs["b"] == [200_000 if number % 5 == 0 else 1 for number in range(100)]

    async def test_p3_zips_and_batches_take_large_values(self):
        given = graph(
            {"inp": ["a", "b"], "a": ["z"], "b": ["z"]},
            inp=feed(range(4)),
            a=on_ray(array),
            b=on_ray(array),
            z=on_ray(lift(lambda left, right: float(left[0] + right[0]))),
        )
        assert (await Plumber(given).run(collect=["z"])).outputs["z"] == [0.0, 2.0, 4.0, 6.0]
        total = on_ray(lambda self, q_elt: [float(each[0]) for each in q_elt[0]], batch={"size": 2})
        given = line(inp=feed(range(4)), a=on_ray(array), n=total)
        assert (await Plumber(given).run(collect=["n"])).outputs["n"] == [[0.0, 1.0], [2.0, 3.0]]

    async def test_large_values_can_be_routed(self):
        def route(self, q_elt):
            return To("b" if q_elt[0] % 2 else "a", numpy.full(MEGABYTES, q_elt[0]))

        given = graph(
            {"inp": ["n"], "n": ["a", "b"]}, inp=feed(range(4)), n=on_ray(route), a=on_ray(first), b=on_ray(first)
        )
        assert (await Plumber(given).run(collect=["a", "b"])).outputs == {"a": [0.0, 2.0], "b": [1.0, 3.0]}

    async def test_large_values_stay_between_actors(self):
        class More:
            def __call__(self, q_elt):
                return q_elt[0] + 1

        nodes = {"a": on_ray(array), "b": on_ray(More, concurrency=1), "c": on_ray(first)}
        report = await Plumber(line(inp=feed(range(6)), **nodes)).run(collect=["c"])
        assert report.outputs["c"] == [number + 1.0 for number in range(6)]

    async def test_p6_an_item_that_failed_is_told_by_its_value(self):
        def fail(self, q_elt):
            raise ValueError("no")

        given = line(inp=feed([7]), a=on_ray(array), n=on_ray(fail))
        report = await failed(Plumber(given))
        assert isinstance(report.error, NodeError)
        item: Any = report.error.item
        assert (len(item), item[0]) == (10 * MEGABYTES, 7.0)
        given = line(inp=feed([8]), a=on_ray(array), n=on_ray(fail, on_error={"route": "dead"}), out=same)
        given["nodes"]["dead"] = {"coro": same}
        (dead,) = (await Plumber(given).run(collect=["dead"])).outputs["dead"]
        assert (dead.node, dead.item[0]) == ("n", 8.0)

    async def test_large_arguments_and_environments_are_sent_once(self):
        def look(self, q_elt, weights):
            return float(weights[q_elt[0]]) + len(self.text)

        weights = numpy.arange(MEGABYTES)
        given = line(inp=feed(range(50)), n=on_ray(look, {"weights": weights}))
        report = await Plumber(given, None, {"text": "x" * 100_000}).run(collect=["n"])
        assert report.outputs["n"] == [number + 100_000.0 for number in range(50)]


class TestResources:
    async def at_once(self, place: Path, number: int, executors: Any = None, **properties: Any) -> int:
        """Have calls wait until so many have begun; gives how many were there at once at most."""
        place.mkdir()
        given = {"executor": "ray", **properties}
        n = node(meet, {"place": str(place), "number": number}, **given)
        report = await Plumber(line(inp=feed(range(2 * number)), n=n), executors=executors).run(collect=["n"])
        spans = report.outputs["n"]
        return max(sum(1 for other, end in spans if other <= begin < end) for begin, _ in spans)

    async def test_as_many_run_at_once_as_fit(self, tmp_path):
        assert await self.at_once(tmp_path / "a", 1, num_cpus=2) == 1
        assert await self.at_once(tmp_path / "b", 2) == 2
        assert await self.at_once(tmp_path / "c", 4, num_cpus=0.5) == 4

    async def test_an_executor_has_needs_of_its_own(self, tmp_path):
        executors = {"wide": RayExecutor(num_cpus=2)}
        assert await self.at_once(tmp_path / "a", 1, executors, executor="wide") == 1
        assert await self.at_once(tmp_path / "b", 2, executors, executor="wide", num_cpus=1) == 2

    @pytest.mark.parametrize("stateful", [False, True])
    async def test_what_fits_nowhere_is_said_and_waits(self, caplog, stateful):
        lifecycle: Any = {"setup": lambda self: None} if stateful else {}
        needs: Any = {"num_gpus": 1, "resources": {"tpu": 2}}
        plumber = Plumber(line(inp=feed([1]), n=on_ray(lambda self, q_elt: 0, **needs, **lifecycle)))
        with caplog.at_level(logging.WARNING, "pipelines"):
            plumber.create_pipeline()
            await until(lambda: caplog.records)
            await asyncio.sleep(0.1)
        await plumber.abort()
        assert [record.getMessage() for record in caplog.records] == [
            "node 'n' waits: a call needs 1 GPU, 2 tpu, and no machine of the cluster has that"
        ]

    async def test_more_nodes_with_actors_than_fit_take_turns(self, tmp_path):
        class Model:
            def __init__(self, place):
                self.file = Path(place, f"{os.getpid()}-{time.monotonic_ns()}")
                self.file.write_text("made")

            def __call__(self, q_elt):
                return q_elt[0] + 1

            def close(self):
                self.file.write_text("closed")

        nodes = {f"n{number}": on_ray(Model, {"place": str(tmp_path)}) for number in range(3)}
        report = await Plumber(line(inp=feed(range(30)), **nodes, t=on_ray(more))).run(collect=["t"])
        assert report.outputs["t"] == [number + 4 for number in range(30)]
        assert {file.read_text() for file in tmp_path.iterdir()} == {"closed"}

    async def test_actors_that_have_nothing_to_do_make_room_for_calls(self):
        nodes = {
            "a": on_ray(lambda self, q_elt: [q_elt[0]]),
            "m": on_ray(lambda self, q_elt: q_elt[0], setup=lambda self: None),
            "b": on_ray(lambda self, q_elt: q_elt[0]),
            "n": on_ray(lambda self, q_elt: q_elt[0], setup=lambda self: None),
        }
        async with Plumber(line(inp=FED, **nodes, out=lambda self, q_elt: q_elt[0][0])) as plumber:
            for item in range(3):
                for each in await asyncio.gather(*(plumber.submit(item, timeout=40) for _ in range(100))):
                    assert each == item

    async def test_p6_an_actor_that_died_with_nothing_to_do_is_replaced(self, tmp_path):
        class Model:
            def __init__(self, place):
                Path(place, str(os.getpid())).touch()

            def __call__(self, q_elt):
                return q_elt[0]

            def close(self):
                pass

        n = on_ray(Model, {"place": str(tmp_path)}, concurrency=1)
        async with Plumber(line(inp=FED, n=n)) as plumber:
            assert await plumber.submit(1, timeout=40) == 1
            (first,) = tmp_path.iterdir()
            os.kill(int(first.name), signal.SIGKILL)
            await until(lambda: not is_alive(int(first.name)))
            assert await plumber.submit(2, timeout=40) == 2
            (last,) = [file for file in tmp_path.iterdir() if file != first]
            os.kill(int(last.name), signal.SIGKILL)
            await until(lambda: not is_alive(int(last.name)))
        assert plumber.report is not None
        assert (plumber.report.state, plumber.report.error) == ("stopped", None)

    async def test_others_work_while_a_node_waits_for_what_is_not_there(self):
        given = graph(
            {"inp": ["n", "w"]},
            inp=feed(range(20)),
            n=on_ray(more, num_cpus=2),
            w=on_ray(more, num_cpus=2, num_gpus=1, queue_size=64),
        )
        plumber = Plumber(given)
        plumber.create_pipeline()
        await until(lambda: plumber.statistics().node("n").sent == 20)
        await plumber.abort()

    async def test_an_executor_belongs_to_one_loop_at_a_time_and_leaves_ray_to_whoever_started_it(self):
        executor = RayExecutor()
        executor.acquire()

        def elsewhere() -> None:
            async def acquire() -> None:
                executor.acquire()

            with pytest.raises(RuntimeError, match="one event loop at a time"):
                asyncio.run(acquire())

        await asyncio.to_thread(elsewhere)
        await executor.release()
        assert ray.is_initialized()
        await asyncio.get_running_loop().shutdown_default_executor()

    async def test_two_graphs_share_the_cluster(self):
        given = line(inp=feed(range(50)), n=on_ray(more))
        reports = await asyncio.gather(*(Plumber(given).run(collect=["n"]) for _ in range(3)))
        assert [report.outputs["n"] for report in reports] == 3 * [list(range(1, 51))]


def begun(place: str, name: Any) -> int:
    """How many times this was called for a name, this time included."""
    with Path(place, str(name)).open("a") as file:
        file.write(".")
    return Path(place, str(name)).stat().st_size


def die_first(self, q_elt, place):
    """Kill the worker at the first attempt for some items."""
    if q_elt[0] % 10 == 3 and begun(place, q_elt[0]) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return q_elt[0]


async def die_first_later(self, q_elt, place):
    await asyncio.sleep(0)
    return die_first(self, q_elt, place)


class DieFirst:
    def __init__(self, place):
        self.place = place

    def __call__(self, q_elt):
        return die_first(self, q_elt, self.place)


def stuck(self, q_elt, place):
    """Not even an exception ends this."""
    begun(place, q_elt[0])
    while q_elt[0] == 1:
        try:
            time.sleep(3600)
        except BaseException:
            begun(place, "interrupted")
    return q_elt[0]


def deaf(self, q_elt, place):
    """Not even a signal ends this: the interpreter never gets a chance."""
    begun(place, q_elt[0])
    return sum(range(10**14)) if q_elt[0] == 1 else q_elt[0]


async def stuck_loop(self, q_elt, place):
    begun(place, q_elt[0])
    if q_elt[0] == 1:
        time.sleep(3600)  # noqa: ASYNC251
    return q_elt[0]


class TestFailures:
    @pytest.mark.parametrize("coro", [die_first, die_first_later, DieFirst])
    async def test_p1_items_of_workers_that_die_are_sent_again(self, coro, tmp_path):
        given = line(inp=feed(range(20)), n=on_ray(coro, {"place": str(tmp_path)}))
        report = await Plumber(given).run(collect=["n"])
        assert report.outputs["n"] == list(range(20))
        assert {file.name for file in tmp_path.iterdir()} == {"3", "13"}
        assert report.statistics.node("n").retried >= 2

    @pytest.mark.parametrize("stateful", [False, pytest.param(True, marks=pytest.mark.slow)])
    async def test_p6_an_item_that_kills_every_worker_is_given_up(self, stateful, tmp_path):
        def die(self, q_elt, place):
            begun(place, "died")
            os.kill(os.getpid(), signal.SIGKILL)

        lifecycle: Any = {"setup": lambda self: None} if stateful else {}
        report = await failed(Plumber(line(inp=feed([0]), n=on_ray(die, {"place": str(tmp_path)}, **lifecycle))))
        assert isinstance(report.error, NodeError)
        assert type(report.error.__cause__) is WorkerDiedError
        assert (tmp_path / "died").stat().st_size == 4
        assert report.statistics.node("n").retried == 3

    async def test_p6_setups_that_kill_every_actor_fail_the_run(self):
        n = on_ray(more, setup=lambda self: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(NodeError) as caught:
            await Plumber(line(inp=feed([0]), n=n)).run()
        assert type(caught.value.__cause__) is WorkerDiedError

    @pytest.mark.parametrize(("coro", "attempts"), [(stuck, 1), pytest.param(deaf, 2, marks=pytest.mark.slow)])
    async def test_a_call_that_cannot_be_interrupted_loses_its_worker(self, coro, attempts, tmp_path):
        given = line(inp=feed(range(4)), n=on_ray(coro, {"place": str(tmp_path)}, timeout=0.3, on_error="skip"))
        report = await Plumber(given).run(collect=["n"])
        assert report.outputs["n"] == [0, 2, 3]
        assert [(each.item, type(each.error)) for each in report.failures] == [(1, TimeoutError)]
        assert (tmp_path / "1").stat().st_size == attempts

    async def test_an_event_loop_that_stands_still_loses_its_worker(self, tmp_path):
        given = line(inp=feed(range(40)), n=on_ray(stuck_loop, {"place": str(tmp_path)}, timeout=0.3, on_error="skip"))
        report = await Plumber(given).run(collect=["n"])
        assert 1 in [each.item for each in report.failures]
        assert {type(each.error) for each in report.failures} == {TimeoutError}
        # Those that stood in the same loop had no result in time either.
        assert sorted([*report.outputs["n"], *[each.item for each in report.failures]]) == list(range(40))

    async def test_a_late_call_of_an_actor_is_interrupted(self, tmp_path):
        class Model:
            def __init__(self, place):
                begun(place, "made")

            def __call__(self, q_elt):
                time.sleep(3600 if q_elt[0] == 1 else 0)
                return q_elt[0]

        n = on_ray(Model, {"place": str(tmp_path)}, timeout=0.5, on_error="skip", concurrency=1)
        report = await Plumber(line(inp=feed(range(4)), n=n)).run(collect=["n"])
        assert report.outputs["n"] == [0, 2, 3]
        assert (tmp_path / "made").stat().st_size == 1

    @pytest.mark.parametrize("kind", ["task", "actor", "coroutine"])
    async def test_p5_abort_ends_calls_that_run(self, kind, tmp_path):
        def hang(self, q_elt, place):
            Path(place, str(os.getpid())).touch()
            time.sleep(3600)

        async def hang_later(self, q_elt, place):
            Path(place, str(os.getpid())).touch()
            await asyncio.sleep(3600)

        lifecycle: Any = {"setup": lambda self: None} if kind == "actor" else {}
        coro = hang_later if kind == "coroutine" else hang
        plumber = Plumber(line(inp=feed(range(20)), n=on_ray(coro, {"place": str(tmp_path)}, **lifecycle)))
        plumber.create_pipeline()
        await until(lambda: len(list(tmp_path.iterdir())) == (1 if kind == "coroutine" else 2))
        await plumber.abort()
        await until(lambda: not any(is_alive(int(file.name)) for file in tmp_path.iterdir()))

    async def test_p8_the_loop_goes_on_while_large_items_are_sent(self):
        longest, ended = 0.0, False

        async def watch() -> None:
            nonlocal longest
            while not ended:
                begin = time.perf_counter()
                await asyncio.sleep(0)
                longest = max(longest, time.perf_counter() - begin)
                await asyncio.sleep(0.001)

        items = [numpy.zeros(50 * MEGABYTES) for _ in range(4)]
        watching = asyncio.create_task(watch())
        await Plumber(line(inp=feed(items), n=on_ray(first))).run()
        ended = True
        await watching
        assert longest < 0.5  # sent in the loop, each would take as long as it takes to copy it


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
