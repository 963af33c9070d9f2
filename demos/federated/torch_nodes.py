"""The same nodes when the workers average among themselves, by means of torch.distributed.

The worker processes form a group and add their weights up with ``all_reduce``; no server ever sees the
weights of a single one. A call of ``all_reduce`` returns when every worker has made it: so every worker must
have a process of its own, all at the same time.
"""

from datetime import timedelta
from importlib import import_module, util
from typing import Any

import numpy as np

from demos.federated.nodes import Server, Task, Update, Worker
from demos.federated.problem import Numbers

JOINING = timedelta(seconds=120)
"""How long workers wait for each other, until that counts as a failure."""


def require_torch() -> None:
    """Say what installs PyTorch, if it is not there."""
    if util.find_spec("torch") is None:
        raise ModuleNotFoundError("--backend torch needs PyTorch, which is not installed: pip install torch")


def communication(workers: int) -> str:
    """What the group is to talk over: nccl if there is a GPU for every worker, else gloo."""
    torch: Any = import_module("torch")
    usable = torch.distributed.is_available() and torch.distributed.is_nccl_available()
    return "nccl" if usable and torch.cuda.device_count() >= workers else "gloo"


class TorchWorker(Worker):
    """A worker that joins the group of all workers when it is made.

    Args:
        rendezvous: Where the workers find each other: ``file:///...``, or ``tcp://host:port`` of the machine
            on which worker 0 runs.
        communication: ``gloo`` or ``nccl``, the same for all.
    """

    def __init__(self, number: int, workers: int, rendezvous: str, communication: str, **options: Any) -> None:
        super().__init__(number, workers, **options)
        self.torch: Any = import_module("torch")
        self.distributed: Any = import_module("torch.distributed")
        self.torch.set_num_threads(1)
        self.device = "cpu"
        if communication == "nccl":
            self.device = f"cuda:{number % self.torch.cuda.device_count()}"
            self.torch.cuda.set_device(self.device)
        self.distributed.init_process_group(
            communication, init_method=rendezvous, rank=number, world_size=workers, timeout=JOINING
        )

    def __call__(self, q_elt: tuple[Task]) -> Update:
        """One round; what is returned is what all workers return."""
        update = super().__call__(q_elt)
        return Update(self.mean(update.weights, update.examples), update.examples, update.loss)

    def mean(self, weights: Numbers, examples: int) -> Numbers:
        """The mean of the weights of all workers; who has more examples has more to say."""
        # The number of examples travels with the weights: one sum instead of two.
        total = self.torch.from_numpy(np.append(weights * examples, float(examples))).to(self.device)
        self.distributed.all_reduce(total)
        summed: Numbers = total.cpu().numpy()
        return summed[:-1] / summed[-1]

    def close(self) -> None:
        """After the last item: leave the group."""
        self.distributed.destroy_process_group()


class TorchServer(Server):
    """Has nothing left to do but to test: the workers agree already."""

    def merge(self, updates: tuple[Update, ...]) -> Numbers:
        """What any of them says."""
        return updates[0].weights

    def alone(self, updates: tuple[Update, ...]) -> float | None:
        """Nobody has seen the weights of a single worker."""
        return None
