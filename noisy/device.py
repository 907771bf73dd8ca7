"""The device on which runs are trained, and its arithmetic."""

import contextlib
import platform
from collections.abc import Iterator

import torch

from noisy.processor import this_processor


def select_device(use_cuda: bool) -> torch.device:
    """The GPU if it is asked for, else the CPU.

    Raises:
        RuntimeError: a GPU is asked for, but there is none. The CPU never replaces it silently.
    """
    if use_cuda and not torch.cuda.is_available():
        raise RuntimeError(
            f"use_cuda: true, but torch {torch.__version__} sees no CUDA device on {platform.node()!r}; set use_cuda: false"
        )
    return torch.device("cuda" if use_cuda else "cpu")


def check_precision(precision: str, device: torch.device) -> None:
    """Check that `precision` is not slower than float32 on `device`.

    Raises:
        RuntimeError: it is bfloat16, and would be slower than float32.
    """
    if precision == "bfloat16":
        if device.type == "cuda":
            why = "" if torch.cuda.is_bf16_supported(including_emulation=False) else "this GPU has no bfloat16 products"
        else:
            why = this_processor().bfloat16_refusal
        if why:
            raise RuntimeError(f"precision: bfloat16 on {platform.node()!r}: {why}; set precision: float32")


def device_name(use_cuda: bool) -> str:
    """`cpu`, or `cuda` and the GPU's name."""
    return f"cuda {torch.cuda.get_device_name()}" if use_cuda else "cpu"


@contextlib.contextmanager
def fast_arithmetic(device: torch.device) -> Iterator[None]:
    """In the block, float32 products are computed by `product_route`, and denormal numbers count as 0.

    On the CPU, "medium" tells torch to use oneDNN. "medium" permits rounding to bfloat16, but oneDNN rounds only on processors
    with AMX, and there another route is chosen. On a GPU, float32 stays float32, also for sums of bfloat16 products. Torch's
    own defaults would round the inputs of convolutions to TF32, and some sums to bfloat16.
    """
    before, products = torch.get_float32_matmul_precision(), torch.backends.cuda.matmul
    low_sums = products.allow_bf16_reduced_precision_reduction
    by_onednn = device.type == "cpu" and this_processor().product_route == "onednn"
    torch.set_float32_matmul_precision("medium" if by_onednn else "highest")
    products.allow_bf16_reduced_precision_reduction = False
    torch.set_flush_denormal(True)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
        products.allow_bf16_reduced_precision_reduction = low_sums
        torch.set_flush_denormal(False)
