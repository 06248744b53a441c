"""Number formats in which an encoder computes: full precision, or half where the device has arithmetic for it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from mammoflow.config.inference import Precision
from mammoflow.errors import ConfigError
from mammoflow.run.runtime import has_native_bf16

FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(wanted: Precision, device: torch.device) -> Precision:
    """Turn `auto` into bf16 where the device has it and into fp32 elsewhere; let other wishes pass.

    Raises
    ------
    ConfigError
        If `fp16` is asked for on a CPU, where it is slower than fp32 and overflows.
    """
    if wanted == "auto":
        return "bf16" if has_native_bf16(device) else "fp32"
    if wanted == "fp16" and device.type == "cpu":
        raise ConfigError("segmentation.precision is fp16 and the device is a CPU; expected auto, fp32 or bf16 there")
    return wanted


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Give the context in which matrix products are computed in a precision that `choose_precision` returned.

    The weights and what is added up from block to block stay in fp32, as in mixed-precision training.
    """
    if precision not in FORMATS:
        return nullcontext()
    return torch.autocast(device.type, dtype=FORMATS[precision])
