"""noisy init [FILE]: write a grid with comments, to be changed and submitted. It never replaces a file.

Exit status: 0; 2 there is such a file, or it cannot be written.
"""

import re
from pathlib import Path

from hpc.console import ALL_WELL, Refused, exit_with
from hpc.execution.choice import SECTION_EXAMPLE
from jobs.commandline import Parser
from jobs.files import named
from jobs.typed import quoted, typed

SCHEMA = Path(__file__).with_name("grid.schema.json")
_NAME = re.compile(r"[^0-9A-Za-z_-]")  # what the name of the campaign's folder leaves out of the file's
_TEXT = """\
# yaml-language-server: $schema={schema}
# (the line above is for editors: they then complete the keys below, and mark mistakes)
#
# A grid: one training for each activation, model type, noise level and repeat. As it is: 36 of them, a minute on two cores.
# To see what it costs, with nothing written:  noisy submit --grid {name} --dry-run

output_dir: results/{campaign}
dataset: digits                      # scikit-learn's, needs no download. Or: mnist, fashion_mnist, kmnist
data_dir: data                       # where data sets are, or are put
seed: 1234                           # all random numbers follow from it and from the number of the repeat

# The axes: every combination is trained.
activations: [relu, tanh, sigmoid]   # also: leaky_relu, gelu
model_types: [mlp]                   # also: cnn
ps: [0.0, 0.3, 0.6, 0.9]             # the probability that a pixel of a training image is replaced by noise
repeats: 3                           # with different random numbers; for a paper: 20 or more

# Training. Each of these may also be a list, and is then an axis.
epochs: 5
batch_size: 32                       # for mnist: 128 or more
learning_rate: 0.001
weight_decay: 0.0
max_train_samples: null              # or the first N images of the training set
models:                              # what differs by model type
  mlp: {{hidden_sizes: [128, 64]}}

# How it is executed. None of this changes which runs there are.
max_workers: null                    # at the same time; null: all cores
cpu_threads_per_worker: 1
{section}
"""


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("init", "Write a grid with comments, to be changed.")
    parser.add_argument("file", type=Path, nargs="?", default=Path("grid.yaml"), help="a new file (default: %(default)s)")
    options = parser.parse_args(argv)
    exit_with(lambda: _init(options.file))


def _init(path: Path) -> int:
    text = _TEXT.format(
        schema=SCHEMA.as_uri(), section=SECTION_EXAMPLE, name=quoted(path), campaign=_NAME.sub("", path.stem) or "campaign"
    )
    try:
        with named(path), path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise Refused(f"{path}: is there already, and is not replaced; allowed: the name of a new file") from error
    print(f"{path}: a grid of 36 runs of digits.\nNext: {typed('submit')} --grid {quoted(path)}")
    return ALL_WELL


if __name__ == "__main__":
    main()
