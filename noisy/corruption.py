"""The noise whose effect the experiment measures."""

import numpy as np
import torch

from noisy.spec import RESOLUTION


def corrupt(images: torch.Tensor, p: float, generator: np.random.Generator) -> None:
    """Replace each pixel, independently and with probability `p`, by a uniform value in [0, 1]; in place.

    One uniform u per pixel serves both purposes: a pixel is replaced where u < p, by u / p, which given u < p is
    uniform on [0, 1). So masks are nested in p for one generator state: what is replaced at p is replaced at p' > p.

    Args:
        images: float32, contiguous, any shape, in [0, 1].
        p: probability in [0, 1]; at 0 (or below) nothing changes and nothing is drawn, at 1 every pixel is replaced.
            The RESOLUTION of u bounds the error of the rate.
        generator: its state is advanced as by `uniform`.
    """
    if p <= 0:
        return
    u = uniform(images.numel(), generator).view(images.shape)
    replaced = np.less(u.numpy(), np.float32(p)).astype(np.float32)  # 1 or 0: between images and noise nothing is rounded
    noise = u.div_(max(p, RESOLUTION))
    images.lerp_(noise, torch.from_numpy(replaced))  # a twentieth of the time of a masked division or torch.where


def uniform(n: int, generator: np.random.Generator) -> torch.Tensor:
    """float32 (n,), uniform on [0, 1) in steps of 2**-24: the numbers of `generator.random(n, dtype=np.float32)`, sooner.

    The generator ends behind a whole 64-bit number, and must not have been left in the middle of one.
    """
    return to_uniform(draw(n, generator))


def draw(n: int, generator: np.random.Generator) -> torch.Tensor:
    """int32 (n,): the halves of the generator's 64-bit numbers, lower half first, of which `to_uniform` makes numbers."""
    return torch.from_numpy(generator.bit_generator.random_raw(-(-n // 2)).view(np.int32)[:n])


def to_uniform(drawn: torch.Tensor) -> torch.Tensor:
    """int32, which is overwritten, to float32 of the same shape, on [0, 1): the upper 24 bits of each, on any device."""
    return drawn.bitwise_right_shift_(8).bitwise_and_(2**24 - 1).to(torch.float32).mul_(RESOLUTION)
