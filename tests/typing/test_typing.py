"""The types that users see are what they are said to be."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def check(file: Path, cache: Path) -> tuple[int, str]:
    """The exit status and the messages of mypy about one file."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", f"--cache-dir={cache}", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def test_the_public_surface_has_the_types_it_is_said_to_have(cache):
    assert check(HERE / "public_surface.py", cache) == (0, "")


def test_mypy_would_say_so_if_it_had_not(cache, tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from pipelines import Plumber\nPlumber(5)\n")
    status, messages = check(wrong, cache)
    assert status == 1
    assert 'Argument 1 to "Plumber" has incompatible type "int"' in messages


def test_the_package_says_that_it_is_typed():
    assert resources.files("pipelines").joinpath("py.typed").is_file()
