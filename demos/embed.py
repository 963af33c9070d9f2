"""A web application whose handler is one line: it submits the request to a graph and awaits the answer.

The graph looks up the price and the cost of shipping at the same time, for many requests at once::

    request ─ parse ─┬─ price ────┬─ answer
                     └─ shipping ─┘

Start it with ``python demos/embed.py``, and ask it::

    curl 'localhost:8080/quote?product=tea&quantity=3&country=PT'
    curl 'localhost:8080/statistics'
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

from pipelines import (
    SKIP,
    AbortedError,
    ClosedError,
    NodeError,
    PipelinesError,
    Plumber,
    Processor,
    SkippedError,
    StoppedError,
    lift,
)

PRICES = {"tea": 4.5, "coffee": 9.0, "cocoa": 6.0}
SHIPPING = {"PT": 3.0, "FR": 5.0, "NZ": 20.0}

Order = dict[str, Any]


def parse(self: Processor, q_elt: tuple[dict[str, str]]) -> Any:
    """Read an order; what is returned goes to both branches. SKIP: there is nothing to answer."""
    query = q_elt[0]
    order = {
        "product": query.get("product", ""),
        "quantity": int(query.get("quantity", "1")),
        "country": query.get("country", "PT"),
    }
    return order if order["product"] in PRICES else SKIP


async def price(self: Processor, q_elt: tuple[Order]) -> Order:
    """Ask the price list."""
    order = q_elt[0]
    await asyncio.sleep(self.latency)  # stands for a database
    return {**order, "price": PRICES[order["product"]] * order["quantity"]}


async def shipping(self: Processor, q_elt: tuple[Order]) -> float:
    """Ask the carrier, who does not go everywhere."""
    country = q_elt[0]["country"]
    await asyncio.sleep(self.latency)  # stands for somebody else's service
    if country not in SHIPPING:
        raise ConnectionError(f"the carrier does not answer about {country!r}")
    return SHIPPING[country]


def answer(order: Order, shipping: float) -> Order:
    """A zip of the two branches: both values are about the same request, however many are under way."""
    return {**order, "shipping": shipping, "total": order["price"] + shipping}


GRAPH: dict[str, Any] = {
    "nodes": {
        "request": {},  # without a coro: items come from `submit`
        "parse": {"coro": parse},
        "price": {"coro": price},
        "shipping": {"coro": shipping, "properties": {"retry": {"attempts": 2, "backoff": 0.01}}},
        "answer": {"coro": lift(answer)},  # a function of plain values, made a node
    },
    "graph": {
        "request": ["parse"],
        "parse": ["price", "shipping"],
        "price": ["answer"],
        "shipping": ["answer"],
    },
}

DEFAULTS = {
    "concurrency": 256,
    "on_error": "skip",  # a request that fails is told so by `submit`; the graph goes on with the others
}

STATUS: dict[type[Exception], int] = {
    SkippedError: 422,  # a coro returned SKIP
    StoppedError: 503,  # the graph ended before the request was through
    AbortedError: 503,
    ClosedError: 503,  # the graph has ended before
    TimeoutError: 504,  # it took too long
}

PLUMBER = web.AppKey("plumber", Plumber)
TIMEOUT = web.AppKey("timeout", float)


async def quote(request: web.Request) -> web.Response:
    """One request in, its own answer out."""
    return web.json_response(await request.app[PLUMBER].submit(dict(request.query), timeout=request.app[TIMEOUT]))


async def statistics(request: web.Request) -> web.Response:
    """What the graph does at this moment."""
    return web.json_response(request.app[PLUMBER].statistics().to_dict())


@web.middleware
async def errors_as_statuses(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
    """Turn what `submit` raises into an HTTP status."""
    try:
        response: web.StreamResponse = await handler(request)
        return response
    except (PipelinesError, TimeoutError) as error:
        message = str(error) or "it took too long"
        return web.json_response({"error": message}, status=status_of(error))


def status_of(error: Exception) -> int:
    """The HTTP status for an error; of a `NodeError` the coro's own exception decides."""
    if isinstance(error, NodeError):
        cause = error.__cause__
        return 400 if isinstance(cause, ValueError) else 502 if isinstance(cause, ConnectionError) else 500
    return STATUS.get(type(error), 500)


def make_app(latency: float = 0.05, timeout: float = 5.0) -> web.Application:
    """The application; its graph lives as long as the application runs.

    Args:
        latency: Seconds that the price list and the carrier take to answer.
        timeout: Seconds after which a request is given up.
    """

    async def plumbing(app: web.Application) -> AsyncIterator[None]:
        async with Plumber(GRAPH, env_vars={"latency": latency}, defaults=DEFAULTS) as plumber:
            app[PLUMBER] = plumber
            yield

    app = web.Application(middlewares=[errors_as_statuses])
    app[TIMEOUT] = timeout
    app.cleanup_ctx.append(plumbing)
    app.router.add_get("/quote", quote)
    app.router.add_get("/statistics", statistics)
    return app


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Answer requests with the help of a graph.")
    parser.add_argument("--port", type=int, default=8080)
    args = parser.parse_args()
    web.run_app(make_app(), host="127.0.0.1", port=args.port)


if __name__ == "__main__":
    main()
