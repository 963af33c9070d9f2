"""The benchmarks are honest: contenders do their works right, wrong results get no figure, and the maths is right."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import child, instructions, pages, rounds
from benchmarks.bodies import ADD_ONE, SAME, burning
from benchmarks.contenders import CONTENDERS, ELSEWHERE, OURS, PEERS, SHAPES, STAND_INS, load
from benchmarks.jobs import Chain, Dag, Diamond, Graphs, RoundTrips, SkippingDiamond, Sleep, WrongResultError
from benchmarks.results import Outcome, Range, Result
from benchmarks.rounds import Laboratory, rotated
from benchmarks.tables import number, table, work_section
from benchmarks.targets import TARGETS, Target, Verdict, judge
from benchmarks.works import FULL, QUICK, TINY, WORKS, Figure, Work

ADAPTERS = Path(command.__file__).parent / "contenders"
NEEDS = {"polite": ("aiohttp",), "hop_1mb": ("numpy",), "ray_10mb": ("numpy", "ray"), "redis_edge": ("redis",)}


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def needs(*modules: str) -> None:
    for module in modules:
        if not installed(module):
            pytest.skip(f"{module} is not installed")


# Contenders.


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("contender", OURS)
def test_our_own_contenders_do_every_work_right_or_say_why_not(contender: str, work: str) -> None:
    needs(*["uvloop"] * contender.endswith("uvloop"), *NEEDS.get(work, ()))
    for variant in WORKS[work].variants or (None,):
        answer = child.answer({"contender": contender, "work": work, "size": TINY, "variant": variant})
        if answer["status"] == "cannot":
            assert contender.startswith(("limit", "queues"))
            assert answer["reason"]
        else:
            assert answer["status"] == "ok", answer
            assert all(answer["figures"][figure.key] >= 0 for figure in WORKS[work].figures)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("peer", PEERS)
def test_installed_peers_do_every_work_right_or_say_why_not(peer: str) -> None:
    laboratory = Laboratory((peer,))
    description = laboratory.descriptions[peer]
    if description["status"] == "missing":
        pytest.skip(description["reason"])
    assert description["version"] or peer == "futures"  # which has Python's own
    for work in WORKS.values():
        if all(map(installed, NEEDS.get(work.name, ()))):
            result = laboratory.measure(work, TINY, 1)
            assert {outcome.status for outcome in result.outcomes.values()} <= {"ok", "cannot"}, result


def names_in(adapter: Path) -> tuple[set[str], set[str]]:
    """What an adapter defines, and the keys of its CANNOT, without importing it."""
    tree = ast.parse(adapter.read_text(encoding="utf-8"))
    functions: set[str] = set()
    reasons: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            functions.add(target)
            if target == "CANNOT" and isinstance(node.value, ast.Dict):
                reasons = {ast.literal_eval(key) for key in node.value.keys if key is not None}
    return functions, reasons


@pytest.mark.parametrize("name", [name for name in CONTENDERS if not name.endswith("_uvloop")])
def test_an_adapter_has_a_function_or_a_reason_for_every_shape(name: str) -> None:
    functions, reasons = names_in(ADAPTERS / f"{name}.py")
    assert {"ABOUT", "DISTRIBUTION"} <= functions
    said = functions | reasons | ELSEWHERE.keys()
    unsaid = [shape for shape in SHAPES if not any(each in said for each in (shape, *STAND_INS.get(shape, ())))]
    assert unsaid == [] or "OTHERWISE" in functions
    assert reasons <= SHAPES.keys() | WORKS.keys()
    assert not functions & reasons, "what it can do needs no reason"


def test_the_shapes_are_those_of_the_works() -> None:
    assert {work.shape for work in WORKS.values()} == SHAPES.keys()


def test_a_contender_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "benchmarks.contenders.aiostream", raising=False)
    monkeypatch.setitem(sys.modules, "aiostream", None)
    answer = child.answer({"contender": "aiostream"})
    assert answer["status"] == "missing"
    assert "aiostream" in answer["reason"]


def test_a_contender_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(LookupError, match=r"no contender 'quues'; contenders are: .*queues"):
        load("quues")


def adapter_of(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    """Let the contender ``limit`` be one that has only these functions."""
    module = types.ModuleType("benchmarks.contenders.limit")
    module.__dict__.update({"ABOUT": "a fake", "DISTRIBUTION": None, **functions})
    monkeypatch.setitem(sys.modules, module.__name__, module)


def run_limit(work: str = "chain5") -> dict[str, Any]:
    return child.answer({"contender": "limit", "work": work, "size": TINY})


async def lossy(job: Chain) -> None:
    for x in range(1, job.items):
        for _ in range(job.depth - 1):
            x = await job.node.call(x)
        await job.sink.call(x)


async def lazy(job: Chain) -> None:
    for x in range(job.items):
        await job.sink.call(x)


def exiting(job: Chain) -> None:
    sys.exit("no")


@pytest.mark.parametrize("chain", [lossy, lazy])
def test_a_wrong_result_is_no_figure(chain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter_of(monkeypatch, chain=chain)
    answer = run_limit()
    assert answer["status"] == "wrong"
    assert "figures" not in answer


def test_a_contender_that_exits_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter_of(monkeypatch, chain=exiting)
    assert run_limit() == {"status": "failed", "reason": "SystemExit: no"}


def test_a_reason_is_told_for_a_work_or_for_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter_of(monkeypatch, chain=lazy, CANNOT={"chain20": "too deep", "plain": "too plain"})
    assert run_limit("chain20") == {"status": "cannot", "reason": "too deep"}
    assert run_limit("plain5") == {"status": "cannot", "reason": "too plain"}
    assert run_limit("diamond")["status"] == "failed"


def test_only_a_measured_run_is_shortened_for_a_slow_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def chain(job: Chain) -> None:
        seen.append(job.items)
        job.recorded.extend(range(4 * (job.node is ADD_ONE), job.items + 4 * (job.node is ADD_ONE)))

    adapter_of(monkeypatch, chain=chain, SHARE={"chain5": 0.01})
    assert child.answer({"contender": "limit", "work": "chain5", "size": QUICK})["share"] == 0.01
    assert seen == [300, 200]


# Jobs.


@pytest.mark.parametrize("body", [SAME, ADD_ONE, burning(1e-6)])
def test_the_spellings_of_a_body_do_the_same(body: Any) -> None:
    added = int(body is ADD_ONE)
    found = [asyncio.run(body.call(7)), body.plain(7), asyncio.run(body.coro(None, (7,))), body.plain_coro(None, (7,))]
    assert found == [7 + added] * 4


@pytest.mark.parametrize("wrong", [[0, 1], [0, 1, 2, 3], [0, 2, 1], [0, 1, 1], []])
def test_a_chain_must_give_every_integer_in_order(wrong: list[int]) -> None:
    job = Chain(3, 2)
    job.recorded.extend(wrong)
    with pytest.raises(WrongResultError):
        job.check()


def test_a_pair_of_different_items_is_wrong() -> None:
    job = Diamond(2)
    job.recorded.extend([(0, 0), (1, 0)])
    with pytest.raises(WrongResultError, match=r"position 1 stands \(1, 0\), not \(1, 1\)"):
        job.check()


def test_a_pair_of_a_dropped_item_is_wrong() -> None:
    job = SkippingDiamond(20, 0.0)
    assert len(job.dropped) == 2
    job.recorded.extend((x, x) for x in range(20) if x not in job.dropped)
    job.check()
    job.recorded[:] = [(x, x) for x in range(20)]
    with pytest.raises(WrongResultError):
        job.check()


@pytest.mark.parametrize(("ordered", "concurrency", "right"), [(True, 3, False), (False, 3, True), (False, 2, False)])
def test_sleepers_must_keep_to_the_order_and_to_the_limit(ordered: bool, concurrency: int, right: bool) -> None:
    job = Sleep([0.001, 0.0, 0.0], concurrency, ordered)

    async def all_at_once() -> None:
        await asyncio.gather(*(job.node.call(x) for x in range(3)))

    asyncio.run(all_at_once())
    job.recorded.extend([1, 2, 0])
    if right:
        job.check()
    else:
        with pytest.raises(WrongResultError):
            job.check()


def test_the_ideal_is_no_less_than_the_longest_sleep() -> None:
    assert Sleep([1.0, 1.0, 2.0], 2, True).ideal == 2.0
    assert Sleep([0.1, 0.2], 500, True).ideal == 0.2


def test_the_large_graph_has_two_edges_a_node_and_its_sums_are_checked() -> None:
    job = Dag(50, 2, parsed=False)
    assert job.edges == 100
    assert all(upstream < number for number, upstreams in enumerate(job.upstreams) for upstream in upstreams)
    with pytest.raises(WrongResultError):
        job.check()
    asyncio.run(load("limit").contestant(WORKS["dag10k"]).function(job))
    job.check()
    job.recorded[job.sinks[-1]][-1] += 1
    with pytest.raises(WrongResultError, match=f"sums of sink {job.sinks[-1]}"):
        job.check()


def test_every_small_graph_must_give_all_its_results() -> None:
    job = Graphs(count=2, chain_items=2, depth=2, parsed=False)
    job.recorded.extend([1, 2, 1])
    with pytest.raises(WrongResultError):
        job.check()
    job.recorded.append(2)
    job.check()


async def test_round_trips_are_timed_and_checked() -> None:
    job = RoundTrips(3, 1)

    async def send(x: int) -> int:
        return x

    await job.drive(send)
    job.check()
    assert len(job.seconds) == 3
    job.recorded[1] = 7
    with pytest.raises(WrongResultError):
        job.check()


def test_a_stall_must_not_lose_items_nor_their_order() -> None:
    job = WORKS["memory"].job(items=3, stall=0.0)

    async def send(*items: int) -> None:
        await asyncio.gather(*(job.sink.call(x) for x in items))

    asyncio.run(send(0, 1))
    with pytest.raises(WrongResultError, match="2 items came, not 3"):
        job.check()
    asyncio.run(send(2))
    job.check()
    asyncio.run(send(2))
    with pytest.raises(WrongResultError, match="2 came when 3 was due"):
        job.check()


MEASURE_A_BLOCK = """
from benchmarks.meter import Meter
with Meter() as meter:
    block = b"x" * 80_000_000
    del block
