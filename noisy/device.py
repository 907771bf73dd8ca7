"""Where runs are trained, and with which arithmetic."""

import contextlib
import platform
from collections.abc import Iterator

import torch

from noisy.processor import this_processor


def select_device(use_cuda: bool) -> torch.device:
    """The GPU if asked for, else the CPU.

    Raises:
        RuntimeError: a GPU is asked for and there is none: never silently the CPU.
    """
    if use_cuda and not torch.cuda.is_available():
        raise RuntimeError(
            f"use_cuda: true, but torch {torch.__version__} sees no CUDA device on {platform.node()!r}; set use_cuda: false"
        )
    return torch.device("cuda" if use_cuda else "cpu")


def check_precision(precision: str, device: torch.device) -> None:
    """Pass where `precision` pays on `device`.

    Raises:
        RuntimeError: it is bfloat16, and would be slower there than float32.
    """
    if precision == "bfloat16":
        if device.type == "cuda":
            why = "" if torch.cuda.is_bf16_supported(including_emulation=False) else "this GPU has no bfloat16 products"
        else:
            why = this_processor().bfloat16_refusal
        if why:
            raise RuntimeError(f"precision: bfloat16 on {platform.node()!r}: {why}; set precision: float32")


@contextlib.contextmanager
def fast_arithmetic(device: torch.device) -> Iterator[None]:
    """Within it, float32 products take the route of the rule, and denormal numbers count as 0; what was set before comes back.

    On the CPU, "medium" is how torch is told to use oneDNN. It permits rounding to bfloat16, but oneDNN does that only with
    AMX, where the rule takes another route. On a GPU, float32 is float32: cuDNN's own default would round factors to TF32.
    """
    before = torch.get_float32_matmul_precision()
    by_onednn = device.type == "cpu" and this_processor().product_route == "onednn"
    torch.set_float32_matmul_precision("medium" if by_onednn else "highest")
    torch.set_flush_denormal(True)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.set_flush_denormal(False)
