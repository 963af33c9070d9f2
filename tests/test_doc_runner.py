"""The runner of documents can fail, and then says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doc_runner import DocumentError, blocks_of, matches, run_in_new_process

GOOD = """\
# A page

```python file=words.py
WORDS = ["one", "two"]
```

```{note}
Code in a note counts.

~~~python
from words import WORDS
async def later(value):
    return value
~~~
```

```python
import asyncio
print(await later(len(WORDS)))
task = asyncio.create_task(later("kept"))
```

```text output
2
```

   - ```python
     assert await task == "kept"
     ```

```yaml file=some/data.yaml
numbers: [1, 2]
```

<!-- no-run: it never ends -->
```python no-run
while True: pass
```

````markdown
```python
this is only shown
```
````

```console run
$ cat some/data.yaml
numbers: [...]
$ python -c \\
    "print(2 + 2); print('anything')"
4
...
$ python -c "print('not compared')"
```

```console run exit=3
$ python -c "raise SystemExit(3)"
```

```console
$ rm -rf this-is-not-run
```
"""


def test_a_good_page_passes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(GOOD)
    result = run_in_new_process(page)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("```python\nx = 1\nassert x == 2\n```", 2, "line 3 failed"),
        ("```python\nasync def f():\n    1 / 0\n\nawait f()\n```", 2, "ZeroDivisionError"),
        ("# A\n\n```python\nx = = 1\n```", 4, "no valid Python"),
        ("<!-- no-run: slow -->\n```python no-run\nx = = 1\n```", 3, "no valid Python"),
        ("```python no-run\nx = 1\n```", 2, "needs a comment"),
        ("```python norun\nx = 1\n```", 2, "unknown words after the language: norun"),
        ("```python\nx = 1\n", 1, "never closed"),
        ("```{code-block} python\nx = 1\n```", 1, "not a directive"),
        ("````{tip}\n```python\nassert 0\n```\n````", 3, "line 3 failed"),
        (":::{tip}\n```python\nassert 0\n```\n:::", 3, "line 3 failed"),
        ("```python\nprint(1)\n```\n```text output\n2\n```", 5, "the output differs"),
        ("```python file=a.py\nx = = 1\n```", 2, "no valid Python"),
        ("```python file=../a.py\nx = 1\n```", 2, "leads out of"),
        ("```console run\n$ python -c 'print(1)'\n2\n```", 2, "the output differs; printed was:\n1"),
        ("```console run\n$ python -c 'raise SystemExit(2)'\n```", 2, "ended with 2, not 0"),
        ("```console run\npython -V\n```", 2, "begins with a line"),
        (
            "```python\nimport asyncio\nt = asyncio.create_task(asyncio.sleep(9))\nawait asyncio.sleep(0)\n```",
            2,
            "alive",
        ),
        ("```python\nopen(__import__('sys').executable)\n```", 2, "unclosed file"),
        ("```yaml\nnodes: {}\ngraph: {}\n```", 2, "no valid graph"),
    ],
)
def test_a_bad_page_fails_and_says_where(tmp_path: Path, text: str, line: int, why: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    result = run_in_new_process(page)
    assert result.returncode == 1
    assert f"{page}:{line}:" in result.stderr
    assert why in result.stderr


def test_an_open_fence_is_told_when_the_page_is_read(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("```python\n")
    with pytest.raises(DocumentError, match="never closed"):
        blocks_of(tmp_path / "page.md")


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a b", "a b\n", True),
        ("a  \nb", "a\nb", True),
        ("a...z", "a\nb\nz", True),
        ("...", "", True),
        ("a.c", "abc", False),
        ("a", "a\nb", False),
        ("a...", "b a", False),
    ],
)
def test_three_dots_stand_for_any_text(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same
