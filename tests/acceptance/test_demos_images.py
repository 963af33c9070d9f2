"""The images demo: the same files come out, wherever the node that does the work runs."""

from __future__ import annotations

import asyncio
import csv
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("PIL", reason="the demos need the extra 'demos'")
pytest.importorskip("numpy", reason="the demos need the extra 'demos'")

import numpy as np
from PIL import Image

from demos.images import compare, stars
from pipelines import MissingExtraError, Plumber

ROOT = Path(__file__).parents[2]
GRAPH = ROOT / "demos" / "images" / "graph.yaml"
COUNT = 4


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures that `stars.draw_file` made."""
    folder = tmp_path_factory.mktemp("drawn")
    for number, path in enumerate(stars.drawn_files(str(folder), COUNT)):
        stars.draw_file(number, path)
    return folder / "pictures"


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    environment.pop("COVERAGE_PROCESS_CONFIG", None)
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def into(target: Path, graph: dict[str, Any]) -> dict[str, Any]:
    """The graph with all its results in one folder."""
    graph["nodes"]["pictures"]["args"]["results"] = str(target)
    graph["nodes"]["store"]["args"]["folder"] = str(target / "found")
    graph["nodes"]["table"]["args"]["path"] = str(target / "stars.csv")
    return graph


async def results(executor: str, pictures: Path, target: Path) -> dict[str, bytes]:
    """Every file that the graph makes of the pictures in a folder."""
    graph = compare.make_graph(executor, COUNT, str(pictures))
    await Plumber(into(target, graph)).run()
    return files(target)


# What is found.


def found(pixels: Any, **args: Any) -> dict[str, Any]:
    node: Any = SimpleNamespace()
    return stars.find(node, ({"name": "sky", "pixels": pixels},), **args)


@pytest.mark.parametrize("number", range(4))
def test_nearly_as_many_stars_are_found_as_were_drawn(number: int) -> None:
    pixels, count = stars.draw(number)
    assert 0.8 * count < found(pixels)["row"]["stars"] <= count


def test_an_empty_sky_has_no_stars() -> None:
    row = found(np.full((90, 120), 40, np.uint8))["row"]
    assert (row["stars"], row["largest"], row["bright_share"]) == (0, 0, 0.0)


def test_each_spot_is_counted_once_however_it_is_shaped() -> None:
    bright = np.array([list(line) for line in ("#..##", ".#..#", "#....", "....#")]) == "#"
    assert sorted(len(spot) for spot in stars.connected(bright)) == [1, 3, 3]


def test_a_picture_is_drawn_the_same_every_time_and_unlike_the_others() -> None:
    assert (stars.draw(1)[0] == stars.draw(1)[0]).all()
    assert (stars.draw(1)[0] != stars.draw(2)[0]).any()


# The graph.


@pytest.mark.parametrize("executor", ["thread", "process"])
async def test_p2_the_same_files_come_out_of_every_executor(executor: str, drawn: Path, tmp_path: Path) -> None:
    expected = await results("loop", drawn, tmp_path / "loop")
    assert len(expected) == COUNT + 1
    assert await results(executor, drawn, tmp_path / executor) == expected


@pytest.mark.slow
async def test_p2_the_same_files_come_out_of_ray(drawn: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    assert await results("ray", drawn, tmp_path / "ray") == await results("loop", drawn, tmp_path / "loop")


async def test_p1_what_is_no_picture_is_left_out(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not even its name is one of a picture")
    (tmp_path / "sky.png").write_bytes((drawn / "sky-0001.png").read_bytes())
    report = await Plumber(into(tmp_path, compare.make_graph("loop", COUNT, str(tmp_path)))).run()
    assert [(failed.node, Path(failed.item).name) for failed in report.failures] == [("read", "broken.png")]
    assert [row["picture"] for row in rows(tmp_path / "stars.csv")] == ["sky"]


def test_the_graph_file_draws_its_pictures_and_runs_from_the_command_line(tmp_path: Path) -> None:
    values = ["pictures.args.count=2", "work.properties.executor=process"]
    settings = [part for value in values for part in ("--set", value)]
    result = run(tmp_path, "-m", "pipelines", "run", str(GRAPH), *settings)
    assert result.returncode == 0, result.stderr
    found_rows = rows(tmp_path / "results" / "images" / "stars.csv")
    assert [row["picture"] for row in found_rows] == ["sky-0000", "sky-0001"]
    for row in found_rows:
        with Image.open(tmp_path / "results" / "images" / "found" / f"{row['picture']}.png") as image:
            assert image.size == (stars.WIDTH // 2, stars.HEIGHT // 2)


def test_the_demo_says_which_command_it_is_and_what_came_out(drawn: Path, tmp_path: Path) -> None:
    result = run(tmp_path, "-m", "demos.images", "--executor", "thread", "--count", "2", "--folder", str(drawn))
    assert result.returncode == 0, result.stderr
    assert "--set work.properties.executor=thread" in result.stdout.splitlines()[0]
    assert "sky-0001" in result.stdout
    assert not (tmp_path / "results" / "images" / "pictures").exists()


# The comparison.


async def test_executors_are_compared_over_interleaved_rounds(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    measured = await compare.compare(["loop", "process"], 2, 2, str(drawn))
    assert {name: [each.pictures for each in runs] for name, runs in measured.items()} == {
        "loop": [2, 2],
        "process": [2, 2],
    }
    assert [line.split()[0] for line in compare.table(measured)] == ["executor", "loop", "process"]


async def test_an_executor_that_is_not_installed_is_left_out(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> Any:
        raise MissingExtraError(f"the executor {name!r}", name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare, "make_executor", missing)
    assert list(await compare.compare(["loop", "ray"], 1, 1, str(drawn))) == ["loop"]
    assert "pip install" in capsys.readouterr().out


async def test_p5_the_ticker_sees_a_loop_that_is_held_up() -> None:
    async with compare.Ticker() as ticker:
        await asyncio.sleep(0)
        time.sleep(0.05)  # noqa: ASYNC251 - what must not be done is what is seen
        await asyncio.sleep(0.005)
    assert ticker.pause > 0.03


def test_the_table_shows_medians_and_ratios() -> None:
    def runs(*seconds: float) -> list[compare.Measured]:
        return [compare.Measured(10, each, 0.025) for each in seconds]

    lines = compare.table({"loop": runs(2.0, 9.0, 1.0), "process": runs(1.0, 1.0, 1.0)})
    assert lines[1].split() == ["loop", "2.00", "5.0", "1.00", "25", "ms"]
    assert lines[2].split() == ["process", "1.00", "10.0", "2.00", "25", "ms"]
