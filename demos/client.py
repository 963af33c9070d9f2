"""A client of server.py: sends a graph, prints what comes back, and ends when the graph has ended.

Start it with ``python demos/client.py``, after ``python demos/server.py`` in another terminal. Several may run
at the same time; each gets its own results.
"""

import argparse
import asyncio
import random
import sys
from typing import Any

import socketio


def make_graph(strings: list[str]) -> dict[str, Any]:
    """Every string is reversed; the result goes two ways, and both ways end in the same node.

    ``aggregate_inputs: False`` makes that node take items one by one, as they come; otherwise it
    would be given two that belong together.
    """
    return {
        "nodes": {
            "inp": {"coro": "ProcessFunc.inputcoro", "args": {"strings_from_client": strings}},
            "coro1": {"coro": "ProcessFunc.coro1"},
            "coro2": {"coro": "ProcessFunc.coro2"},
            "coro3": {"coro": "ProcessFunc.coro3"},
            "out": {"coro": "ProcessFunc.outputcoro", "properties": {"aggregate_inputs": False}},
        },
        "graph": {
            "inp": ("coro1",),
            "coro1": ("coro2", "coro3"),
            "coro2": ("out",),
            "coro3": ("out",),
            "out": None,
        },
    }


async def run_remotely(url: str, graph: dict[str, Any]) -> bool:
    """Send ``graph`` to the server, print what it answers, and tell whether the graph ran to its end."""
    sio = socketio.AsyncClient(reconnection=False)
    completed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def end(result: bool) -> None:
        if not completed.done():
            completed.set_result(result)

    def on_ended(data: dict[str, Any]) -> None:
        print(":. the graph has {state}: {results} results in {seconds:.1f} s {error}".format(**data))
        end(data["state"] == "completed")

    def on_problems(problems: list[dict[str, str]]) -> None:
        for problem in problems:
            print(":. {path}: {message} [{code}] {hint}".format(**problem))
        end(False)

    sio.on("recv", lambda data: print(f"Received data: {data}"))
    sio.on("ended", on_ended)
    sio.on("problems", on_problems)
    sio.on("disconnect", lambda *_: end(False))
    await sio.connect(url)
    try:
        await sio.emit("process_msg", graph)
        return await completed
    finally:
        await sio.disconnect()


def main() -> int:
    """Send a graph with some random strings; 0 when it ran to its end."""
    parser = argparse.ArgumentParser(description="Send a graph to server.py.")
    parser.add_argument("--url", default="http://localhost:8080")
    parser.add_argument("strings", nargs="*", help="what to send; random ones if there are none")
    args = parser.parse_args()
    strings = args.strings or [hex(random.getrandbits(128)) for _ in range(5)]
    print(f":. sending {strings}")
    try:
        return 0 if asyncio.run(run_remotely(args.url, make_graph(strings))) else 1
    except socketio.exceptions.ConnectionError as error:
        print(f":. no server at {args.url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
