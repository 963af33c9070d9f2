"""The commands as a whole, called inside this process."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipelines
from pipelines.cli import main
from pipelines.cli.progress import Lines, Moment
from tests.unit.cli.conftest import GRAPH, Command

Write = Callable[..., str]


def nodes(**changes: Any) -> dict[str, Any]:
    return {name: {**entry, **changes.get(name, {})} for name, entry in GRAPH["nodes"].items()}


def append(code: str) -> None:
    """More code for the module of coros."""
    with Path("t_coros.py").open("a") as file:
        file.write(textwrap.dedent(code))


# run


def test_a_run_is_summed_up(command: Command) -> None:
    result = command("run", "graph.json")
    lines = result.out.splitlines()
    assert result.status == 0
    assert lines[0].startswith("graph.json: completed after 0.")
    assert "3 items in (" in lines[0]
    assert lines[1].split() == ["node", "received", "sent", "sent/s", "skipped", "failed"]
    rows = [line.split() for line in lines[3:6]]
    assert [(name, received, sent, *lost) for name, received, sent, _, *lost in rows] == [
        ("inp", "0", "3", "0", "0"),
        ("dbl", "3", "3", "0", "0"),
        ("out", "3", "3", "0", "0"),
    ]
    assert (len(lines), result.err) == (6, "")


def test_yaml_on_standard_input_runs(command: Command) -> None:
    text = "coros: [t_coros]\nnodes: {inp: {coro: t.numbers}, out: {coro: t.double}}\ngraph: {inp: [out]}\n"
    result = command("run", "-", "--collect", "out", "--quiet", stdin=text)
    assert (result.status, result.out, result.err) == (0, "0\n2\n4\n", "")


def test_collected_results_follow_the_summary(command: Command) -> None:
    result = command("run", "graph.json", "--collect", "out", "--set", "out.args.suffix=é\x9b")
    assert result.out.splitlines()[-3:] == ['"0é\\u009b"', '"2é\\u009b"', '"4é\\u009b"']
    assert result.out.startswith("graph.json: completed")


def test_results_of_several_sinks_are_told_apart(command: Command, graph: Write) -> None:
    file = graph(graph={"inp": ["dbl", "out"]})
    result = command("run", file, "--collect", "out", "--collect", "dbl", "--collect", "out", "--quiet")
    assert [json.loads(line) for line in result.out.splitlines()] == [
        {"out": "0"},
        {"out": "1"},
        {"out": "2"},
        {"dbl": 0},
        {"dbl": 2},
        {"dbl": 4},
    ]


def test_quiet_prints_nothing(command: Command) -> None:
    result = command("run", "graph.json", "--quiet")
    assert (result.status, result.out, result.err) == (0, "", "")


def test_json_is_one_document_whatever_the_coros_print(command: Command, graph: Write) -> None:
    file = graph(nodes=nodes(out={"coro": "t.echo"}))
    result = command("run", file, "--json", "--collect", "out")
    report = json.loads(result.out)
    assert (result.status, report["state"], report["outputs"]) == (0, "completed", {"out": [0, 2, 4]})
    assert report["statistics"]["nodes"][1]["received"] == 3
    assert result.err == "got 0\ngot 2\ngot 4\n"


def test_values_are_replaced(command: Command) -> None:
    result = command(
        "run",
        "graph.json",
        "--json",
        "--collect=out",
        "--set=inp.args.n=2",
        "--set=out.args.suffix=007",
        "--set=defaults.concurrency=1",
        "--set=dbl.properties.queue_size=5",
    )
    report = json.loads(result.out)
    assert report["outputs"] == {"out": ["0007", "2007"]}
    assert [edge["capacity"] for edge in report["statistics"]["edges"]] == [5, 64]


def test_defaults_of_the_file_count(command: Command, graph: Write) -> None:
    report = json.loads(command("run", graph(defaults={"queue_size": 7}), "--json").out)
    assert [edge["capacity"] for edge in report["statistics"]["edges"]] == [7, 7]


def test_modules_are_found_beside_the_file_and_in_the_working_directory(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    (here / "elsewhere" / "t_more.py").write_text(
        "from pipelines.registry import coro\n@coro('t.more')\ndef f(self, q_elt): ..."
    )
    before = list(sys.path)
    result = command("run", "../graph.json", "--coros", "t_more", "--set", "out.args.suffix=!", "--quiet")
    assert (result.status, result.err) == (0, "")
    assert "t_more" in sys.modules
    assert sys.path == before


def test_items_that_fail_and_are_skipped_are_told_in_the_summary(command: Command) -> None:
    arguments = ["--set", "inp.args.n=9", "--set", "dbl.args.fail_at=1", "--set", "dbl.properties.on_error=skip"]
    result = command("run", "graph.json", *arguments)
    assert result.status == 0
    assert result.out.splitlines()[-2:] == ["1 item failed:", "  dbl: ValueError: no 1, item 1"]
    assert result.err == ""


def test_the_first_failures_are_told(command: Command, graph: Write) -> None:
    retry = {"on_error": "skip", "retry": {"attempts": 2, "backoff": 0}}
    file = graph(nodes=nodes(inp={"args": {"n": 7}}, dbl={"coro": "t_coros:broken", "properties": retry}))
    append("def broken(self, q_elt): raise OSError('x\\n' * 99)")
    result = command("run", file)
    lines = result.out.splitlines()
    assert lines[1].split() == ["node", "received", "sent", "sent/s", "skipped", "failed", "retried"]
    assert lines[4].split()[-3:] == ["0", "7", "7"]
    assert lines[6] == "7 items failed; the first 5:"
    assert lines[7].startswith("  dbl: OSError: x\\nx\\n")
    assert [line.rpartition(" after ")[2] for line in lines[7:]] == [f"2 attempts, item {n}" for n in range(5)]


def test_of_very_many_nodes_those_that_lost_items_are_told_first(command: Command, graph: Write) -> None:
    names = ["inp", *(f"n{number}" for number in range(999))]
    many: dict[str, Any] = {name: {"coro": "t.double"} for name in names}
    many["inp"] = {"coro": "t.numbers"}
    many["n998"] = {"coro": "t.double", "args": {"skip_at": 0}}
    result = command("run", graph(nodes=many, graph=dict(zip(names, ([name] for name in names[1:]), strict=False))))
    rows = result.out.splitlines()[3:]
    assert result.status == 0
    assert [row.split()[0] for row in rows] == [*names[:199], "n998", "..."]
    assert rows[-1] == "... and 800 nodes more; --json tells of all"


def test_dropped_items_are_told(command: Command, graph: Write) -> None:
    file = graph(nodes=nodes(inp={"args": {"n": 500}}, dbl={"properties": {"overflow": "drop_new", "queue_size": 1}}))
    result = command("run", file)
    assert result.out.splitlines()[-1].endswith("items dropped from inp to dbl")


def test_a_failed_run_tells_node_item_and_cause(command: Command) -> None:
    result = command("run", "graph.json", "--set", "dbl.args.fail_at=1")
    assert result.status == 1
    assert result.out.startswith("graph.json: failed after")
    assert result.err.splitlines() == [
        "error: node 'dbl' failed on item 1: ValueError: no 1",
        "(--traceback shows where it was raised)",
    ]


def test_a_failed_run_tells_the_traceback_when_asked(command: Command) -> None:
    result = command("run", "graph.json", "--set", "dbl.args.fail_at=1", "--traceback", "--quiet")
    assert (result.status, result.out) == (1, "")
    assert 't_coros.py", line' in result.err
    assert result.err.splitlines()[-1] == "error: node 'dbl' failed on item 1: ValueError: no 1"


def test_a_failed_run_in_json(command: Command) -> None:
    result = command("run", "graph.json", "--set", "dbl.args.fail_at=1", "--json")
    report = json.loads(result.out)
    assert (result.status, report["state"]) == (1, "failed")
    assert report["error"] == "node 'dbl' failed on item 1: ValueError: no 1"
    assert report["failures"][0]["node"] == "dbl"
    assert result.err.startswith("error: node 'dbl' failed")


def test_a_run_may_fail_without_a_node(command: Command, graph: Write) -> None:
    file = graph(
        nodes={**nodes(), "in2": {"coro": "t.numbers", "args": {"n": 5}}, "out": {"coro": "t.double"}},
        graph={"inp": ["dbl"], "dbl": ["out"], "in2": ["out"]},
    )
    result = command("run", file, "--quiet")
    assert result.status == 1
    assert result.err == "error: node 'out' zips upstreams of unequal length: 'dbl' had 3, 'in2' had 5\n"


def test_a_coro_that_leaves_the_program_does_not_decide_the_status(command: Command, graph: Write) -> None:
    result = command("run", graph(nodes=nodes(out={"coro": "t.quit"})))
    assert (result.status, result.out) == (1, "")
    assert result.err == "error: a coro called sys.exit(0), which ended the run at once\n"


def test_what_the_library_logs_is_one_line(command: Command, graph: Write) -> None:
    append("def cleanup(self): raise OSError('no \\x1b[2J disk')")
    file = graph(nodes=nodes(dbl={"args": {"fail_at": 0}, "properties": {"cleanup": "t_coros:cleanup"}}))
    result = command("run", file, "--quiet")
    assert result.status == 1
    assert result.err.splitlines()[0].startswith("error: cleanup of node 'dbl' failed: NodeError: node 'dbl' failed")
    assert "Traceback" not in result.err
    assert "\x1b" not in result.err
    traced = command("run", file, "--quiet", "--traceback")
    assert traced.err.count("Traceback (most recent call last)") >= 2


def test_a_program_that_has_configured_logging_is_left_alone(command: Command, graph: Write) -> None:
    append(
        """
        import io, logging

        stream = io.StringIO()
        logging.getLogger().addHandler(logging.StreamHandler(stream))

        def cleanup(self):
            raise OSError("disk")
        """
    )
    file = graph(nodes=nodes(dbl={"args": {"fail_at": 0}, "properties": {"cleanup": "t_coros:cleanup"}}))
    result = command("run", file, "--quiet")
    assert "cleanup" not in result.err
    assert "cleanup of node 'dbl' failed" in sys.modules["t_coros"].stream.getvalue()


# What is refused


def test_everything_that_is_wrong_is_told_at_once(command: Command, graph: Write) -> None:
    file = graph(graph={"inp": ["dlb"], "dbl": ["out"]}, extra=1)
    result = command("run", file, "--set", "dbll.args.x=1", "--set", "dbl.args.y=1", "--collect", "ot")
    assert (result.status, result.out) == (2, "")
    lines = result.err.splitlines()
    assert lines[0] == "other.json: 5 problems"
    assert [line.split(": ")[:2] for line in lines[1:]] == [
        ["  unknown_key", "extra"],
        ["  unknown_node", "--set dbll.args.x=1"],
        ["  unknown_node", "graph.inp[0]"],
        ["  unknown_argument", "nodes.dbl.args.y"],
        ["  unknown_node", "--collect ot"],
    ]
    assert lines[1].endswith("unknown key 'extra' (there are: nodes, graph, coros, defaults)")
    assert lines[2].endswith("unknown node 'dbll' (did you mean 'dbl'? nodes are: inp, dbl, out)")
    assert lines[5].endswith("unknown node 'ot' (did you mean 'out'? nodes are: inp, dbl, out)")


@pytest.mark.parametrize(
    ("keys", "arguments", "line"),
    [
        (
            {"coros": ["t_nowhere"]},
            [],
            "bad_import: coros[0]: module 't_nowhere' cannot be imported: ModuleNotFoundError",
        ),
        ({}, ["--coros", "t/x.py"], "bad_import: --coros: module 't/x.py' cannot be imported: ModuleNotFoundError"),
        ({}, ["--coros", ""], "bad_import: --coros: module '' cannot be imported: ValueError"),
        (
            {"coros": "t_coros"},
            [],
            "wrong_type: coros: coros must be a list of modules, not 't_coros' (write [",
        ),
        ({"nodes": nodes(dbl={"coro": "t.dubble"})}, [], "unknown_coro: nodes.dbl.coro: unknown coro 't.dubble'"),
        ({"nodes": nodes(dbl={"coro": "t_coros:x"})}, [], "unknown_coro: nodes.dbl.coro: unknown coro 't_coros:x'"),
        ({"nodes": nodes(inp={"args": {"n": "x"}})}, [], "bad_argument: nodes.inp.args.n: argument 'n': "),
        ({"nodes": nodes(dbl={"args": {"y": 1}})}, [], "unknown_argument: nodes.dbl.args.y: node 'dbl'"),
        (
            {"defaults": {"rat": 1}},
            [],
            "unknown_key: defaults.rat: unknown key 'rat' in defaults (did you",
        ),
        ({"defaults": 3}, [], "wrong_type: defaults: defaults must be an object of properties, not 3"),
        ({"nodes": {"inp": {}}, "graph": {}}, [], "fed_source: nodes.inp: source 'inp' has no coro: it would wait"),
        ({}, ["--collect", "dbl"], "no_sink: --collect dbl: node 'dbl' is no sink (sinks are: out)"),
        (
            {"nodes": {"a\x1b[2J": 3}, "graph": {}},
            [],
            "wrong_type: nodes['a\\x1b[2J']: node 'a\\x1b[2J' ",
        ),
    ],
)
def test_what_is_wrong_is_told(command: Command, graph: Write, keys: Any, arguments: list[str], line: str) -> None:
    result = command("run", graph(**keys), *arguments)
    assert (result.status, result.out) == (2, "")
    assert any(each.startswith(f"  {line}") for each in result.err.splitlines()), result


def test_one_broken_module_is_one_problem(command: Command, graph: Write) -> None:
    result = command("run", graph(coros=["t_nowhere"]))
    assert result.err.splitlines()[0] == "other.json: 1 problem"


def test_a_module_that_leaves_the_program_is_a_problem(command: Command, here: Path) -> None:
    (here / "t_leaves.py").write_text("raise SystemExit(0)")
    result = command("run", "graph.json", "--coros", "t_leaves")
    assert result.status == 2
    assert "module 't_leaves' cannot be imported: SystemExit: 0" in result.err


@pytest.mark.parametrize("name", ["run", "check"])
def test_ctrl_c_before_anything_runs(command: Command, here: Path, name: str) -> None:
    (here / "t_waits.py").write_text("raise KeyboardInterrupt")
    result = command(name, "graph.json", "--coros", "t_waits")
    assert (result.status, result.out, result.err) == (130, "", "")


@pytest.mark.parametrize("arguments", [["run", "graph.json"], ["check", "graph.json"], ["nodes"]])
def test_what_modules_print_spoils_no_document(command: Command, here: Path, arguments: list[str]) -> None:
    (here / "t_talks.py").write_text("print('hello')")
    result = command(*arguments, "--coros", "t_talks", "--json")
    assert (result.status, result.err) == (0, "hello\n")
    json.loads(result.out)


def test_broken_files_are_told_with_their_lines(command: Command, here: Path) -> None:
    (here / "a.yaml").write_text("nodes:\n  a: {coro: x}\n  a: {coro: y}\ngraph: [\n")
    result = command("run", "a.yaml")
    assert result.status == 2
    assert result.err.startswith("a.yaml: 1 problem\n  bad_syntax: line 5, column 1: ")
    (here / "a.yaml").write_text("nodes:\n  a: {coro: x}\n  a: {coro: y}\n")
    lines = command("run", "a.yaml").err.splitlines()
    assert lines[1] == "  duplicate_key: line 3: the key 'a' stands on line 2 already"
    assert command("run", "b\x1b.yaml").err.splitlines() == [
        "b\\x1b.yaml: 1 problem",
        "  bad_file: cannot be read: No such file or directory",
    ]


@pytest.mark.parametrize("file", ["[]", "3", ""])
def test_a_file_without_keys_is_refused(command: Command, file: str) -> None:
    result = command("run", "-", "--set", "a.args.x=1", "--collect", "a", stdin=file)
    assert result.status == 2
    assert "  wrong_type: a graph is an object with nodes and graph, not " in result.err


@pytest.mark.parametrize(
    "arguments", [[], ["run"], ["run", "graph.json", "--nonsense"], ["walk"], ["draw", "graph.json", "--format", "x"]]
)
def test_bad_usage(command: Command, arguments: list[str]) -> None:
    assert command(*arguments).status == 2


# check


def test_check_finds_nothing(command: Command) -> None:
    result = command("check", "graph.json")
    assert (result.status, result.out, result.err) == (0, "graph.json: ok, 3 nodes, 2 edges\n", "")
    result = command("check", "graph.json", "--json", "--set", "dbl.args.fail_at=1", "--coros", "t_coros")
    assert json.loads(result.out) == {
        "file": "graph.json",
        "ok": True,
        "problems": [],
        "nodes": 3,
        "edges": 2,
        "sources": ["inp"],
        "sinks": ["out"],
    }


def test_check_tells_problems(command: Command, graph: Write) -> None:
    file = graph(graph={"inp": ["dbl"], "dbl": ["out", "out"]})
    result = command("check", file)
    problem = "node 'dbl' lists downstream 'out' twice"
    assert (result.status, result.out) == (2, "")
    assert result.err == f"other.json: 1 problem\n  duplicate_edge: graph.dbl[1]: {problem}\n"
    result = command("check", file, "--json")
    assert (result.status, result.err) == (2, "")
    assert json.loads(result.out) == {
        "file": "other.json",
        "ok": False,
        "problems": [{"code": "duplicate_edge", "path": "graph.dbl[1]", "message": problem, "hint": ""}],
    }


def test_check_accepts_a_graph_that_a_program_feeds(command: Command, graph: Write) -> None:
    assert command("check", graph(nodes=nodes(inp={"coro": None, "args": None}))).status == 0


# draw


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        ("mermaid", ["flowchart LR", '    n0(["inp"])']),
        ("dot", ["digraph pipelines {", "    rankdir=LR;"]),
        ("text", ["  0  inp  source       -> dbl"]),
    ],
)
def test_a_graph_is_drawn_without_importing_anything(
    command: Command, graph: Write, form: str, lines: list[str]
) -> None:
    result = command("draw", graph(coros=["t_nowhere"]), "--format", form)
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[: len(lines)] == lines
    assert result.out.endswith("\n")
    assert not result.out.endswith("\n\n")


def test_mermaid_is_the_usual_drawing(command: Command) -> None:
    assert command("draw", "graph.json").out == command("draw", "graph.json", "--format", "mermaid").out


def test_a_drawing_of_hostile_names_is_harmless(command: Command, graph: Write) -> None:
    name = "\x1b[2J<img onerror=x>"
    file = graph(nodes={name: {"coro": "x"}}, graph={})
    for form in ("mermaid", "dot", "text"):
        result = command("draw", file, "--format", form)
        assert result.status == 0
        assert "\x1b" not in result.out


def test_a_wrong_graph_is_not_drawn(command: Command, graph: Write) -> None:
    result = command("draw", graph(graph={"inp": ["inp"]}))
    assert (result.status, result.out) == (2, "")
    assert "self_loop" in result.err


# Signals


def endless(graph: Write, **args: Any) -> str:
    """A graph that does not end by itself; at the third item it sends this process signals."""
    return graph(nodes=nodes(inp={"coro": "t.forever", "args": {}}, dbl={"coro": "t.interrupt", "args": args}))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_first_signal_drains(command: Command, graph: Write, name: str) -> None:
    file = graph(
        nodes=nodes(inp={"coro": "t.forever", "args": {}}, dbl={"coro": "t.interrupt", "args": {"name": name}})
    )
    result = command("run", file, "--json", "--collect", "out")
    report = json.loads(result.out)
    assert (result.status, report["state"], result.err) == (130, "stopped", "")
    put = report["statistics"]["items_in"]
    assert report["outputs"]["out"] == [str(number) for number in range(put)]
    assert put >= 3


def test_the_second_signal_aborts(command: Command, graph: Write) -> None:
    file = endless(graph, times=2)
    result = command("run", file)
    assert result.status == 130
    assert result.out.startswith("other.json: aborted after")
    assert result.err.splitlines() == [
        "stopping: what is inside goes on to the end; Ctrl-C again aborts",
        "aborting; Ctrl-C again kills",
    ]


def test_the_third_signal_kills(
    command: Command, graph: Write, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class KilledError(Exception):
        pass

    def exit_(status: int) -> None:
        raise KilledError(status)

    monkeypatch.setattr(os, "_exit", exit_)
    file = endless(graph, times=3)
    command("run", file, "--quiet")
    assert capfd.readouterr().err == "killed\n"


def test_a_signal_while_everything_ends_by_itself_is_no_silent_success(command: Command, graph: Write) -> None:
    result = command("run", graph(nodes=nodes(dbl={"coro": "t.interrupt"})), "--json")
    assert result.status == 130
    assert json.loads(result.out)["statistics"]["items_out"] == 3


def test_signals_mean_afterwards_what_they_meant_before(command: Command) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert command("run", "graph.json").status == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# Progress


def test_a_line_is_written_now_and_then(command: Command, graph: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lines, "moments", [], raising=False)
    show = Lines.show

    def counted(lines: Any, moment: Moment) -> None:
        show(lines, moment)
        lines.moments.append(moment)

    monkeypatch.setattr(Lines, "show", counted)
    append(
        """
        from pipelines.cli.progress import Lines

        async def patient(self, q_elt):
            while len(Lines.moments) < 3:
                await asyncio.sleep(0.001)
        """
    )
    result = command("run", graph(nodes=nodes(out={"coro": "t_coros:patient"})), "--interval", "0.01")
    lines = result.err.splitlines()
    assert result.status == 0
    assert len(lines) >= 3
    assert [re.sub(r" \([0-9.,]+/s\)", "", line).split("  ")[1:7] for line in lines[:3]] == [
        ["running", "in 3", "out 0", "in flight 3", "skipped 0", "failed 0"]
    ] * 3


# The program


def test_the_version(command: Command) -> None:
    result = command("--version")
    assert (result.status, result.out) == (0, f"pipelines {pipelines.__version__}\n")


def test_main_returns_the_status(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "graph.json"]) == 0
    assert main(["check", "nowhere.json"]) == 2
    assert main(["--version"]) == 0
    out, err = capsys.readouterr()
    assert out == f"graph.json: ok, 3 nodes, 2 edges\npipelines {pipelines.__version__}\n"
    assert err.startswith("nowhere.json: 1 problem")


def test_main_reads_the_arguments_of_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipelines", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("pipelines ")
