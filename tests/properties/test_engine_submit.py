"""Submitted items through random graphs: each gets its own result, or its own error."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipelines import NodeError
from pipelines.errors import SkippedError
from pipelines.testing import FuzzLoop, no_leaks

from .reference import Case, Reference
from .running import LONGEST, Deliberate, World, run_bounded
from .strategies import Shape, cases, examples

ONE_FED = Shape(max_nodes=9, max_sources=1, source_kinds=("fed",), batches=False)


@examples(100)
@given(cases(ONE_FED), st.integers(0, 1 << 30))
def test_p1_p6_submitted_items_get_their_own_results(case: Case, seed: int) -> None:
    world = World(case)
    source = case.sources[0]
    values = [value for _, value in world.positions(source)]

    async def submit(position: int) -> Any:
        await asyncio.sleep(position % 3)
        try:
            return await world.plumber.submit(values[position])
        except (SkippedError, NodeError) as error:
            return error

    async def main() -> list[Any]:
        with no_leaks():
            async with asyncio.timeout(LONGEST / 2), world.plumber:
                return await asyncio.gather(*map(submit, range(len(values))))

    results = run_bounded(main(), lambda: FuzzLoop(seed))
    assert world.wrong == []
    for position, result in enumerate(results):
        check_result(case, position, result)


def check_result(case: Case, position: int, found: Any) -> None:
    """Compare with what comes of this one item when it has the graph for itself."""
    source = case.sources[0]
    reference = Reference(case, {source.name: [position]})
    shape = case.shape(source.name)
    if reference.has_failure:
        assert isinstance(found, NodeError)
        assert isinstance(found.__cause__, (Deliberate, TimeoutError))
        return
    expected = {name: values for name, values in reference.outputs.items() if name in shape and values}
    if not expected:
        assert isinstance(found, SkippedError)
        assert found.node in case.by_name
        return
    assert not isinstance(found, Exception)
    if len(shape) == 1:
        found = {next(iter(shape)): found}
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert Counter(found[name] if shape[name] else [found[name]]) == Counter(values)


@examples(40)
@given(cases(replace(ONE_FED, batches=True)), st.integers(0, 1 << 30))
def test_p6_nobody_waits_for_ever_for_a_batch_to_fill(case: Case, seed: int) -> None:
    world = World(case)
    source = case.sources[0]

    async def main() -> list[Any]:
        with no_leaks():
            async with world.plumber:
                submits = [world.plumber.submit(value) for _, value in world.positions(source)]
                return await asyncio.gather(*submits, return_exceptions=True)

    results = run_bounded(main(), lambda: FuzzLoop(seed))
    assert world.wrong == []
    for result in results:
        assert not isinstance(result, BaseException) or isinstance(result, (NodeError, SkippedError)), result
