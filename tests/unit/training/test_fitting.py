"""What every training shares: a trainer that a scheduler may stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as lightning
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mammoflow.training.fitting import LAST, Order, make_trainer, quiet_lightning


class Loop(lightning.LightningModule):
    """Two batches an epoch; SIGTERM comes in the first batch of the second epoch, where asked for."""

    def __init__(self, stopped: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.stopped = stopped

    def train_dataloader(self) -> Order:
        return Order([np.array([0]), np.array([1])])

    def training_step(self, rows: np.ndarray, index: int) -> Tensor:
        if self.stopped and self.current_epoch == 1 and index == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        loss: Tensor = self.layer(torch.ones(1, 1)).square().sum()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture
def survives_sigterm() -> Iterator[None]:
    """Keep this process, should the trainer not take the signal."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


def run(folder: Path, stopped: bool, resume: Path | None = None) -> lightning.Trainer:
    with quiet_lightning():
        trainer = make_trainer(folder, torch.device("cpu"), "32-true", 3, 5, ("loss", "min"), None)
        trainer.fit(Loop(stopped), ckpt_path=resume, weights_only=True)
    return trainer


@pytest.mark.usefixtures("survives_sigterm")
def test_stopped_training_is_no_success_and_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, stopped=True)
    assert stop.value.code == 128 + signal.SIGTERM
    assert "stopped by SIGTERM after epoch 1;" in capfd.readouterr().err
    assert torch.load(tmp_path / LAST, weights_only=True)["epoch"] == 0
    assert run(tmp_path, stopped=False, resume=tmp_path / LAST).current_epoch == 3


def test_cluster_job_is_not_requeued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train"}.items():
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGUSR1)
    handlers = []
    module = Loop(stopped=False)
    monkeypatch.setattr(module, "on_train_start", lambda: handlers.append(signal.getsignal(signal.SIGUSR1)))
    with quiet_lightning():
        make_trainer(tmp_path, torch.device("cpu"), "32-true", 1, 5, ("loss", "min"), None).fit(module)
    assert handlers == [before]
