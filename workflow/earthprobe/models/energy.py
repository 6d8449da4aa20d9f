"""How much energy the machine has used, where it can be read."""

from pathlib import Path

RAPL = Path("/sys/class/powercap")


def joules(device: str) -> float | None:
    """A count that goes up with the energy used; of the GPU by NVML, else of the processors by RAPL.

    Other jobs on the machine are in it. RAPL's counter may begin anew, which makes a difference of two counts negative.

    Returns:
        Joules; None where the count cannot be read.
    """
    try:
        if device == "cuda":
            import pynvml  # a package of NVIDIA's, which not every machine has
            import torch

            pynvml.nvmlInit()
            # Torch's first GPU is another than NVML's where CUDA_VISIBLE_DEVICES chooses.
            gpu = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000)
        counters = [path / "energy_uj" for path in RAPL.glob("intel-rapl:?")]
        return sum(int(path.read_text()) for path in counters) / 1e6 if counters else None
    except Exception:  # whatever is missing, the energy is not known
        return None
