"""The parts of the optimisation loop that Lightning drives: it steps, clips and restores; nothing is printed or logged."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from halocline import files
from halocline.errors import HaloclineError, RunFailure
from halocline.training.loop import _DIVERGED, Batches, Loop


class Training(pl.LightningModule):
    """An objective as a Lightning module."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.network = loop.objective.model
        self.loop = loop

    def training_step(self, batch: list[int], batch_index: int) -> Tensor:
        loss = self.loop.objective.loss(batch)
        if not bool(torch.isfinite(loss)):
            raise RunFailure(f"the loss is not finite at step {self.loop.progression.step}, samples {batch}", "training", _DIVERGED)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.loop.parameters, lr=self.loop.learning_rate, fused=True)

    def on_train_batch_start(self, batch: list[int], batch_index: int) -> None:
        rate = self.loop.learning_rate
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["progression"] = self.loop.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.loop.load_state_dict(checkpoint["progression"])


class Keeper(pl.Callback):
    """Runs the hooks of the loop and writes checkpoints, atomically, every few seconds."""

    def __init__(self, loop: Loop, checkpoint: Path) -> None:
        self.loop, self.checkpoint = loop, checkpoint
        self.saved = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.loop.begin()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        self.loop.after_step()
        interval = min(self.loop.schedule.checkpoint_interval, max(1.0, 0.1 * self.loop.schedule.budget))
        if time.monotonic() - self.saved >= interval:
            files.write_with(self.checkpoint, trainer.save_checkpoint)
            self.saved = time.monotonic()


def run(loop: Loop, checkpoint: Path) -> None:
    """Train ``loop`` until it wants no more, starting from ``checkpoint`` where there is one.

    Raises:
        RunFailure: the checkpoint cannot be read or belongs to another training.
    """
    batches = Batches(loop.objective.n_samples, loop.schedule, lambda: loop.progression.step, loop.more)
    with _silence():
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=1,
            logger=False,
            callbacks=[Keeper(loop, checkpoint)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            gradient_clip_val=loop.schedule.clip,
            default_root_dir=checkpoint.parent,
        )
        start = str(checkpoint) if checkpoint.exists() else None
        try:
            trainer.fit(Training(loop), train_dataloaders=batches, ckpt_path=start)
        except HaloclineError:
            raise
        except Exception as error:
            if start is None or loop.progression.step > 0:
                raise
            remedy = "Delete the file and run the same command again: only this training starts over."
            raise RunFailure(f"the checkpoint is corrupt ({type(error).__name__}: {error})", start, remedy) from error


@contextmanager
def _silence() -> Iterator[None]:
    """No banner, tip or warning of Lightning; what goes wrong is an exception."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
