"""The federated demo: accuracy rises, and the curve is the same wherever the workers run."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="the demos need the extra 'demos'")

import numpy as np

from demos.federated import model, problem, show, torch_nodes, training
from demos.federated.nodes import Server, Task, Update, Worker
from demos.federated.training import Round, Settings, federate
from pipelines import Graph, NodeError

ROOT = Path(__file__).parents[2]
SMALL = Settings(rounds=8, executor="loop")
HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture(scope="module")
def expected() -> list[Round]:
    """The curve when everything runs on the loop."""
    return asyncio.run(federate(SMALL))


# The problem and the model.


def test_every_worker_sees_mostly_digits_of_its_own_and_all_digits_belong_to_somebody() -> None:
    owned = [problem.own_digits(worker, 4) for worker in range(4)]
    assert sorted(digit for own in owned for digit in own) == list(range(10))
    shards = [problem.shard(worker, 4, seed=1) for worker in range(4)]
    for own, examples in zip(owned, shards, strict=True):
        assert np.isin(examples.labels, own).mean() > 0.7
    assert len({len(examples.labels) for examples in shards}) == 4
    assert problem.own_digits(10, 12) == problem.own_digits(0, 12) == [0]


def test_a_shard_is_the_same_every_time_and_no_other_is_like_it() -> None:
    first, again, other = problem.shard(0, 4, 1), problem.shard(0, 4, 1), problem.shard(0, 4, 2)
    assert (first.images == again.images).all()
    assert (first.labels == again.labels).all()
    assert first.images.shape != other.images.shape or (first.images != other.images).any()


def test_held_out_data_has_every_digit_equally_often() -> None:
    assert (np.bincount(problem.held_out(1).labels) == problem.HELD_OUT // 10).all()


def test_the_glyphs_are_ten_different_ones_of_five_by_seven() -> None:
    glyphs = [problem.glyph(digit) for digit in range(10)]
    assert {glyph.shape for glyph in glyphs} == {(7, 5)}
    assert len({glyph.tobytes() for glyph in glyphs}) == 10


def test_the_gradient_is_what_a_small_step_shows() -> None:
    images, labels = problem.held_out(3)
    images, labels, weights = images[:20], labels[:20], model.initial(3)
    slope, _ = model.gradient(weights, images, labels)
    for place in np.random.default_rng(0).integers(0, len(weights), 40):
        step = np.zeros_like(weights)
        step[place] = 1e-6
        up, down = model.gradient(weights + step, images, labels)[1], model.gradient(weights - step, images, labels)[1]
        assert slope[place] == pytest.approx((up - down) / 2e-6, abs=1e-6)


def test_training_leaves_the_weights_that_were_sent_as_they_are() -> None:
    weights = model.initial(1)
    before = weights.copy()
    update = Worker(0, 4, 1, epochs=1, rate=0.1)((Task(1, weights),))
    assert (weights == before).all()
    assert (update.weights != before).any()


# Averaging.


def update(value: float, examples: int) -> Update:
    return Update(np.full_like(model.initial(0), value), examples, loss=value)


def test_who_has_more_examples_has_more_to_say() -> None:
    merged = Server(1)((update(1.0, 100), update(4.0, 300)))
    assert merged.weights == pytest.approx(3.25)
    assert merged.loss == pytest.approx(3.25)


def test_accuracy_rises_far_above_chance_and_above_that_of_the_workers_alone(expected: list[Round]) -> None:
    assert [each.number for each in expected] == list(range(1, 9))
    assert expected[-1].accuracy > 0.7
    assert expected[-1].accuracy > expected[0].accuracy + 0.3
    assert expected[-1].loss < expected[0].loss / 2
    for each in expected:
        assert each.alone is not None
        assert each.alone < each.accuracy


@pytest.mark.parametrize("executor", ["process", "thread"])
async def test_the_curve_is_the_same_on_every_executor(executor: str, expected: list[Round]) -> None:
    told: list[Round] = []
    curve = await federate(replace(SMALL, executor=executor), told.append)
    assert curve == told == expected


@pytest.mark.slow
async def test_the_curve_is_the_same_on_ray(expected: list[Round]) -> None:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    curve = await federate(replace(SMALL, executor="ray"))
    # Ray decides how many threads numpy has, and so in which order it adds up.
    assert [each.accuracy for each in curve] == pytest.approx([each.accuracy for each in expected], abs=0.003)


async def test_another_seed_gives_another_curve(expected: list[Round]) -> None:
    assert await federate(replace(SMALL, seed=2, rounds=2)) != expected[:2]


@pytest.mark.parametrize("workers", [1, 3])
async def test_any_number_of_workers(workers: int) -> None:
    curve = await federate(replace(SMALL, workers=workers, rounds=3))
    assert curve[-1].accuracy > curve[0].accuracy
    if workers == 1:
        assert all(each.alone == each.accuracy for each in curve)


class Noted(Worker):
    """Says in which process it was made."""

    place: str

    def __init__(self, place: str, **args: Any) -> None:
        super().__init__(**args)
        Path(place, f"{self.number}-{os.getpid()}").touch()


class Mortal(Noted):
    """Dies with its process in the second round, once."""

    def __init__(self, place: str, **args: Any) -> None:
        super().__init__(place, **args)
        self.place = place

    def __call__(self, q_elt: tuple[Task]) -> Update:
        died = Path(self.place, "died")
        if q_elt[0].round == 2 and self.number == 1 and not died.exists():
            died.touch()
            os._exit(9)
        return super().__call__(q_elt)


def with_workers(kind: type, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the graph made of other workers, which are told ``place``."""
    make = training.make_worker

    def make_other(*args: Any) -> dict[str, Any]:
        made = make(*args)
        return made | {"coro": kind, "args": made["args"] | {"place": str(place)}}

    monkeypatch.setattr(training, "make_worker", make_other)


