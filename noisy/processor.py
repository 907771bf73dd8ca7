"""What the processor can do, and what follows from it by rule: never by timing, which would change results from run to run."""

from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


@cache
def _described() -> tuple[str, frozenset[str]]:
    """Vendor and features of the first processor, in the kernel's words; nothing where the kernel is not Linux."""
    try:
        lines = _CPUINFO.read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return "", frozenset()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return fields.get("vendor_id", ""), frozenset(fields.get("flags", "").split())


def product_route() -> str:
    """What computes the float32 products of linear layers: `onednn` or `blas`; recorded with every result.

    torch's BLAS, MKL, takes its AVX512 kernels on Intel's processors only, and leaves up to half of an AMD processor idle
    (twice the time on Zen 5, a tenth more on Zen 4); oneDNN, which torch brings too, takes them on both.
    """
    vendor, features = _described()
    has_avx512 = {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= features
    has_amx = any(feature.startswith("amx") for feature in features)  # there oneDNN's route would round to bfloat16
    return "onednn" if vendor == "AuthenticAMD" and has_avx512 and not has_amx else "blas"


def bfloat16_refusal() -> str:
    """Why bfloat16 is refused on this processor; empty where its products are faster than float32's."""
    if _described()[1] & {"avx512_bf16", "amx_bf16"}:
        return ""
    return "this processor has neither AVX512-BF16 nor AMX, without which bfloat16 is slower than float32"