print(meter.reading.growth, meter.reading.seconds)
"""


def test_memory_that_is_gone_again_was_used() -> None:
    # In a process of its own, as every measured run is: what a large one has resident comes and goes.
    command = [sys.executable, "-c", MEASURE_A_BLOCK]
    printed = subprocess.run(command, capture_output=True, check=True, text=True, cwd=Path(__file__).parents[2]).stdout
    growth, seconds = map(float, printed.split())
    assert growth > 60
    assert seconds > 0


# Rounds.


def test_each_round_begins_with_another_contender() -> None:
    assert [rotated(["a", "b", "c"], turn) for turn in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]
    assert rotated([], 1) == []


def test_a_run_takes_place_in_a_process_of_its_own() -> None:
    result = Laboratory(("queues",)).measure(WORKS["chain1"], TINY, 2)
    assert [run["us"] > 0 for run in result.outcomes["queues"].runs] == [True, True]
    assert result.ratio("queues") == Range(1.0, 1.0, 1.0)


def test_a_run_that_takes_too_long_is_stopped() -> None:
    assert Laboratory(("limit",), seconds=0.01).descriptions["limit"] == {"status": "timeout", "reason": "over 0.01 s"}


def test_a_process_that_dies_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    assert Laboratory(("limit",)).descriptions["limit"]["reason"].startswith("the process ended with 1")


def laboratory(answers: dict[str, list[dict[str, Any]]]) -> Laboratory:
    """One whose contenders give prepared answers, run by run."""
    left = {name: iter(given) for name, given in answers.items()}

    class Prepared(Laboratory):
        def _ask(self, **request: Any) -> dict[str, Any]:
            if "work" in request:
                return next(left[request["contender"]])
            return {"status": "ok", "version": None, "about": "", "works": dict.fromkeys(WORKS)}

    return Prepared(tuple(answers))


def figures(*values: float) -> list[dict[str, Any]]:
    return [{"status": "ok", "share": 1.0, "figures": {"us": us, "hop_us": us / 5}} for us in values]


def test_whoever_was_wrong_once_is_not_asked_again_and_has_no_figures() -> None:
    wrong = {"status": "wrong", "reason": "2 and 2 is 5"}
    result = laboratory({"queues": figures(1, 1, 1), "limit": [*figures(1), wrong]}).measure(WORKS["chain5"], FULL, 3)
    assert result.outcomes["limit"].status == "wrong"
    assert result.ratio("limit") is None
    assert rounds.errors([result]) == ["chain5: limit: wrong: 2 and 2 is 5"]


# Maths and tables.


def a_result(work: str = "chain5", **values: list[dict[str, float]]) -> Result:
    outcomes = {name: Outcome("ok", runs=runs) for name, runs in values.items()}
    return Result(WORKS[work], FULL, 3, outcomes)


THREE = a_result(
    queues=[{"us": 4.0, "hop_us": 0.8}, {"us": 10.0, "hop_us": 2.0}, {"us": 4.0, "hop_us": 0.8}],
    pipelines=[{"us": 1.0, "hop_us": 0.2}, {"us": 5.0, "hop_us": 1.0}, {"us": 2.0, "hop_us": 0.4}],
)


def test_a_ratio_is_the_median_of_the_ratios_within_the_rounds() -> None:
    assert THREE.ratio("pipelines") == Range(2.0, 2.0, 4.0)
    assert THREE.outcomes["pipelines"].range("us") == Range(2.0, 1.0, 5.0)
    assert THREE.beyond("pipelines", "us") == Range(-3.0, -5.0, -2.0)


def test_a_ratio_above_one_is_better_also_where_more_is_better() -> None:
    result = a_result("sleep_ordered", queues=[{"share": 0.5}], pipelines=[{"share": 0.75}])
    assert result.ratio("pipelines") == Range(1.5, 1.5, 1.5)


def test_without_a_reference_there_is_no_ratio() -> None:
    assert a_result(pipelines=[{"us": 1.0}]).ratio("pipelines") is None
    failed = Result(WORKS["chain5"], FULL, 1, {"queues": Outcome("failed", "no"), "limit": Outcome("ok", runs=[{}])})
    assert failed.ratio("limit") is None


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (0.0, 3, "0"),
        (0.00012345, 3, "0.000123"),
        (0.9999, 3, "1.00"),
        (9.8, 3, "9.80"),
        (9.996, 3, "10.0"),
        (123.4, 3, "123"),
        (1234.5, 3, "1,230"),
        (1_234_567.0, 3, "1,230,000"),
        (-0.5, 2, "-0.50"),
        (1234.6, 0, "1,235"),
    ],
)
def test_numbers_have_significant_digits_and_no_exponent(value: float, digits: int, shown: str) -> None:
    assert number(value, digits) == shown


def test_the_columns_of_a_table_are_equally_wide() -> None:
    assert table(["name", "us"], [["queues", "1.00"], ["a|b", "12"]]).splitlines() == [
        "| name   |   us |",
        "| ------ | ---: |",
        "| queues | 1.00 |",
        "| a\\|b   |   12 |",
    ]


def test_a_section_shows_figures_reasons_and_verdicts() -> None:
    row = {"us": 2.0, "hop_us": 0.4, "cpu_us": 2.0, "growth_mb": 0.1}
    result = a_result(queues=[row], pipelines=[row | {"us": 0.5}], spdl=[row])
    result.outcomes["spdl"].share = 0.1
    result.outcomes["csp"] = Outcome("cannot", "plain only")
    result.outcomes["bytewax"] = Outcome("missing", "No module named 'bytewax'")
    text = work_section(result, judge({"chain5": result}))
    assert "| pipelines  |       0.500 | 0.500..0.500 |         4.00 | 4.00..4.00 |" in text
    assert "| spdl (10%) |" in text
    assert "- csp: no: plain only" in text
    assert "- bytewax: not installed: No module named 'bytewax'" in text
    assert "- pipelines: at least 4 times the reference: 4, met" in text
    assert "- pipelines: hop_us at most 1.05 times that of chain1: not measured" in text


def test_results_are_json_able_with_every_run() -> None:
    saved = THREE.to_dict()
    assert saved["contenders"]["pipelines"]["ratio"] == {"median": 2.0, "least": 2.0, "most": 4.0}
    assert [run["us"] for run in saved["contenders"]["pipelines"]["runs"]] == [1.0, 5.0, 2.0]


# Targets.


@pytest.mark.parametrize(
    ("target", "measured", "met"),
    [
        (Target("chain5", "ratio", at_least=2.0), 2.0, True),
        (Target("chain5", "ratio", at_least=2.1), 2.0, False),
        (Target("chain5", "figure", "hop_us", at_most=0.4), 0.4, True),
        (Target("chain5", "figure", "hop_us", at_most=0.3), 0.4, False),
        (Target("chain5", "beyond", "us", at_most=-3.0), -3.0, True),
        (Target("chain5", "against", "hop_us", at_most=1.0, other="chain5"), 1.0, True),
        (Target("chain5", "against", "hop_us", at_most=1.0, other="chain1"), None, None),
        (Target("chain20", "ratio", at_least=1.0), None, None),
        (Target("chain5", "ratio", at_least=1.0, contender="csp"), None, None),
    ],
)
def test_a_target_is_held_against_medians(target: Target, measured: float | None, met: bool | None) -> None:
    verdict = Verdict(target, target.measured({"chain5": THREE}))
    assert (verdict.measured, verdict.met) == (measured, met)
    assert verdict.missed == (met is False)


def test_an_aim_that_is_not_reached_is_no_missed_target() -> None:
    verdict = Verdict(Target("chain5", "ratio", at_least=9.0, aim=True), 1.0)
    assert verdict.met is False
    assert not verdict.missed
    assert str(verdict) == "aim: pipelines: at least 9 times the reference: 1, MISSED"


def test_targets_name_works_contenders_and_figures_that_exist() -> None:
    for target in TARGETS:
        work = WORKS[target.work]
        assert target.contender in (*CONTENDERS, *work.variants)
        assert target.figure is None or target.figure in {figure.key for figure in work.figures}
        assert target.other is None or target.other in WORKS
        assert (target.at_least is None) != (target.at_most is None)


# The page and the command.


def test_the_page_has_a_place_for_every_work() -> None:
    text = pages.PAGE.read_text(encoding="utf-8")
    for name in ("contenders", *WORKS):
        assert "a new table" in pages.fill(text, name, "a new table")


def test_only_what_stands_between_the_comments_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "a <!-- begin: contenders --> b <!-- end: contenders --> c <!-- begin: chain5 --><!-- end: chain5 -->"
    )
    machine = {"date": "today", "python": "CPython", "system": "Linux", "cores": 2, "cpu": "a CPU"}
    row = {"us": 2.0, "hop_us": 0.4, "cpu_us": 2.0, "growth_mb": 0.1}
    for _ in range(2):  # the second time over the tables of the first
        pages.write([a_result(queues=[row])], {}, machine, page)
    text = page.read_text()
    assert text.startswith("a <!-- begin: contenders -->\n\n| contender | how it is used |")
    assert text.count("| queues    |") == 1
    assert "Measured today, 3 rounds, CPython, Linux, 2 cores of a CPU." in text
    with pytest.raises(LookupError, match="begin: diamond"):
        pages.fill(text, "diamond", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "4"], "at least 5 rounds, not 4"),
        (["chain6"], "no work 'chain6'; works are: chain1, chain5"),
        (["--peers", "csp,rx"], "no peer 'rx'; peers are: aiostream"),
        (["--quick", "--check"], "too short"),
        (["--quick", "--write-docs"], "too short"),
        (["--peers", "csp", "--write-docs"], "wants all peers"),
    ],
)
def test_the_command_refuses_what_would_not_measure(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(arguments)
    assert refused.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def run_command(monkeypatch: pytest.MonkeyPatch, answers: dict[str, list[dict[str, Any]]], *arguments: str) -> int:
    for given in answers.values():
        for answer in given:
            answer.get("figures", {}).update(cpu_us=1.0, growth_mb=0.0)
    monkeypatch.setattr(command, "Laboratory", lambda *_: laboratory(answers))
    return command.main(["chain5", *arguments])


def test_the_command_prints_tables_and_saves_every_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answers = {"queues": figures(4, 4, 4, 4, 4), "pipelines": figures(2, 2, 2, 2, 2)}
    saved = tmp_path / "figures.json"
    assert run_command(monkeypatch, answers, "--json", str(saved)) == 0
    assert "| pipelines |        2.00 | 2.00..2.00 |         2.00 |" in capsys.readouterr().out
    assert '"at_least"' not in saved.read_text()
    assert saved.read_text().count('"us": 4') == 5


@pytest.mark.parametrize(("check", "status"), [([], 0), (["--check"], 1)])
def test_a_missed_target_fails_only_a_check(
    check: list[str], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"queues": figures(4, 4, 4, 4, 4), "pipelines": figures(2, 2, 2, 2, 2)}
    assert run_command(monkeypatch, answers, *check) == status
    assert ("MISSED: chain5: pipelines: at least 4 times" in capsys.readouterr().err) == bool(check)


def test_a_wrong_result_fails_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"queues": figures(4, 4, 4, 4, 4), "limit": [{"status": "wrong", "reason": "2 and 2 is 5"}]}
    assert run_command(monkeypatch, answers) == 1
    assert "ERROR: chain5: limit: wrong: 2 and 2 is 5" in capsys.readouterr().err


def test_without_other_counters_python_counts_its_opcodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert instructions.counter() == "opcodes"


def test_opcodes_grow_with_the_items(tmp_path: Path) -> None:
    counts = []
    for items in (50, 150):
        output = tmp_path / str(items)
        arguments = ["--only", "queues", "--items", str(items), "--opcodes", str(output)]
        subprocess.run([sys.executable, "-m", "benchmarks.instructions", *arguments], check=True, cwd=instructions.ROOT)
        counts.append(int(output.read_text()))
    assert 100 * 100 < counts[1] - counts[0] < 100 * 5_000


@pytest.mark.parametrize(("ratio", "status"), [(4.0, 0), (3.9, 0), (3.7, 1)])
def test_a_ratio_that_has_become_worse_fails_the_check(
    ratio: float,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(instructions, "RECORDED", tmp_path / "recorded.json")
    counts = {"queues": 400.0, "pipelines": 100.0}
    monkeypatch.setattr(instructions, "counts_per_item", lambda name, contenders: counts)
    assert instructions.main(["--counter", "opcodes", "--record"]) == 0
    counts["queues"] = 100 * ratio
    assert instructions.main(["--counter", "opcodes", "--check"]) == status
    assert ("worse than the recorded 4.000" in capsys.readouterr().err) == bool(status)


def test_without_a_recorded_ratio_nothing_is_checked_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(instructions, "RECORDED", tmp_path / "recorded.json")
    (tmp_path / "recorded.json").write_text("{}")
    monkeypatch.setattr(instructions, "counts_per_item", lambda name, contenders: {"queues": 2.0, "pipelines": 1.0})
    assert instructions.main(["--counter", "opcodes", "--check"]) == 0
    assert "not checked" in capsys.readouterr().out


def test_what_is_counted_is_a_chain_that_was_run_right() -> None:
    assert instructions.main(["--only", "pipelines", "--items", "50"]) == 0


def test_instructions_per_item_are_those_of_more_items_less_those_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(command: list[str], folder: Path) -> int:
        return 1_000_000 + 70 * int(command[-1])

    monkeypatch.setitem(instructions.COUNTERS, "fake", count)
    assert instructions.counts_per_item("fake", ("queues",)) == {"queues": 70.0}


def test_a_work_has_three_sizes_and_a_figure() -> None:
    for work in WORKS.values():
        assert isinstance(work, Work)
        assert isinstance(work.figure, Figure)
        assert work.sizes.keys() == {FULL, QUICK, TINY}
        assert work.scaled in work.sizes[FULL]
        assert inspect.signature(work.job).parameters.keys() >= {work.scaled}
