"""What is known about costs before anything was measured: published figures and assumptions."""

import numpy as np

from hpc.planning.cost import Range
from noisy.spec import RunSpec

# One run of the reliable campaign (60,000 images; see docs/performance.md): MLP 1024-512-256, 15 epochs at batch 512;
# CNN 20 epochs at batch 256. Ranges span the machines they were collected on.
CPU_S = {"mlp": Range(60, 180), "cnn": Range(120, 360)}
MEM_MB = {"mlp": Range(300, 800), "cnn": Range(500, 1200)}
SPECS = {
    "mlp": RunSpec("mnist", "relu", "mlp", 0, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256)),
    "cnn": RunSpec("mnist", "relu", "cnn", 0, 0, 0, 20, 256, 0.001, 0),
}
# CPU seconds of each term of a run (hpc/planning/sizes.py), measured on one core of an AMD EPYC (Zen 3). Only their
# proportions count, because all of them are scaled to what was published or measured.
PROPORTIONS = {
    "mlp": np.array([0.022, 2.5e-11, 5.7e-6, 3.9e-9, 1.07e-3]),
    "cnn": np.array([0.028, 4.4e-11, 1.1e-5, 2.4e-9, 2.2e-3]),
}
OWN_FACTOR = 10  # the network of a user's own file was never measured: so much cheaper or dearer than its nominal size suggests


def like(model_type: str) -> str:
    """The model type whose published figures are used: for the network of a user's own file those of the cnn."""
    return model_type if model_type in SPECS else "cnn"


# Resident memory of a process that has loaded torch and this project, in 10**6 bytes: with and without CUDA's parts.
IMPORT_MB = {"cuda": 549.0, "cpu": 235.0}
# Memory of a worker in addition to this, its data set and the least that training needs: the heap of one process over mixed
# shapes. Low, high: assumed.
GROWTH_MB = Range(20, 96, 60)
START_S = Range(2, 10, 4)  # start of a process (Python, torch, the data set), assumed
