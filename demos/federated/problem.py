"""What is learned: to read digits that are shifted, faint and noisy.

Nobody has them all. Every worker sees its own few digits often and the others seldom, as a hospital sees the
cases of its region. Such shards are called non-IID, and make it hard: what a worker learns by itself is not
what all of them need to know.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Labels = NDArray[np.int64]

GLYPHS = """
 ###    #    ###   ###     #  #####  ###  #####  ###   ###
#   #  ##   #   # #   #   ##  #     #         # #   # #   #
#  ##   #       #     #  # #  ####  #        #  #   # #   #
# # #   #      #    ##  #  #      # ####    #    ###   ####
##  #   #     #       # #####     # #   #  #    #   #     #
#   #   #    #    #   #    #  #   # #   #  #    #   #     #
 ###   ###  #####  ###     #   ###   ###   #     ###   ###
"""
DIGITS = 10
ROWS, COLUMNS = 9, 7
SELDOM = 0.05
"""How often a worker sees a digit that is not its own, compared with one that is."""

HELD_OUT = 1000
NOBODY = 1 << 20
"""Stands in the place of a worker's number for the data that no worker has."""


class Examples(NamedTuple):
    """Pictures, one in each row, and which digit each of them is."""

    images: Numbers
    labels: Labels


def glyph(digit: int) -> Numbers:
    """The digit as it would be if it were not for noise."""
    lines = GLYPHS.strip("\n").splitlines()
    return np.array([[float(mark == "#") for mark in f"{line:60}"[6 * digit : 6 * digit + 5]] for line in lines])


def draw(labels: Labels, chance: np.random.Generator) -> Examples:
    """A picture for each label: somewhere in the frame, more or less bright, and never twice the same."""
    glyphs = [glyph(digit) for digit in range(DIGITS)]
    images = chance.normal(0.0, 0.25, (len(labels), ROWS, COLUMNS))
    for image, label in zip(images, labels, strict=True):
        height, width = glyphs[label].shape
        top, left = chance.integers(ROWS - height + 1), chance.integers(COLUMNS - width + 1)
        image[top : top + height, left : left + width] += chance.uniform(0.6, 1.2) * glyphs[label]
    return Examples(images.reshape(len(labels), -1), labels)


def own_digits(worker: int, workers: int) -> list[int]:
    """The digits that a worker sees often; each belongs to somebody."""
    groups = min(workers, DIGITS)
    return [digit for digit in range(DIGITS) if digit % groups == worker % groups]


def shard(worker: int, workers: int, seed: int) -> Examples:
    """The data of one worker, always the same; some workers have more of it than others."""
    chance = np.random.default_rng([seed, worker])
    own = own_digits(worker, workers)
    odds = np.array([1.0 if digit in own else SELDOM for digit in range(DIGITS)])
    return draw(chance.choice(DIGITS, int(chance.integers(300, 800)), p=odds / odds.sum()), chance)


def held_out(seed: int) -> Examples:
    """Data that nobody learns from: all digits, equally often."""
    chance = np.random.default_rng([seed, NOBODY])
    return draw(np.arange(HELD_OUT) % DIGITS, chance)
