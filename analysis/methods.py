"""methods.md: what reviewers need to know, as text made from the numbers. All functions are pure."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.datasets import info, sizes
from analysis.figures.names import named, text_of
from analysis.latex import latex_table
from analysis.wording import bars, compared, error_bars, excluded, listed, span
from jobs.image import FINISHED
from jobs.printing import count

__all__ = ["latex_table", "methods_text"]
_SETTINGS = {  # field -> its name in the text
    "hidden_sizes": "hidden layers",
    "epochs": "epochs",
    "batch_size": "batch size",
    "learning_rate": "learning rate",
    "weight_decay": "weight decay",
    "max_train_samples": "training images",
    "precision": "precision",
}
_LITERATURE = """\
@inproceedings{jordan2024, author = {Jordan, Keller}, booktitle = {ICLR}, year = {2024},
  title = {On the variance of neural network training with respect to test sets and distributions}}
@article{holm1979, author = {Holm, Sture}, journal = {Scandinavian Journal of Statistics}, volume = {6}, year = {1979},
  title = {A simple sequentially rejective multiple test procedure}}
@article{wilson1927, author = {Wilson, Edwin B.}, journal = {Journal of the American Statistical Association}, volume = {22},
  year = {1927}, title = {Probable inference, the law of succession, and statistical inference}}"""


def methods_text(summary: pd.DataFrame, per_run: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    """The text of methods.md: methods, answers for the NeurIPS checklist, a table in LaTeX, and what to cite.

    Args:
        summary: `analysis.statistics.summarise`.
        per_run: the rows of `analysis.merge.Merged.runs` that have a record, failed ones included.
        comparisons: `analysis.comparisons.compare_cells`.
    """
    finished = per_run[per_run["status"].isin(FINISHED)]
    if finished.empty:
        return "# Methods\n\nNo run is finished: there is nothing to report yet.\n"
    parts = [
        "# Methods",
        "Made by `noisy report` from the numbers of this campaign. Check each sentence before you use it.",
        "## Experiment",
        " ".join([*_experiment(summary), *_repeats(summary)]),
        "## Statistics",
        " ".join([*bars(summary), *excluded(summary), *compared(comparisons)]),
        "## For the NeurIPS checklist",
        f"**Are error bars reported, and what do they show?** {' '.join(error_bars(summary))}",
        f"**Which compute was used?** {' '.join(compute(per_run))}",
        "## Table",
        f"It needs `\\usepackage{{booktabs}}`.\n\n```latex\n{latex_table(summary)}```",
        "## To cite",
        _citation(finished),
    ]
    return "\n\n".join(parts) + "\n"


def _experiment(summary: pd.DataFrame) -> Iterator[str]:
    dataset = summary["dataset"].iloc[0]
    known = f" ({sizes(dataset)})" if sizes(dataset) else ""
    yield (
        f"We trained networks on {named(dataset)}{known}. The training images are noisy: in every epoch each "
        f"{_replaced(dataset)} is replaced, with probability $p$, by a new uniform random value in [0, 1]."
    )
    ps = listed(f"{p:g}" for p in sorted(set(summary["p"])))
    yield f"We varied $p$ ({ps}) and the activation ({listed(map(named, dict.fromkeys(summary['activation'])))})."
    for model_type, cells in summary.groupby("model_type", sort=False):
        told = {name: words for name, words in _SETTINGS.items() if name != "hidden_sizes" or cells[name].notna().any()}
        yield f"{named(model_type)}: {', '.join(f'{words} {_values(cells[name])}' for name, words in told.items())}."
    yield "All networks were trained with Adam on the cross-entropy loss."
    finished, missing, failed = (int(summary[name].sum()) for name in ("repeats", "missing", "failed"))
    yield (
        f"Of {finished + missing + failed:,} planned runs in {len(summary):,} cells (a cell is all runs that differ only in "
        f"the repeat), {finished:,} are finished, {missing:,} are missing and {failed:,} failed."
    )


def _replaced(dataset: str) -> str:
    found = info(dataset)
    return "pixel" if found is None or found.shape[0] == 1 else "channel of each pixel"


def _repeats(summary: pd.DataFrame) -> Iterator[str]:
    yield f"Each cell has n = {span(summary['repeats'])} finished runs."
    yield (
        "Repeats differ in the initial weights, in the order of the training images and in the noise, all drawn from the seed "
        f"{listed(map(str, dict.fromkeys(summary['seed'])))} and the number of the repeat; runs of the same repeat share them "
        "across activations and $p$."
    )
    yield (
        "The test set is clean, fixed and the same for all runs. We report the accuracy after the last epoch; no epoch, run or "
        "setting was chosen by it."
    )


def compute(per_run: pd.DataFrame) -> Iterator[str]:
    """Machines, CPU hours, memory and failed runs."""
    kinds = {name: list(dict.fromkeys(per_run[name].dropna().astype(str))) for name in ("cpu", "host", "device", "cpu_threads")}
    hosts = f"{len(kinds['host']):,} {'host' if len(kinds['host']) == 1 else 'hosts'}"
    threads = listed(kinds["cpu_threads"])
    yield f"{listed(kinds['cpu'])} ({hosts}); device {listed(kinds['device'])}; threads of a worker: {threads}."
    timed = per_run[per_run["cpu_s"].notna()]
    if len(timed):
        cpu_s, n_runs = timed["cpu_s"], count(len(timed), "run")
        yield (
            f"{n_runs} took {cpu_s.sum() / 3600:.4g} CPU hours in total, {cpu_s.mean() / 60:.4g} CPU minutes a run "
            f"(largest {cpu_s.max() / 60:.4g}), at most {most_at_once(timed):,} at the same time; the largest resident memory "
            f"of a worker was {timed['peak_mem_mb'].max():.0f} MB."
        )
    failed = int((per_run["status"] == "failed").sum())
    untimed = len(per_run) - len(timed)
    unknown = f"{count(untimed, 'run')} {'has' if untimed == 1 else 'have'} no recorded time"
    yield f"{count(failed, 'run')} failed; {unknown}. A run that was executed again counts once here."


def most_at_once(timed: pd.DataFrame) -> int:
    """The largest number of runs in training at the same time, from wall_s and finished_at_s. `timed` has at least one run."""
    ends = timed["finished_at_s"].to_numpy()
    starts = ends - timed["wall_s"].to_numpy()
    steps = np.concatenate([np.full(len(ends), -1), np.full(len(starts), 1)])
    order = np.lexsort((steps, np.concatenate([ends, starts])))  # at equal times, ends come before beginnings
    return max(1, int(np.cumsum(steps[order]).max()))


def _citation(finished: pd.DataFrame) -> str:
    commits, digests = (list(dict.fromkeys(finished[name].dropna().astype(str))) for name in ("code_commit", "data_digest"))
    dataset = named(finished["dataset"].iloc[0])
    ours = (
        "@software{noisy-training, author = {{The noisy-training authors}}, title = {noisy-training}, "
        f"note = {{commit {', '.join(commits)}}}}}"
    )
    text = f"Code: noisy-training, commit {listed(commits)}. Data: {dataset}, digest {listed(digests)}."
    return f"{text}\n\n```bibtex\n{ours}\n{_LITERATURE}\n```"


def _values(column: pd.Series) -> str:
    return listed(text_of(value) for value in column.unique())
