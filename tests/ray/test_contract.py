"""The contract of all executors, on a local Ray."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.contracts.test_executors import ExecutorSuite

pytestmark = pytest.mark.usefixtures("local_ray")


class TestRay(ExecutorSuite):
    name: ClassVar[str] = "ray"
    travels = True
    dies = True
    interrupts = True
