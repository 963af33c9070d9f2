"""The house rules that no other tool checks: sizes, what importing does, the public names, the package as built."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipelines

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pipelines"
MODULES = sorted(PACKAGE.rglob("*.py"))

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60

# What the base dependencies that `import pipelines` may load are made of; every other third-party package comes later.
LOADED_AT_IMPORT = {
    "annotated_types",
    "pipelines",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
}


def metadata() -> dict[str, object]:
    project: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The place of every function, and its lines without the docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            begin = node.body[1 if ast.get_docstring(node) is not None and len(node.body) > 1 else 0].lineno
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or begin) - begin + 1


def in_new_process(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_modules_are_short() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert sizes
    assert {name: size for name, size in sizes.items() if size > LONGEST_MODULE} == {}


def test_functions_are_short() -> None:
    sizes = dict(size for path in MODULES for size in functions(path))
    assert sizes
    assert {place: size for place, size in sizes.items() if size > LONGEST_FUNCTION} == {}


def test_importing_prints_nothing_and_loads_no_extra() -> None:
    result = in_new_process(
        "import sys; before = set(sys.modules); import pipelines; loaded = set(sys.modules) - before\n"
        "roots = {name.partition('.')[0] for name in loaded} - sys.stdlib_module_names\n"
        f"late = roots - {LOADED_AT_IMPORT!r}\n"
        "sys.exit(' '.join(sorted(name for name in late if not name.startswith('_sysconfigdata'))))"
    )
    assert (result.stdout, result.stderr.strip()) == ("", "")


def test_public_names_are_sorted_documented_and_there() -> None:
    names = list(pipelines.__all__)
    # Constants, then classes, then functions, each by the alphabet: as the linter sorts every other `__all__`.
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    public = {name: getattr(pipelines, name) for name in names}
    objects = [value for value in public.values() if inspect.isclass(value) or inspect.isfunction(value)]
    assert [value.__qualname__ for value in objects if not inspect.getdoc(value)] == []


# Importing a __main__ would start the command line.
@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.stem != "__main__"], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_what_a_module_exports_is_there(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(name)
    assert [each for each in getattr(module, "__all__", ()) if not hasattr(module, each)] == []


def test_the_version_is_that_of_the_distribution() -> None:
    assert pipelines.__version__ == metadata()["version"]


def test_the_installed_metadata_is_that_of_this_tree() -> None:
    try:
        installed = importlib.metadata.version("asyncio-pipelines")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the distribution is not installed here")
    assert installed == metadata()["version"]


def test_the_wheel_holds_every_module_and_the_type_marker(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(PACKAGE, tree / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    result = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=tree, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    [wheel] = tmp_path.glob("asyncio_pipelines-*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = {path.relative_to(ROOT).as_posix() for path in MODULES}
    assert packed >= files | {"pipelines/py.typed"}
    assert {name.partition("/")[0] for name in packed} == {"pipelines", wheel.name.split("-py3")[0] + ".dist-info"}
