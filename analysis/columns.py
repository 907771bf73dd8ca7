"""The meaning, unit and formula of every column of the results.

Every mean of the summary is over all finished runs of the cell; `repeats` is their number.
"""

from collections.abc import Mapping

_SPEC = {
    "activation": ("", "activation function"),
    "model_type": ("", "mlp, cnn, or the name in an own file"),
    "p": ("1", "probability that a pixel of a training image is replaced"),
    "dataset": ("", "data set"),
    "seed": ("", "seed of the campaign"),
    "epochs": ("", "epochs of training"),
    "batch_size": ("", "images in a batch"),
    "learning_rate": ("", "learning rate of Adam"),
    "weight_decay": ("", "L2 penalty that is added to the gradient"),
    "hidden_sizes": ("", "units of each hidden layer, as in 256-128; empty for other models than mlp"),
    "max_train_samples": ("", "number of training images that are used (the first ones of the set); empty: all"),
    "precision": ("", "number format of the inputs of matrix products in training"),
}
PER_RUN: Mapping[str, tuple[str, str]] = {  # name -> unit, meaning; also the units and long_name of the datasets in results.h5
    "run_id": ("", "16 hexadecimal digits of the SHA-256 of the run's hyperparameters"),
    **_SPEC,
    "repeat": ("", "index of the run in its cell, from 0"),
    "status": ("", "ok, chance, diverged (these runs are finished) or failed; in results.h5 also missing: there is no record"),
    "test_accuracy": (
        "1",
        "fraction of the clean test set that is classified right, after the last (or the diverged) epoch; NaN if failed",
    ),
    "test_loss": (
        "nat",
        "mean cross-entropy of the clean test set after that epoch; it may be NaN if diverged",
    ),
    "n_correct": ("", "number of test images that are classified right after that epoch; 0 if failed"),
    "n_test": ("", "images of the test set; 0 if failed"),
    "n_parameters": ("", "weights and biases; 0 if failed"),
    "wall_s": ("s", "time of training and testing"),
    "cpu_s": ("s", "CPU time of all threads"),
    "peak_mem_mb": ("MB", "largest resident set of the worker during the run, 10^6 bytes"),
    "finished_at_s": ("seconds since 1970-01-01", "when the run ended, by the clock of its host, UTC"),
    "host": ("", "name of the machine"),
    "cpu": ("", "model of the processor"),
    "product_route": ("", "library that computes the products of linear layers"),
    "device": ("", "cpu or cuda"),
    "cpu_threads": ("", "threads of the worker"),
    "runs_together": ("", "largest number of runs trained as one computation; empty in older files, where it is 1"),
    "versions": ("", "versions of Python and libraries"),
    "code_commit": ("", "commit of the code that trained"),
    "data_digest": ("", "digest of the data set"),
    "job": ("", "job of the scheduler; empty without one"),
    "attempt": ("", "attempt of the task that trained the run, from 0"),
    "shard": ("", "file in shards/ that holds the record"),
    "message": ("", "why the run failed"),
    "history_train_loss": (
        "nat",
        "mean cross-entropy in training, by epoch; NaN after a divergence",
    ),
    "history_test_loss": ("nat", "mean cross-entropy on the clean test set, by epoch; NaN as above"),
    "history_test_accuracy": ("1", "fraction of the clean test set that is classified right, by epoch; NaN as above"),
    "correct": (
        "",
        "a bit per test image, right or wrong after that epoch: numpy.unpackbits(..., axis=1, count=n_test)",
    ),
}
_OK = "finished runs that trained (status ok)"
SUMMARY: Mapping[str, tuple[str, str]] = {
    **{name: _SPEC[name] for name in ("model_type", "activation", "p")},
    "repeats": ("", "finished runs, n: ok, chance and diverged; every mean, spread and interval is over all of them"),
    "mean_test_accuracy": ("1", "mean of test_accuracy"),
    "std_test_accuracy": ("1", "population standard deviation of test_accuracy"),
    "stderr_test_accuracy": ("1", "std_test_accuracy / sqrt(repeats)"),
    "ci95_low": ("1", "lower end of Student's t interval of the mean, from the sample standard deviation; empty for one run"),
    "ci95_high": ("1", "upper end of the same interval"),
    "mean_test_loss": (
        "nat",
        "mean of test_loss; empty if a finished run has NaN there, as it may be after a divergence",
    ),
    "missing": ("", "planned runs without a record"),
    "failed": ("", "runs whose only records are failures"),
    "chance": ("", "finished runs with the status chance"),
    "diverged": ("", "finished runs with the status diverged"),
    **{name: _SPEC[name] for name in _SPEC if name not in ("model_type", "activation", "p")},
    "sample_std_test_accuracy": (
        "1",
        "sample standard deviation s of test_accuracy, n - 1 in its denominator; empty for one run",
    ),
    "sample_stderr_test_accuracy": ("1", "s / sqrt(n)"),
    "ci95_low_clipped": ("1", "max(ci95_low, 0); clipping does not change how often the interval covers the mean"),
    "ci95_high_clipped": ("1", "min(ci95_high, 1)"),
    "median_test_accuracy": ("1", "median"),
    "q25_test_accuracy": ("1", "lower quartile, linear between order statistics"),
    "q75_test_accuracy": ("1", "upper quartile, by the same method"),
    "min_test_accuracy": ("1", "smallest"),
    "max_test_accuracy": ("1", "largest"),
    "iqm_test_accuracy": ("1", "interquartile mean: without the lowest and the highest int(n / 4) runs"),
    "share_chance": ("1", "chance / repeats"),
    "share_chance_low": ("1", "lower end of Wilson's 95 % interval of this share"),
    "share_chance_high": ("1", "upper end of that interval; for 0 of 40 runs at chance it is 0.088"),
    "n_trained": ("", f"{_OK}. The following columns that end in _trained are conditional on this"),
    "mean_trained_accuracy": ("1", f"mean of test_accuracy of {_OK}"),
    "sample_std_trained_accuracy": ("1", f"sample standard deviation of {_OK}; empty for one"),
    "ci95_low_trained": ("1", f"lower end of the t interval of {_OK}, clipped at 0; empty for one"),
    "ci95_high_trained": ("1", "upper end, clipped at 1"),
    "test_set_low": (
        "1",
        "lower end of Wilson's 95 % interval of the mean accuracy, as the share of n_test images that is right: "
        "the sampling of the test set, which more repeats do not reduce",
    ),
    "test_set_high": ("1", "upper end"),
    "seed_std_explained": (
        "1",
        "standard deviation of test_accuracy that independent errors on the N test images explain: square root of "
        "sum_i c_i (n - c_i) / (n (n - 1)) / N^2, where c_i of the n runs are right on image i (from `correct`); "
        "empty for one run, and where `correct` contradicts n_correct",
    ),
    "seed_std_genuine": (
        "1",
        "standard deviation of the accuracy on all images that the test set stands for: square root of "
        "N / (N - 1) (s^2 - seed_std_explained^2), 0 if that is negative; empty for one run",
    ),
    "is_seed_std_truncated": ("", "whether the variance behind seed_std_genuine was negative, so that 0 stands there"),
    "mean_cpu_s": ("s", "mean of cpu_s of the finished runs"),
    "total_cpu_s": ("s", "sum of cpu_s of the runs with a record; failed runs are included if their record has it"),
}
COMPARISONS: Mapping[str, tuple[str, str]] = {
    "axis": ("", "the field in which the two cells differ"),
    "reference_value": ("", "its value in the reference cell"),
    "value": ("", "its value in the other cell"),
    **{name: (unit, f"{meaning}; empty if it is the axis or differs with it") for name, (unit, meaning) in _SPEC.items()},
    "n_pairs": ("", "repeats that are finished in both cells: the pairs"),
    "mean_difference": ("1", "mean over the pairs of the difference in test_accuracy, value - reference"),
    "ci95_low": (
        "1",
        "lower end of the t interval of that mean at the confidence 1 - 0.05 / family_size (Bonferroni): "
        "all intervals of a family hold together in 95 % of campaigns; empty for one pair",
    ),
    "ci95_high": ("1", "upper end"),
    "family_size": ("", "number of comparisons on this axis, including those without results"),
    "p_raw": ("1", "two-sided p-value of `test`, not corrected"),
    "p_holm": ("1", "p_raw corrected for family_size comparisons (Holm 1979)"),
    "test": (
        "",
        "t: paired t test; signed-rank: Wilcoxon's, exact up to 50 pairs, where a cell has a run at chance or diverged, or "
        "where all differences are equal; McNemar: exact, on the test images of a single pair; empty: no test is possible",
    ),
    "probability_of_improvement": ("1", "share of the pairs in which value is above reference; ties count as half"),
    "probability_of_improvement_low": (
        "1",
        "lower end of its Clopper-Pearson interval at the confidence 1 - 0.05 / family_size",
    ),
    "probability_of_improvement_high": ("1", "upper end"),
    "n_chance_reference": ("", "number of finished runs at chance in the reference cell"),
    "n_chance_value": ("", "number of finished runs at chance in the other cell"),
    "share_chance_reference": ("1", "as a share of its finished runs"),
    "share_chance_value": ("1", "as a share of its finished runs"),
    "n_pairs_trained": ("", f"pairs in which both {_OK}"),
    "mean_difference_trained": ("1", "mean difference of these pairs, conditional on training"),
    "n_only_reference_right": ("", "for a single pair: number of test images that only the reference's run has right"),
    "n_only_value_right": ("", "for a single pair: number of test images that only the other run has right"),
    "note": ("", "what a reader should know, such as the smallest p-value that the test can give at this n"),
}
AGREEMENT: Mapping[str, tuple[str, str]] = {
    **{name: (unit, f"{meaning}; no column if A and B differ in it") for name, (unit, meaning) in _SPEC.items()},
    "n_a": ("", "finished runs in A"),
    "n_b": ("", "finished runs in B"),
    "n_pairs": ("", "repeats that are finished in both and are compared in pairs; 0: all runs of A with all runs of B"),
    "mean_a": ("1", "mean of test_accuracy in A"),
    "mean_b": ("1", "mean of test_accuracy in B"),
    "mean_difference": ("1", "B - A: mean over the pairs, or difference of the means"),
    "ci95_low": ("1", "lower end of the t interval of the difference at the confidence 1 - 0.05 / family_size (Bonferroni)"),
    "ci95_high": ("1", "upper end"),
    "family_size": ("", "number of cells that are compared"),
    "p_raw": ("1", "two-sided p-value of `test`, not corrected"),
    "p_holm": ("1", "p_raw corrected for family_size comparisons (Holm 1979)"),
    "test": (
        "",
        "paired t or Welch t; signed-rank or Mann-Whitney where a cell has a run at chance or diverged, or no spread; "
        "empty: fewer than two runs",
    ),
    "differs": ("", "whether p_holm < 0.05: the difference is larger than chance explains"),
    "n_chance_a": ("", "runs at chance in A"),
    "n_chance_b": ("", "runs at chance in B"),
    "mean_trained_a": ("1", f"mean of test_accuracy in A of {_OK}, conditional on training"),
    "mean_trained_b": ("1", "the same in B"),
}
