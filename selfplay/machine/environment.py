"""Where and by what a run is worked on: the device, the environment's fingerprint, the code's digest."""

import hashlib
import os
import platform
import warnings
from pathlib import Path

import torch
import transformers

from selfplay.machine.errors import USAGE, Refused


def fingerprint(device: torch.device) -> str:
    """What a run's arithmetic depends on: equal fingerprints must give equal bits on a CPU.

    Python is part of it: from 3.12 on `sum` carries what it rounds off (docs.python.org, What's New In Python 3.12).
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    python = ".".join(platform.python_version_tuple()[:2])
    return (
        f"Python {python}, torch {torch.__version__}, transformers {transformers.__version__}, {device.type} {name}, "
        f"{platform.machine()} {_cpu()}, {torch.get_num_threads()} threads, "
        f"bf16 matmul {torch.ops.mkldnn._is_mkldnn_bf16_supported()}"
    )


def flags_digest(cpuinfo: str) -> str:
    """Eight hex digits for what the first processor of a /proc/cpuinfo can do, in any order; "" where it says nothing.

    Two AVX512 processors, one of them with AMX, multiply differently under one and the same name of torch's.
    """
    for line in cpuinfo.splitlines():
        name, _, flags = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86 and ARM
            return hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:8]
    return ""


def code_digest() -> str:
    """sha256 over our own Python sources: says whether two incarnations ran the same code."""
    root = Path(__file__).resolve().parents[2]
    total = hashlib.sha256()
    for package in ("selfplay", "roles", "curriculum", "store"):
        for path in sorted((root / package).rglob("*.py")):
            total.update(str(path.relative_to(root)).encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def device_of(name: str) -> torch.device:
    """auto, cpu or cuda as a device. Raises Refused for a cuda that is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise Refused("run.device=cuda: no CUDA device is usable here; use run.device=cpu", USAGE)
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def has_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 are made by the processor itself. Where they are not they take a hundred times as
    long as those of float32."""
    return device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def be_deterministic(device: torch.device) -> None:
    """Ask torch for the same bits each time. On a GPU before the first product: cuBLAS reads its variable then."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    # an aid for debugging that comes with deterministic algorithms, and a tenth of a step's time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set up at run time
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # the sampler's sums: completions are stored, so a replay never makes them again
        warnings.filterwarnings("ignore", message="cumsum_cuda_kernel does not have a deterministic implementation")


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    digest = flags_digest(file.read_text(errors="replace")) if file.is_file() else ""
    return f"flags {digest or 'unknown'}"
