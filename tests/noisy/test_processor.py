"""The rules by which a processor's features decide how products are computed and what is refused."""

import pytest
import torch

from noisy.processor import parse, this_processor

AVX512 = "fpu avx2 fma avx512f avx512dq avx512bw avx512vl"


def _cpuinfo(vendor: str, flags: str) -> str:
    one = f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: A: B\nflags\t\t: {flags}\nbugs\t\t:\n"
    return f"{one}\n{one.replace(flags, 'fpu')}"


@pytest.mark.parametrize(
    ("vendor", "flags", "route", "bfloat16"),
    [
        ("AuthenticAMD", "fpu avx2 fma", "blas", False),  # Zen 3
        ("AuthenticAMD", f"{AVX512} avx512_bf16", "onednn", True),  # Zen 4, Zen 5
        ("AuthenticAMD", f"{AVX512} avx512_bf16 amx_tile amx_bf16", "blas", True),  # none yet: it must not round silently
        ("GenuineIntel", AVX512, "blas", False),  # Skylake
        ("GenuineIntel", f"{AVX512} avx512_bf16", "blas", True),  # Cooper Lake
        ("GenuineIntel", f"{AVX512} avx512_bf16 amx_bf16 amx_tile amx_int8", "blas", True),  # Sapphire Rapids
    ],
)
def test_the_rules(vendor: str, flags: str, route: str, bfloat16: bool) -> None:
    processor = parse(_cpuinfo(vendor, flags))
    assert processor.product_route == route
    assert (processor.bfloat16_refusal == "") is bfloat16


@pytest.mark.parametrize("text", ["", "processor\t: 0\nCPU implementer\t: 0x41\nFeatures\t: fp asimd bf16\n"])
def test_where_nothing_is_known_nothing_special_is_done(text: str) -> None:
    assert parse(text).product_route == "blas"
    assert parse(text).bfloat16_refusal.startswith("this processor has neither AVX512-BF16 nor AMX")


@pytest.mark.skipif(this_processor().product_route != "onednn", reason="its products take torch's own route")
def test_the_route_over_onednn_computes_in_float32() -> None:
    """Its switch, float32_matmul_precision "medium", permits less: a version of oneDNN that takes the liberty is found here."""
    from noisy.device import fast_arithmetic

    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(512, 784, generator=generator) for _ in range(2))
    exact = x.double() @ weight.double().t()
    with fast_arithmetic(torch.device("cpu")):
        assert torch.get_float32_matmul_precision() == "medium"
        assert (torch.nn.functional.linear(x, weight) - exact).abs().max() < 2e-6 * exact.abs().max()
    assert torch.get_float32_matmul_precision() == "highest"
