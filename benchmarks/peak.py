"""The peak rate of one core for matrix products and convolutions, in float32 and bfloat16."""

import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from noisy.datasets import IMAGE_SIZE_PX
from noisy.device import fast_arithmetic
from noisy.processor import this_processor

_MEASURED_S = 0.15  # of each candidate


def peak_gflops() -> dict[str, float]:
    """The best rate over several shapes and routes on one thread, in 10**9 floating-point operations per CPU second.

    Keys: `matrix` and `convolution` for float32, and the same after `bfloat16 ` if the processor supports it.
    """
    with torch.inference_mode():
        peaks = {
            "matrix": max(map(_best, _products(torch.float32))),
            "convolution": max(map(_best, _convolutions(torch.float32))),
        }
        if not this_processor().bfloat16_refusal:
            peaks["bfloat16 matrix"] = max(map(_best, _products(torch.bfloat16)))
            peaks["bfloat16 convolution"] = max(map(_best, _convolutions(torch.bfloat16)))
    return peaks


def training_flops(model: nn.Sequential) -> dict[str, float]:
    """Floating-point operations of one image's forward and backward pass: `matrix` (linear layers) and `convolution`.

    A layer needs three products of the same size (forward, gradient of the weights, gradient of the input); the first one needs
    two.
    """
    flops, side = {"matrix": 0.0, "convolution": 0.0}, IMAGE_SIZE_PX
    layers = [layer for layer in model if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in layers:
        products = 2 if layer is layers[0] else 3
        if isinstance(layer, nn.Conv2d):
            flops["convolution"] += 2 * products * layer.weight.numel() * side**2
            side //= 2
        else:
            flops["matrix"] += 2 * products * layer.weight.numel()
    return flops


def _best(candidate: tuple[float, Callable[[], torch.Tensor]]) -> float:
    flops, compute = candidate
    compute()
    fastest_s, end_s = float("inf"), time.process_time() + _MEASURED_S
    while (start_s := time.process_time()) < end_s:
        compute()
        fastest_s = min(fastest_s, time.process_time() - start_s)
    return flops / fastest_s / 1e9


def _products(dtype: torch.dtype) -> list[tuple[float, Callable[[], torch.Tensor]]]:
    def by_route(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with fast_arithmetic(torch.device("cpu")):
            return x @ y

    candidates: list[tuple[float, Callable[[], torch.Tensor]]] = []
    for n in (384, 512, 768, 1024):
        x, y = torch.rand(n, n).to(dtype), torch.rand(n, n).to(dtype)
        candidates += [(2.0 * n**3, lambda x=x, y=y: x @ y), (2.0 * n**3, lambda x=x, y=y: by_route(x, y))]
    return candidates


def _convolutions(dtype: torch.dtype) -> list[tuple[float, Callable[[], torch.Tensor]]]:
    candidates: list[tuple[float, Callable[[], torch.Tensor]]] = []
    for channels, side in ((32, 14), (64, 14), (128, 14), (64, 28)):
        images = torch.rand(16, channels, side, side).to(dtype, memory_format=torch.channels_last)
        weight = torch.rand(64, channels, 3, 3).to(dtype, memory_format=torch.channels_last)
        flops = 2.0 * weight.numel() * 16 * side**2
        candidates.append((flops, lambda images=images, weight=weight: functional.conv2d(images, weight, padding=1)))
    return candidates
