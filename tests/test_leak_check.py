"""The checks around every test can fail: each way to leave something behind is shown to be found."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]

GOOD = """
import asyncio, threading
import pytest
from hypothesis import given, strategies as st

@pytest.fixture
def seven():
    return 7

async def test_async(seven):
    await asyncio.sleep(0)
    assert seven == 7

class TestClass:
    @pytest.mark.parametrize("n", [1, 2])
    async def test_method(self, n):
        await asyncio.sleep(0)
        assert n > 0

    @given(st.integers())
    async def test_property(self, n):
        await asyncio.sleep(0)

async def test_default_executor():
    assert await asyncio.to_thread(lambda: 1) == 1

async def test_finished_things():
    async def numbers():
        yield 1
    assert [n async for n in numbers()] == [1]
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()

async def test_subprocess():
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
"""

BAD = {
    "task": ("asyncio.create_task(asyncio.sleep(60), name='lost')", "*the test left alive: *lost*"),
    "generator": (
        "async def numbers():\n        yield 1\n    g = numbers()\n    await anext(g)\n    asyncio.g = g",
        "*the test left alive: *async_generator object*",
    ),
    "thread": (
        "asyncio.e = threading.Event()\n    threading.Thread(target=asyncio.e.wait, daemon=True).start()",
        "*the test left alive: *Thread*",
    ),
    "never_retrieved": (
        "async def broken():\n        raise OSError('lost')\n    t = asyncio.create_task(broken())\n"
        "    await asyncio.wait([t])",
        "*the loop was told of: Task exception was never retrieved (OSError('lost'))",
    ),
    "callback": (
        "asyncio.get_running_loop().call_soon(lambda: 1 / 0)\n    await asyncio.sleep(0)",
        "*the loop was told of: Exception in callback *ZeroDivisionError*",
    ),
    "never_awaited": ("asyncio.sleep(1)", "*coroutine 'sleep' was never awaited*"),
    "transport": (
        "server = await asyncio.start_server(lambda r, w: None, '127.0.0.1', 0)\n"
        "    await asyncio.open_connection(*server.sockets[0].getsockname())\n    server.close()",
        "*unclosed *transport*",
    ),
    "file": ("open(__file__)", "*unclosed file*"),
    "assertion": ("assert [1] == [2]", "E*assert [[]1] == [[]2]"),
    "hanging": (
        "await asyncio.get_running_loop().create_future()",
        "*still alive: task * -> test_hanging (*test_bad.py:*)",
    ),
}


@pytest.fixture
def checked(pytester: pytest.Pytester) -> pytest.Pytester:
    """A directory with the project's own test configuration."""
    for name in ("tests/conftest.py", "pyproject.toml"):
        (pytester.path / Path(name).name).write_bytes((ROOT / name).read_bytes())
    (pytester.path / "tests").mkdir()
    return pytester


def test_tests_that_clean_up_pass(checked: pytest.Pytester) -> None:
    (checked.path / "tests/test_good.py").write_text(GOOD)
    checked.runpytest_subprocess().assert_outcomes(passed=7)


def test_every_leak_fails_its_own_test(checked: pytest.Pytester) -> None:
    tests = "".join(f"\nasync def test_{name}():\n    {body}\n" for name, (body, _) in BAD.items())
    tests = tests.replace("async def test_hanging", "@pytest.mark.timeout(0.2)\nasync def test_hanging")
    (checked.path / "tests/test_bad.py").write_text(f"import asyncio, threading\nimport pytest\n{tests}")
    result = checked.runpytest_subprocess("-vv")
    result.assert_outcomes(failed=len(BAD))
    for name, (_, complaint) in BAD.items():
        result.stdout.fnmatch_lines([f"*_ test_{name} _*", complaint])


def test_sync_tests_are_checked_too(checked: pytest.Pytester) -> None:
    (checked.path / "tests/test_bad.py").write_text(
        "import threading\nE = threading.Event()\n"
        "def test_thread():\n    threading.Thread(target=E.wait, daemon=True, name='lost').start()\n"
    )
    result = checked.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the test left alive: *lost*"])


def test_virtual_time_is_for_coroutine_tests(checked: pytest.Pytester) -> None:
    (checked.path / "tests/test_bad.py").write_text(
        "import pytest\n\n@pytest.mark.virtual_time\ndef test_plain():\n    pass\n"
    )
    result = checked.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the mark virtual_time is for coroutine tests*"])


SLOW = """
import time
import pytest
from hypothesis import given, strategies as st

@pytest.mark.timeout(0.3)
@given(st.integers())
def test_shrinking(n):
    while True:
        time.sleep(0.01)

@pytest.mark.timeout(0.3)
def test_stubborn():
    try:
        time.sleep(60)
    except BaseException:
        time.sleep(60)

def test_next():
    pass
"""


def test_a_timeout_ends_a_test_whatever_it_catches(checked: pytest.Pytester) -> None:
    conftest = checked.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("INTERRUPTION = 10.0", "INTERRUPTION = 0.3"))
    (checked.path / "tests/test_slow.py").write_text(SLOW)
    result = checked.runpytest_subprocess()
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["E*TimedOut: Timeout (>0.3s)*", "E*TimedOut: Timeout (>0.3s)*"])


def test_unknown_marks_are_refused(checked: pytest.Pytester) -> None:
    (checked.path / "tests/test_bad.py").write_text(
        "import pytest\n\n@pytest.mark.sloow\ndef test_plain():\n    pass\n"
    )
    checked.runpytest_subprocess().assert_outcomes(errors=1)
