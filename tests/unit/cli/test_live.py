from __future__ import annotations

import io
import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pipelines import Statistics
from pipelines.cli import live, main
from pipelines.cli.live import LiveTable
from pipelines.cli.progress import Moment
from pipelines.statistics import EdgeStatistics, NodeStatistics


class Terminal(io.TextIOWrapper):
    """Stands for a terminal: what is written can be read, with or without what steers it."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def raw(self) -> str:
        return self.bytes.getvalue().decode(self.encoding)

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.raw)

    def lines(self) -> list[str]:
        return [each.strip() for each in self.text.splitlines()]


def attach(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal | None = None, columns: int = 120, rows: int = 24
) -> Terminal:
    """A terminal as standard output and error. No fixture: when a test begins its output is captured anew."""
    terminal = terminal or Terminal()
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(rows))
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def node(name: str, **more: Any) -> NodeStatistics:
    numbers = dict.fromkeys(("received", "sent", "skipped", "failed", "retried", "in_flight", "held"), 0)
    shares = dict.fromkeys(("busy", "waiting", "blocked"), 0.0)
    given: dict[str, Any] = {"state": "busy", "latency_p50": None, "latency_p99": None, **numbers, **shares, **more}
    return NodeStatistics(name=name, **given)


def moment(*nodes: NodeStatistics, edges: tuple[EdgeStatistics, ...] = (), rate: float = 9.5, **more: Any) -> Moment:
    given: dict[str, Any] = {"state": "running", "elapsed": 65.0, "items_in": 1234, "items_out": 56, **more}
    statistics = Statistics("run", rate_in=0.0, rate_out=0.0, nodes=nodes, edges=edges, **given)
    return Moment(statistics, 80.0, 7.0, {each.name: rate for each in nodes})


def row(terminal: Terminal, name: str) -> list[str]:
    [found] = [each.split() for each in terminal.lines() if each.startswith(name)]
    return found


def test_the_table_shows_every_node_and_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    table = LiveTable()
    source = node("inp", sent=1234, state="blocked", in_flight=1)
    sink = node("out", received=5678, skipped=12, failed=3, in_flight=64)
    table.show(moment(source, sink, edges=(EdgeStatistics("inp", "out", 12, 64, 64, 0),)))
    assert "run  running  1:05  in 1,234 (80/s)  out 56 (7.0/s)" in terminal.lines()
    assert row(terminal, "node") == ["node", "state", "items", "rate/s", "in", "flight", "queue", "skipped", "failed"]
    assert row(terminal, "inp") == ["inp", "blocked", "1,234", "9.5", "1", "0", "0"]
    assert row(terminal, "out") == ["out", "busy", "5,678", "9.5", "64", "12/64", "██░░░░", "12", "3"]
    table.close()


@pytest.mark.parametrize(
    ("queued", "mark", "colour"),
    [(0, [], None), (38, [], None), (39, ["!"], "33"), (54, ["!"], "33"), (55, ["!!"], "31"), (99, ["!!"], "31")],
)
def test_a_filling_queue_is_told_by_colour_and_by_a_mark(
    monkeypatch: pytest.MonkeyPatch, queued: int, mark: list[str], colour: str | None
) -> None:
    terminal = attach(monkeypatch)
    table = LiveTable()
    table.show(moment(node("out"), edges=(EdgeStatistics("inp", "out", queued, 64, 64, 0),)))
    cells = row(terminal, "out")
    assert [cells[5], *cells[7:-2]] == [f"{queued}/64", *mark]
    coloured = re.search(rf"\x1b\[(\d+)m{queued}/64", terminal.raw)
    assert (coloured and coloured[1]) == colour
    table.close()


def test_the_fullest_of_several_queues_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    table = LiveTable()
    edges = [
        EdgeStatistics(f"n{i}", "out", queued, capacity, 0, 0)
        for i, (queued, capacity) in enumerate([(1, 64), (3, 4), (40, 64)])
    ]
    table.show(moment(node("out"), edges=tuple(edges)))
    assert "3/4" in row(terminal, "out")
    table.close()


def test_a_source_that_knows_its_total_has_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    table = LiveTable()
    table.show(
        moment(node("one", progress=0.25), node("two", progress=0.0), node("three", progress=1.0, state="ended"))
    )
    [one] = [each for each in terminal.lines() if "25%" in each]
    [two] = [each for each in terminal.lines() if each.endswith("0%")]
    assert one.startswith("one ━")
    assert one.endswith("about 3:15 left")
    assert two.startswith("two ━")
    assert "100%" not in terminal.text
    table.close()


def test_what_is_said_and_who_waits_stands_below(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    table = LiveTable()
    table.say("stopping")
    table.show(moment(node("a"), waits=("'a' waits for 'b'", "'b' is paused"), rate=0.0))
    assert terminal.lines()[-2:] == ["'a' waits for 'b'; 'b' is paused", "stopping"]
    table.show(moment(node("a"), waits=("'a' waits for 'b'",), rate=1.0))
    assert "waits" not in terminal.lines()[-2]
    table.close()


def test_many_nodes_give_way_those_that_have_ended_first(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch, Terminal(), rows=10)
    table = LiveTable()
    states = ["ended", "ended", *["busy"] * 4, "ended", "ended"]
    table.show(moment(*(node(f"n{i}", state=state) for i, state in enumerate(states))))
    shown = [each.split()[0] for each in terminal.lines() if re.match(r"n\d", each)]
    assert shown == ["n0", "n2", "n3", "n4", "n5"]
    assert any(each.startswith("... 3 more") for each in terminal.lines())
    assert len(terminal.lines()) < 10
    table.close()


def test_a_narrow_terminal_keeps_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch, Terminal(), columns=72)
    table = LiveTable()
    edges = (EdgeStatistics("x", "a" * 50, 63, 64, 0, 0),)
    table.show(moment(node("a" * 50, received=1234567, failed=5, skipped=7, in_flight=64), edges=edges))
    cells = row(terminal, "aaaa")
    assert cells[0].endswith("…")
    assert cells[1:] == ["busy", "1,234,567", "9.5", "64", "63/64", "!!", "7", "5"]
    assert max(map(len, terminal.lines())) <= 72
    table.close()


def test_a_terminal_without_unicode_gets_plain_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch, Terminal("ascii"))
    table = LiveTable()
    table.show(moment(node("out", progress=0.5), edges=(EdgeStatistics("inp", "out", 32, 64, 64, 0),)))
    assert "###..." in terminal.text
    table.close()


def test_p11_names_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    table = LiveTable()
    name = "[bold red]x[/]\x1b[2J\x07\n:smile:"
    table.say(f"about {name}")
    table.show(moment(node(name, progress=0.5), waits=(f"{name} waits",), rate=0.0))
    table.close()
    assert terminal.text.count("[bold red]x[/]\\x1b[2J\\x07\\n:smile:") >= 4
    assert "\x1b[2J" not in terminal.raw
    assert "\x07" not in terminal.raw


def test_what_coros_print_appears_above_the_table_in_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    table = LiveTable()
    table.show(moment(node("aaa")))
    sys.stdout.write("one [red]\nto")
    sys.stderr.write("err\n")
    assert "one" not in terminal.text
    sys.stdout.write("thr")
    sys.stdout.flush()
    table.show(moment(node("aaa")))
    assert [each for each in terminal.lines() if each in ("one [red]", "toerr", "thr")] == ["one [red]", "toerr"]
    assert terminal.lines()[-1].startswith("aaa")
    sys.stdout.write("ee")
    table.close()
    assert "three" in terminal.lines()
    assert (sys.stdout, sys.stderr) == (terminal, terminal)


def test_printing_from_threads_loses_nothing_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    monkeypatch.setattr(live, "MOST_HELD", 1000)
    table = LiveTable()
    threads = [
        threading.Thread(target=lambda n=n: [sys.stdout.write(f"<{n}.{i}>\n") for i in range(300)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table._held._size <= 1000
    table.close()
    printed = re.findall(r"<(\d\.\d+)>", terminal.text)
    assert sorted(printed) == sorted(f"{n}.{i}" for n in range(4) for i in range(300))


def test_what_stands_for_standard_output_behaves_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    table = LiveTable()
    try:
        printed: Any = sys.stdout
        assert printed is not terminal
        assert printed.isatty()
        assert printed.encoding == "utf-8"
        assert printed.buffer is terminal.buffer
        with pytest.raises(io.UnsupportedOperation):
            printed.fileno()
        assert printed.write("abc") == 3
        printed.writelines(["d\n", "e\n"])
        printed.flush()
        table.show(moment(node("a")))
        assert "abcd" in terminal.lines()
    finally:
        table.close()


def test_output_that_goes_elsewhere_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch)
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stdout", elsewhere)
    table = LiveTable()
    sys.stdout.write("one\n")
    assert elsewhere.getvalue() == "one\n"
    table.close()


def test_a_run_on_a_terminal_shows_the_table_and_then_the_summary(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    (here / "t_slow.py").write_text(SLOW)
    assert main(["run", "graph.json", "--set", "inp.args.n=9", "--coros", "t_slow", "--collect", "out"]) == 0
    seen = terminal.lines()
    table = max(number for number, each in enumerate(seen) if each.endswith("skipped  failed"))
    summary = next(number for number, each in enumerate(seen) if "graph.json: completed after" in each)
    assert table < summary
    assert seen[table + 1].split()[:2] == ["inp", "ended"]
    assert seen[-9:] == [f'"{2 * number}"' for number in range(9)]


def test_a_terminal_that_cannot_redraw_gets_lines(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    (here / "t_slow.py").write_text(SLOW)
    assert main(["run", "graph.json", "--coros", "t_slow", "--interval", "0.01"]) == 0
    assert "  running  in 3 (" in terminal.text
    assert "\x1b" not in terminal.raw


SLOW = """
import asyncio
import sys
import t_coros

async def plain(self, q_elt, suffix=""):
    while "running" not in sys.stderr.raw:
        await asyncio.sleep(0.001)
    return f"{q_elt[0]}{suffix}"

t_coros.plain = plain
"""


@pytest.mark.parametrize("keep", [True, False])
def test_the_last_table_stays_or_vanishes(monkeypatch: pytest.MonkeyPatch, keep: bool) -> None:
    terminal = attach(monkeypatch)
    table = LiveTable(keep=keep)
    table.show(moment(node("aaa")))
    table.close()
    after = terminal.raw[terminal.raw.rindex("aaa") :]
    assert ("\x1b[1A\x1b[2K" in after) is not keep
    assert "\x1b[?25h" in after
