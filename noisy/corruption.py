"""The noise whose effect the experiment measures."""

import numpy as np
import torch

from noisy.spec import RESOLUTION


def corrupt(images: torch.Tensor, p: float, generator: np.random.Generator) -> None:
    """Replace each pixel, independently and with probability `p`, by a uniform value in [0, 1]; in place.

    One uniform number u for each pixel serves both purposes. A pixel is replaced if u < p, and its new value is u / p, which is
    then uniform on [0, 1). So masks are nested for one generator state: a pixel replaced at p is also replaced at any p' > p.

    Args:
        images: float32, contiguous, any shape, in [0, 1].
        p: probability in [0, 1]. At 0 (or below) nothing changes and nothing is drawn; at 1 every pixel is replaced.
            The error of the rate is at most the RESOLUTION of u.
        generator: its state advances as in `uniform`.
    """
    if p <= 0:
        return
    u = uniform(images.numel(), generator).view(images.shape)
    replaced = np.less(u.numpy(), np.float32(p)).astype(np.float32)  # 1 or 0: so no pixel is rounded
    noise = u.div_(max(p, RESOLUTION))
    images.lerp_(noise, torch.from_numpy(replaced))  # takes a twentieth of the time of a masked division or torch.where


def uniform(n: int, generator: np.random.Generator) -> torch.Tensor:
    """float32 (n,), uniform on [0, 1) in steps of 2**-24: the numbers of `generator.random(n, dtype=np.float32)`, but faster.

    It uses whole 64-bit numbers of the generator. No earlier call may have used only half of one.
    """
    return to_uniform(draw(n, generator))


def draw(n: int, generator: np.random.Generator) -> torch.Tensor:
    """int32 (n,): the halves of the generator's 64-bit numbers, lower half first. `to_uniform` makes numbers of them."""
    return torch.from_numpy(generator.bit_generator.random_raw(-(-n // 2)).view(np.int32)[:n])


def to_uniform(drawn: torch.Tensor) -> torch.Tensor:
    """int32 (overwritten) to float32 of the same shape, on [0, 1), from the upper 24 bits of each; on any device."""
    return drawn.bitwise_right_shift_(8).bitwise_and_(2**24 - 1).to(torch.float32).mul_(RESOLUTION)
