"""The expected cost of a run: from measured runs of its kind, else from scaled published figures."""

import math

from hpc.planning.cost import NOTHING, Cost, Range
from hpc.planning.model import PUBLISHED, Knowledge
from hpc.planning.published import CPU_S, MEM_MB, OWN_FACTOR, PROPORTIONS, SPECS, like
from hpc.planning.quantiles import Bounds
from hpc.planning.sizes import BYTES_PER_PARAMETER, data_mb, n_weights, terms, training_mb
from noisy.spec import Execution, RunSpec

_GPU_CORES = Range(20, 200)  # cores that a GPU replaces if it trains many runs together (assumed, not yet measured)
_GPU_STEP_S = 0.003  # time to launch one training step (assumed, not yet measured)
_GPU_HOST_MB = Range(1500, 4000)  # additional host memory of CUDA (assumed, not yet measured)


def estimate(run: RunSpec, execution: Execution, knowledge: Knowledge = PUBLISHED) -> Cost:
    """The cost of a run. `wall_s.middle` is expected; 1 of 20 runs takes longer than `wall_s.high`.

    The high end of `mem_mb` is the 99 % quantile of a worker that executes many such runs. For a GPU, the figures are assumed.
    """
    shared_mb = knowledge.import_mb + data_mb(run)
    mem_mb = knowledge.growth_mb + Range(shared_mb, shared_mb) + Range(training_mb(run), training_mb(run))
    published_s = _published(run)
    if execution.use_cuda:
        model_type = like(run.model_type)
        more_mb = max(0.0, (n_weights(run) - n_weights(SPECS[model_type])) * BYTES_PER_PARAMETER / 1e6)
        return _on_gpu(run, execution, published_s, MEM_MB[model_type] + Range(more_mb, more_mb))
    if measured := knowledge.of(run):
        model_s = float(measured.coefficients @ terms(run))
        return Cost(_within(model_s, measured.cpu), NOTHING, _within(model_s, measured.wall), mem_mb, shared_mb)
    return Cost(published_s, NOTHING, published_s.scaled(1 / execution.cpu_threads), mem_mb, shared_mb)


def _published(run: RunSpec) -> Range:
    """CPU seconds of a run, from the published figure of its model type, scaled by its terms; a wide guess for an own model."""
    model_type = like(run.model_type)
    proportions, reference = PROPORTIONS[model_type], SPECS[model_type]
    found = CPU_S[model_type].scaled(float(proportions @ terms(run)) / float(proportions @ terms(reference)))
    return Range(found.low / OWN_FACTOR, found.high * OWN_FACTOR, found.middle) if run.has_own_model else found


def _within(model_s: float, bounds: Bounds) -> Range:
    low, centre, high = (model_s * math.exp(each) for each in (bounds.low, bounds.centre, bounds.high))
    return Range(low, high, centre)


def _on_gpu(run: RunSpec, execution: Execution, cpu_s: Range, mem_mb: Range) -> Cost:
    """The cost of a run that is trained together with others, from its cost on a CPU.

    Its time is its share of the GPU's time; one core of the host is busy during that time. The memory is host memory for all
    runs of the group: their initial weights, and about three copies of the noise of each batch prepared in advance.
    """
    gpu_s = Range(cpu_s.low / _GPU_CORES.high, cpu_s.high / _GPU_CORES.low)
    noise = 3 * (2 * execution.data_workers + 1) * min(run.batch_size, run.n_train_samples()) * run.data.n_values
    if run.extensions:  # trained alone
        gpu_s = gpu_s.at_least(least_gpu_s(run))
    all_mb = (1 if run.extensions else execution.runs_together) * (n_weights(run) + noise) * 4 / 1e6
    return Cost(gpu_s, gpu_s, gpu_s, mem_mb + _GPU_HOST_MB + Range(all_mb, all_mb))


def least_gpu_s(run: RunSpec) -> float:
    """Lower bound in s of a group's GPU time, whatever the number of runs, because each training step has to be launched."""
    return run.epochs * math.ceil(run.n_train_samples() / run.batch_size) * _GPU_STEP_S
