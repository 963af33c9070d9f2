"""One run in a process of its own: ``python -m benchmarks.child FILE REQUEST``.

REQUEST is JSON, and the answer is written to FILE as JSON: contenders may print what they like. A
request with a work is a run of it; one without asks what the contender can do.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from .contenders import CannotError, NotInstalledError, load
from .jobs import WrongResultError
from .works import TINY, WORKS

__all__ = ["answer", "describe", "run"]


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request; whatever goes wrong is told in it."""
    try:
        return run(**request) if "work" in request else describe(**request)
    except NotInstalledError as error:
        return {"status": "missing", "reason": str(error)}
    except CannotError as error:
        return {"status": "cannot", "reason": str(error)}
    except WrongResultError as error:
        return {"status": "wrong", "reason": str(error)}
    except BaseException as error:  # contenders may even exit
        print(traceback.format_exc(), file=sys.stderr)
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}


def describe(contender: str) -> dict[str, Any]:
    """What a contender is, and for each work None or the reason why it cannot do it."""
    adapter = load(contender)
    works: dict[str, str | None] = {}
    for work in WORKS.values():
        try:
            adapter.contestant(work)
        except CannotError as error:
            works[work.name] = str(error)
        else:
            works[work.name] = None
    return {"status": "ok", "about": adapter.about, "version": adapter.version, "works": works}


def run(contender: str, work: str, size: str, variant: str | None = None) -> dict[str, Any]:
    """Let a contender do a work: a tiny job first as a proof, then the measured one."""
    adapter, chosen = load(contender), WORKS[work]
    contestant = adapter.contestant(chosen)
    parameters = chosen.variants[variant] if variant is not None else {}
    share = 1.0 if size == TINY else adapter.share(chosen)
    chosen.prove(contestant, parameters)
    figures = chosen.measure(contestant, chosen, chosen.size(size, share) | dict(parameters))
    return {"status": "ok", "figures": figures, "share": share}


def main() -> None:
    """Answer the request on the command line."""
    Path(sys.argv[1]).write_text(json.dumps(answer(json.loads(sys.argv[2]))), encoding="utf-8")


if __name__ == "__main__":
    main()
