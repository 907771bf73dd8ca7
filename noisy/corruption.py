"""The noise whose effect the experiment measures."""

import numpy as np


def corrupt(images: np.ndarray, p: float, generator: np.random.Generator) -> None:
    """Replace each pixel, independently and with probability `p`, by a uniform value in [0, 1]; in place.

    One uniform u per pixel serves both purposes: a pixel is replaced where u < p, by u / p, which given u < p is
    uniform on [0, 1). So masks are nested in p for one generator state: what is replaced at p is replaced at p' > p.

    Args:
        images: float32, any shape, in [0, 1].
        p: probability in [0, 1]; at 0 (or below) nothing changes and nothing is drawn, at 1 every pixel is replaced.
            The resolution of u, 2**-24, bounds the error of the rate.
        generator: its state is advanced by one float32 per pixel.
    """
    if p <= 0:
        return
    u = generator.random(images.shape, dtype=np.float32)
    threshold = np.float32(p)
    np.divide(u, threshold, out=images, where=u < threshold)
