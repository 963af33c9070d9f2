"""The nodes: workers that train and a server that averages.

The coro of a node may be a class: one object is made of it where the node runs, from the node's ``args``, and
called for every item. So a worker has its data where it makes use of it, and only weights travel.
"""

from dataclasses import dataclass

import numpy as np

from demos.federated import model, problem
from demos.federated.problem import Numbers


@dataclass(frozen=True)
class Task:
    """What every worker is sent: the number of the round, and the weights to begin with."""

    round: int
    weights: Numbers


@dataclass(frozen=True)
class Update:
    """What a worker answers: its weights, and from how many examples it has learned them, with which loss."""

    weights: Numbers
    examples: int
    loss: float


@dataclass(frozen=True)
class Merged:
    """What the server answers: the new weights, and how well they do on data that nobody has learned from.

    ``alone`` is how well the workers' own weights do, on average, or None if nobody knows.
    """

    weights: Numbers
    accuracy: float
    loss: float
    alone: float | None


class Worker:
    """Trains on the examples that only it has.

    It keeps nothing between two rounds but those: should its process die, another one makes the same shard and
    comes to the same result.
    """

    def __init__(self, number: int, workers: int, seed: int, epochs: int, rate: float) -> None:
        self.number = number
        self.seed = seed
        self.epochs = epochs
        self.rate = rate
        self.examples = problem.shard(number, workers, seed)

    def __call__(self, q_elt: tuple[Task]) -> Update:
        """One round: from the weights of all to weights that fit the own examples."""
        task = q_elt[0]
        chance = np.random.default_rng([self.seed, self.number, task.round])
        weights, loss = model.train(task.weights, self.examples, chance, epochs=self.epochs, rate=self.rate)
        return Update(weights, len(self.examples.labels), loss)


class Server:
    """Averages what the workers have learned, and tests it.

    It is a zip: a call gets one update of each worker, all of the same round, in the order of the workers.
    """

    def __init__(self, seed: int) -> None:
        self.held_out = problem.held_out(seed)

    def __call__(self, q_elt: tuple[Update, ...]) -> Merged:
        """The end of a round."""
        weights = self.merge(q_elt)
        loss = float(np.average([each.loss for each in q_elt], weights=[each.examples for each in q_elt]))
        return Merged(weights, model.accuracy(weights, self.held_out), loss, self.alone(q_elt))

    def merge(self, updates: tuple[Update, ...]) -> Numbers:
        """The mean of all weights; who has more examples has more to say."""
        return np.average([each.weights for each in updates], axis=0, weights=[each.examples for each in updates])

    def alone(self, updates: tuple[Update, ...]) -> float | None:
        """How well the workers do without each other."""
        return float(np.mean([model.accuracy(each.weights, self.held_out) for each in updates]))
