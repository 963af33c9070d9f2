"""The accuracy curve, as lines of text and as a picture."""

from collections.abc import Sequence

from demos.federated.training import Round

WIDTH = 40
HEADER = f"{'round':>5} {'loss':>7} {'accuracy':>9}  {'':{WIDTH}}  {'alone':>6}"


def line(each: Round) -> str:
    """One round: a bar as long as the accuracy, and a mark where the workers would be without each other."""
    bar = ["#" if place < WIDTH * each.accuracy else " " for place in range(WIDTH)]
    alone = ""
    if each.alone is not None:
        bar[min(WIDTH - 1, int(WIDTH * each.alone))] = "|"
        alone = f"{each.alone:6.1%}"
    return f"{each.number:5} {each.loss:7.3f} {each.accuracy:9.1%}  {''.join(bar)}  {alone:>6}".rstrip()


def plot(curve: Sequence[Round], path: str) -> None:
    """Draw the curve into a file whose name says its format, such as ``curve.png``."""
    from matplotlib.figure import Figure  # takes a second, and is not always wanted
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="round", ylabel="accuracy on held-out data", ylim=(0, 1))
    numbers = [each.number for each in curve]
    axes.plot(numbers, [each.accuracy for each in curve], marker=".", label="averaged")
    alone = [each.alone for each in curve if each.alone is not None]
    if alone:
        axes.plot(numbers, alone, linestyle="--", label="workers alone, before they are averaged")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path)