async def test_every_worker_is_made_once_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_workers(Noted, tmp_path, monkeypatch)
    await federate(replace(SMALL, executor="process", rounds=3))
    made = sorted(path.name.split("-") for path in tmp_path.iterdir())
    assert [number for number, _ in made] == ["0", "1", "2", "3"]
    assert len({pid for _, pid in made} | {str(os.getpid())}) == 5


async def test_p1_a_worker_that_dies_is_replaced_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: list[Round]
) -> None:
    with_workers(Mortal, tmp_path, monkeypatch)
    assert await federate(replace(SMALL, executor="process", rounds=3)) == expected[:3]
    assert (tmp_path / "died").exists()
    assert len(list(tmp_path.glob("1-*"))) == 2


# Settings and what is shown.


def test_the_graph_is_fan_out_and_zip() -> None:
    graph = Graph.parse(training.make_graph(replace(SMALL, workers=3)))
    assert (graph.sources, graph.sinks) == (("weights",), ("server",))
    workers = ["worker-0", "worker-1", "worker-2"]
    assert graph.to_dict()["graph"] == {"weights": workers, **{worker: ["server"] for worker in workers}}


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"rounds": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        Settings(**wrong)


def test_without_torch_the_message_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install torch"):
        Settings(backend="torch")


def test_torch_needs_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "require_torch", lambda: None)
    with pytest.raises(ValueError, match="a process of its own"):
        Settings(backend="torch", executor="thread")


def test_a_line_is_as_long_as_the_accuracy_and_marks_the_workers_alone() -> None:
    assert show.line(Round(3, 0.5, 1.25, 0.25)).split() == ["3", "1.250", "50.0%", "#" * 10 + "|" + "#" * 9, "25.0%"]
    assert show.line(Round(3, 1.0, 1.25, None)).split() == ["3", "1.250", "100.0%", "#" * show.WIDTH]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("COVERAGE_PROCESS_CONFIG", None)
    command = [sys.executable, "-m", "demos.federated", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=50, check=False)


def test_the_demo_prints_and_plots_the_curve(tmp_path: Path, expected: list[Round]) -> None:
    pytest.importorskip("matplotlib", reason="the demos need the extra 'demos'")
    result = run(tmp_path, "--rounds", "3", "--plot", "curve.png")
    assert (result.returncode, result.stderr) == (0, "")
    assert [show.line(each) in result.stdout.splitlines() for each in expected[:3]] == [True] * 3
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    result = run(tmp_path, "--workers", "0")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: there must be at least one worker and one round\n"


# torch.distributed, where it is installed.


class Leaver(torch_nodes.TorchWorker):
    """Dies with its process in the second round, while the others wait for it."""

    def __init__(self, place: str, **args: Any) -> None:
        super().__init__(**args)

    def __call__(self, q_elt: tuple[Task]) -> Update:
        if q_elt[0].round == 2 and self.number == 1:
            os._exit(9)
        return super().__call__(q_elt)


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
@pytest.mark.parametrize("workers", [1, 3])
async def test_torch_averages_as_the_server_does(workers: int) -> None:
    settings = replace(SMALL, workers=workers, rounds=3)
    expected = await federate(settings)
    curve = await federate(replace(settings, executor="process", backend="torch"))
    assert [each.loss for each in curve] == pytest.approx([each.loss for each in expected], rel=1e-6)
    # The order of a sum is torch's affair: a picture or two in a thousand may be read otherwise.
    assert [each.accuracy for each in curve] == pytest.approx([each.accuracy for each in expected], abs=0.003)
    assert {each.alone for each in curve} == {None}


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
async def test_p6_a_group_that_loses_a_member_fails_the_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_workers(Leaver, tmp_path, monkeypatch)
    with pytest.raises(NodeError):
        async with asyncio.timeout(30):
            await federate(replace(SMALL, executor="process", backend="torch", rounds=3))
