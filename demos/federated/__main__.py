"""Trains one model with the data of several workers, none of whom shows it to anybody.

Start it with ``python -m demos.federated``, and see ``--help``.
"""

import argparse
import asyncio
import sys

from demos.federated.problem import own_digits
from demos.federated.show import HEADER, line, plot
from demos.federated.training import BACKENDS, EXECUTORS, Round, Settings, federate, worker_names
from pipelines import PipelinesError


def main() -> int:
    """Train, and show the accuracy round by round; 0 when all went well."""
    options = vars(parse())
    picture = options.pop("plot")
    try:
        curve = train(Settings(**options))
        if picture is not None:
            plot(curve, picture)
            print(f"\nThe curve is in {picture}.")
    except (ValueError, OSError, ImportError, PipelinesError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parse() -> argparse.Namespace:
    """What the command line says."""
    usual = Settings()
    parser = argparse.ArgumentParser(prog="python -m demos.federated", description="Federated averaging as a graph.")
    parser.add_argument("--workers", type=int, default=usual.workers)
    parser.add_argument("--rounds", type=int, default=usual.rounds)
    parser.add_argument("--executor", choices=EXECUTORS, default=usual.executor, help="where the workers run")
    parser.add_argument("--backend", choices=BACKENDS, default=usual.backend, help="what averages: server, or group")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--rendezvous", metavar="URL", help="where workers meet, with --backend torch on a cluster")
    parser.add_argument("--plot", metavar="FILE", help="draw the curve, into a PNG for example")
    return parser.parse_args()


def train(settings: Settings) -> list[Round]:
    """Train with everything shown."""
    print(f"Reading digits: {settings.workers} workers on {settings.executor!r}, averaged by {settings.backend}")
    for number, name in enumerate(worker_names(settings)):
        print(f"  {name} sees mostly {', '.join(map(str, own_digits(number, settings.workers)))}")
    print(f"\n{HEADER.rstrip()}", flush=True)
    return asyncio.run(federate(settings, lambda each: print(line(each), flush=True)))


if __name__ == "__main__":
    sys.exit(main())
