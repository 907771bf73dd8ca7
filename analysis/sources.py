"""Where the values of each column come from: a file, a program, other columns, or the literature."""

from collections.abc import Mapping, Sequence

from analysis.columns import AGREEMENT, COMPARISONS, PER_RUN, SUMMARY

_GRID, _ACCURACY, _STATUS = "`grid.yaml`", "`test_accuracy`", "`status`"
_FIELDS = (
    *("activation", "model_type", "p", "dataset", "seed", "epochs", "batch_size", "learning_rate", "weight_decay"),
    *("hidden_sizes", "max_train_samples", "precision", "repeat"),
)
_T, _WILSON = "`test_accuracy`; Student 1908", "Wilson 1927; Brown, Cai and DasGupta 2001"
_PAIRS = "`test_accuracy` of the pairs"


def _each(groups: Mapping[str, Sequence[str]], columns: Mapping[str, object]) -> dict[str, str]:
    """column -> source, in the order of the columns. groups: source -> its columns."""
    source_of = {name: source for source, names in groups.items() for name in names}
    return {name: source_of[name] for name in columns}


PER_RUN_SOURCES = _each(
    {
        _GRID: _FIELDS,
        "the run's fields": ["run_id"],
        "training": [name for name in PER_RUN if name.startswith("history_")] + ["status", "n_parameters", "correct"],
        "training: the last of its history": ["test_accuracy", "test_loss"],
        "training: the sum of `correct`": ["n_correct"],
        "the data set": ["n_test", "data_digest"],
        "the worker's clock and `getrusage`": ["wall_s", "cpu_s", "peak_mem_mb", "finished_at_s"],
        "the worker": ["host", "cpu", "product_route", "device", "cpu_threads", "runs_together", "versions", "code_commit"],
        "the scheduler": ["job", "attempt"],
        "the folder `shards`": ["shard"],
        "the error that the run raised": ["message"],
    },
    PER_RUN,
)
SUMMARY_SOURCES = _each(
    {
        _GRID: _FIELDS,
        _STATUS: ["repeats", "chance", "diverged", "failed", "share_chance", "n_trained"],
        "manifest and `status`": ["missing"],
        _ACCURACY: [
            *("mean_test_accuracy", "std_test_accuracy", "stderr_test_accuracy", "sample_std_test_accuracy"),
            *("sample_stderr_test_accuracy", "median_test_accuracy", "min_test_accuracy", "max_test_accuracy"),
        ],
        f"{_ACCURACY}; Hyndman and Fan 1996, type 7": ["q25_test_accuracy", "q75_test_accuracy"],
        f"{_ACCURACY}; `scipy.stats.trim_mean`": ["iqm_test_accuracy"],
        _T: ["ci95_low", "ci95_high", "ci95_low_clipped", "ci95_high_clipped"],
        "`test_loss`": ["mean_test_loss"],
        f"{_STATUS}; {_WILSON}": ["share_chance_low", "share_chance_high"],
        f"{_ACCURACY} and `status`": ["mean_trained_accuracy", "sample_std_trained_accuracy"],
        f"{_T}, and `status`": ["ci95_low_trained", "ci95_high_trained"],
        f"{_ACCURACY}, `n_test`; {_WILSON}": ["test_set_low", "test_set_high"],
        "`correct`; Jordan, ICLR 2024, theorem 2": ["seed_std_explained", "seed_std_genuine", "is_seed_std_truncated"],
        "`cpu_s`": ["mean_cpu_s", "total_cpu_s"],
    },
    SUMMARY,
)
_TESTS = "Student 1908; Wilcoxon 1945; McNemar 1947"
COMPARISON_SOURCES = _each(
    {
        f"{_GRID}, `--reference`": ["axis", "reference_value", "value"],
        _GRID: _FIELDS,
        f"{_STATUS} and `repeat`": ["n_pairs", "n_pairs_trained"],
        _PAIRS: ["mean_difference", "mean_difference_trained", "probability_of_improvement"],
        f"{_PAIRS}; Student 1908, Bonferroni": ["ci95_low", "ci95_high"],
        "the comparisons of the axis": ["family_size"],
        f"{_PAIRS}, or `correct`; {_TESTS}": ["p_raw"],
        "`p_raw`; Holm 1979": ["p_holm"],
        "`status` and `test_accuracy`": ["test"],
        f"{_PAIRS}; Clopper and Pearson 1934": ["probability_of_improvement_low", "probability_of_improvement_high"],
        "the summary": ["n_chance_reference", "n_chance_value", "share_chance_reference", "share_chance_value"],
        "`correct`": ["n_only_reference_right", "n_only_value_right"],
        "`n_pairs`, `test`, `family_size`, `status`": ["note"],
    },
    COMPARISONS,
)
AGREEMENT_SOURCES = _each(
    {
        _GRID: _FIELDS,
        _STATUS: ["n_a", "n_b", "n_chance_a", "n_chance_b"],
        f"{_STATUS} and `repeat`": ["n_pairs"],
        _ACCURACY: ["mean_a", "mean_b", "mean_difference"],
        f"{_ACCURACY}; Student 1908, Welch 1947, Bonferroni": ["ci95_low", "ci95_high"],
        "the cells in both": ["family_size"],
        f"{_ACCURACY}; Student 1908, Welch 1947, Wilcoxon 1945, Mann and Whitney 1947": ["p_raw"],
        "`p_raw`; Holm 1979": ["p_holm"],
        "`status` and `test_accuracy`": ["test", "mean_trained_a", "mean_trained_b"],
        "`p_holm`": ["differs"],
    },
    AGREEMENT,
)
