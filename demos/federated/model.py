"""The model: a network with one hidden layer, in numpy.

Its weights are one flat array, so that they can be sent, added up and averaged without a word about layers.
"""

import numpy as np

from demos.federated.problem import COLUMNS, DIGITS, ROWS, Examples, Labels, Numbers

HIDDEN = 48
SHAPES = ((ROWS * COLUMNS, HIDDEN), (HIDDEN,), (HIDDEN, DIGITS), (DIGITS,))
BATCH = 32


def initial(seed: int) -> Numbers:
    """Random weights to begin with."""
    chance = np.random.default_rng(seed)
    parts = [chance.normal(0, shape[0] ** -0.5, shape) if len(shape) > 1 else np.zeros(shape) for shape in SHAPES]
    return np.concatenate([part.ravel() for part in parts])


def layers(weights: Numbers) -> list[Numbers]:
    """The parts of the flat array in their shapes; they share its memory."""
    ends = np.cumsum([np.prod(shape) for shape in SHAPES])
    return [part.reshape(shape) for part, shape in zip(np.split(weights, ends[:-1]), SHAPES, strict=True)]


def forward(weights: Numbers, images: Numbers) -> tuple[Numbers, Numbers]:
    """What the hidden layer says, and how likely each digit is."""
    first, first_bias, second, second_bias = layers(weights)
    hidden = np.maximum(images @ first + first_bias, 0.0)
    scores = hidden @ second + second_bias
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, odds / odds.sum(axis=1, keepdims=True)


def gradient(weights: Numbers, images: Numbers, labels: Labels) -> tuple[Numbers, float]:
    """How the mean loss changes with each weight, and the mean loss."""
    hidden, odds = forward(weights, images)
    rows = np.arange(len(labels))
    loss = float(-np.log(odds[rows, labels] + 1e-12).mean())
    odds[rows, labels] -= 1.0
    odds /= len(labels)
    back = (odds @ layers(weights)[2].T) * (hidden > 0)
    parts = (images.T @ back, back.sum(axis=0), hidden.T @ odds, odds.sum(axis=0))
    return np.concatenate([part.ravel() for part in parts]), loss


def train(
    weights: Numbers, examples: Examples, chance: np.random.Generator, *, epochs: int, rate: float
) -> tuple[Numbers, float]:
    """Weights that fit the examples better, and the mean loss of the last epoch; the old weights stay as they are."""
    weights = weights.copy()
    losses: list[float] = []
    for _ in range(epochs):
        order = chance.permutation(len(examples.labels))
        losses = []
        for begin in range(0, len(order), BATCH):
            batch = order[begin : begin + BATCH]
            slope, loss = gradient(weights, examples.images[batch], examples.labels[batch])
            weights -= rate * slope
            losses.append(loss)
    return weights, float(np.mean(losses))


def accuracy(weights: Numbers, examples: Examples) -> float:
    """The share of the examples that are read correctly."""
    return float((forward(weights, examples.images)[1].argmax(axis=1) == examples.labels).mean())
