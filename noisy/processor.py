"""What the processor can do, and which arithmetic follows from it. Fixed rules decide, because timings could change results."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Processor:
    """A processor. vendor, features: as in /proc/cpuinfo, or empty if there is no such file."""

    vendor: str
    features: frozenset[str]

    @property
    def product_route(self) -> str:
        """The library for float32 products of linear layers: `onednn` or `blas`. It is recorded with every result.

        Torch's BLAS is MKL, which uses its AVX512 kernels only on Intel's processors. On AMD's processors it takes 1.1 (Zen 4)
        or 2
        times (Zen 5) as long as oneDNN, which torch also includes.
        """
        has_avx512 = {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= self.features
        has_amx = any(feature.startswith("amx") for feature in self.features)  # oneDNN would round to bfloat16
        return "onednn" if self.vendor == "AuthenticAMD" and has_avx512 and not has_amx else "blas"

    @property
    def bfloat16_refusal(self) -> str:
        """Why training in bfloat16 is refused; empty if its products are faster than those of float32."""
        if self.features & {"avx512_bf16", "amx_bf16"}:
            return ""
        return "this processor has neither AVX512-BF16 nor AMX, so bfloat16 would be slower than float32"


def parse(cpuinfo: str) -> Processor:
    """The first processor in the text of /proc/cpuinfo."""
    lines = (line.partition(":") for line in cpuinfo.partition("\n\n")[0].splitlines())
    fields = {name.strip(): value.strip() for name, _, value in lines}
    return Processor(fields.get("vendor_id", ""), frozenset(fields.get("flags", "").split()))


@cache
def this_processor() -> Processor:
    """The processor of this machine."""
    try:
        return parse(Path("/proc/cpuinfo").read_text())
    except OSError:
        return parse("")
