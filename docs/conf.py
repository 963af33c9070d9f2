"""How the documentation is built: `make docs`."""

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "pipelines"
author = "pipelines authors"
copyright = author
release = version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"pipelines {release}"
html_copy_source = False

# Names in single backticks, in docstrings too, become links where there is something to link to.
default_role = "py:obj"
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True


def setup(app: "Sphinx") -> None:
    """Keep colons in the first lines of properties: napoleon takes what stands before one for a type."""
    app.connect("autodoc-process-docstring", _begin_with_a_comment, priority=400)


def _begin_with_a_comment(
    _app: object, what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]
