"""What is particular about worker processes; what they have in common with others is in the contract."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines import GraphError, NodeError, Plumber, WorkerDiedError
from pipelines.executors.process import ProcessExecutor
from pipelines.testing import feed
from tests.contracts import executor_coros as coros
from tests.unit.graphs import FED, line, node, same

ROOT = Path(__file__).parents[3]


async def test_nodes_run_in_other_processes_and_none_is_left():
    report = await Plumber(line(inp=feed(range(20)), n=node(coros.pid, executor="process"))).run(collect=["n"])
    pids = set(report.outputs["n"])
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2
    assert multiprocessing.active_children() == []


async def test_a_named_executor_has_as_many_workers_as_it_was_told():
    given = line(inp=feed(range(20)), n=node(coros.pid, executor="mine"))
    report = await Plumber(given, executors={"mine": ProcessExecutor(1)}).run(collect=["n"])
    assert len(set(report.outputs["n"])) == 1


async def test_processes_live_as_long_as_the_executor_is_open():
    async with ProcessExecutor(1) as mine:
        pids = set()
        for _ in range(2):
            given = line(inp=feed(range(3)), n=node(coros.pid, executor="mine"))
            pids |= set((await Plumber(given, executors={"mine": mine}).run(collect=["n"])).outputs["n"])
        assert len(pids) == 1
        assert len(multiprocessing.active_children()) == 1
    assert multiprocessing.active_children() == []


async def test_graphs_that_run_side_by_side_share_the_workers():
    given = line(inp=feed(range(20)), n=node(coros.pid, executor="process"))
    reports = await asyncio.gather(*[Plumber(given).run(collect=["n"]) for _ in range(3)])
    assert len({pid for report in reports for pid in report.outputs["n"]}) <= len(os.sched_getaffinity(0))


async def test_spawned_processes_do_the_same():
    given = line(inp=feed(range(3)), n=node(coros.double, executor="mine"))
    executors = {"mine": ProcessExecutor(1, start_method="spawn")}
    assert (await Plumber(given, executors=executors).run(collect=["n"])).outputs["n"] == [0, 2, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "workers must be at least 1, not 0"), ((1, "fork"), "'forkserver' or 'spawn', not 'fork'")],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ProcessExecutor(arguments[0], **({"start_method": arguments[1]} if arguments[1:] else {}))


def test_p7_what_cannot_travel_is_refused_when_the_graph_is_read():
    given = line(inp=FED, n=node(lambda self, q_elt: 1, executor="process") | {"args": {}})
    with pytest.raises(GraphError) as caught:
        Plumber(given, None, {"lock": multiprocessing.get_context().Lock})
    (problem, *_) = caught.value.problems
    assert (problem.code, problem.path) == ("bad_executor", "nodes.n.coro")
    given = line(inp=FED, n=node(coros.double, executor="process"))
    with Path(os.devnull).open() as file, pytest.raises(GraphError) as caught:
        Plumber(given, None, {"file": file, "number": 1})
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("bad_executor", "env_vars.file")
    assert "node 'n' asks for executor 'process', but env_vars.file cannot travel to a worker" in problem.message


async def test_a_call_that_not_even_an_exception_ends_is_killed_with_its_process():
    properties: dict[str, Any] = {"timeout": 0.2, "on_error": "skip", "executor": "process"}
    report = await Plumber(line(inp=feed(range(3)), n=node(coros.hang_for_good, **properties))).run(collect=["n"])
    assert report.outputs["n"] == [1, 2]
    (failed,) = report.failures
    assert isinstance(failed.error, TimeoutError)
    assert "its process was killed" in str(failed.error)


async def test_items_behind_a_long_call_go_to_another_worker():
    items = [0.0] * 50 + [1.5] + [0.0] * 50
    given = line(inp=feed(items), n=node(coros.nap_blocking, executor="process", order="completion"), out=same)
    report = await Plumber(given).run(collect=["out"])
    assert sorted(report.outputs["out"]) == sorted(items)
    assert report.outputs["out"][-1] == 1.5


async def test_p4_results_that_nobody_takes_do_not_pile_up():
    gate = asyncio.Event()

    async def wait(self, q_elt):
        await gate.wait()

    given = line(inp=feed(range(100_000)), n=node(coros.double, executor="process"), out=node(wait, concurrency=1))
    plumber = Plumber(given)
    plumber.create_pipeline()
    before = -1
    while before != (now := plumber.statistics().node("n").received):
        before = now
        await asyncio.sleep(0.2)
    assert before < 20_000
    gate.set()
    await plumber.abort()


async def test_p4_a_concurrency_that_was_given_is_kept():
    gate = asyncio.Event()

    async def wait(self, q_elt):
        await gate.wait()

    n = node(coros.double, executor="process", concurrency=3, queue_size=2)
    plumber = Plumber(line(inp=feed(range(1000)), n=n, out=node(wait, concurrency=1, queue_size=2)))
    plumber.create_pipeline()
    before = -1
    while before != (now := plumber.statistics().node("inp").sent):
        before = now
        await asyncio.sleep(0.2)
    assert before <= 2 + 2 * 3 + 2 + 1
    gate.set()
    await plumber.abort()


def script(text: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


HEAD = """
    import asyncio, os
    from pipelines import Plumber, run
    from pipelines.testing import feed

    def double(self, q_elt):
        return 2 * q_elt[0]

    graph = {
        "nodes": {"inp": {"coro": feed([1, 2])}, "n": {"coro": double, "properties": {"executor": "process"}}},
        "graph": {"inp": ["n"]},
    }
"""


def test_functions_of_a_script_run_in_workers(tmp_path):
    done = script(HEAD + '    if __name__ == "__main__":\n        print(run(graph, collect=["n"]).outputs)\n', tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{'n': [2, 4]}\n", "")


def test_p6_a_script_that_starts_itself_in_every_worker_is_told_so(tmp_path):
    done = script(HEAD + "    print(run(graph))\n", tmp_path)
    assert done.returncode == 1
    assert "if __name__ == '__main__':" in done.stderr


def test_p5_an_interpreter_that_ends_without_closing_the_pool_ends(tmp_path):
    ending = """
    async def main():
        plumber = Plumber(graph)
        plumber.create_pipeline()
        await plumber.wait()
        from pipelines.executors.process import ProcessExecutor
        pool = ProcessExecutor(1)
        pool.acquire()
        await Plumber(graph, executors={"process": pool}).run()
        print("end")

    if __name__ == "__main__":
        asyncio.run(main())
"""
    done = script(HEAD + ending, tmp_path)
    assert (done.returncode, done.stdout) == (0, "end\n")


async def test_p5_workers_end_when_the_program_is_killed(tmp_path):
    text = (
        HEAD
        + """
    import time

    def tell(self, q_elt):
        print(os.getpid(), flush=True)
        time.sleep(60)

    graph["nodes"]["n"]["coro"] = tell
    if __name__ == "__main__":
        run(graph)
"""
    )
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(text))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(file), env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    process.kill()
    await process.wait()
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


async def test_p6_a_worker_that_cannot_set_up_does_not_go_on_for_ever():
    given = line(inp=feed([1]), n=node(coros.same, executor="process", setup=coros.leave_at_once))
    with pytest.raises(NodeError) as caught:
        await Plumber(given).run()
    assert isinstance(caught.value.__cause__, WorkerDiedError)
    assert caught.value.__cause__.exitcode == 5
