"""A plain Lightning module and data module that do not use this package."""

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class PlainModule(LightningModule):
    """Linear regression."""

    def __init__(self, learning_rate: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.line = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self._error("train/loss", batch)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self._error("val/loss", batch)

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self._error("test/loss", batch)

    def predict_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.hparams["learning_rate"])

    def _error(self, name: str, batch: list[Tensor]) -> Tensor:
        x, y = batch
        loss = (self(x) - y).square().mean()
        self.log(name, loss)
        return loss


class PlainData(LightningDataModule):
    """Points of the line y = 2 x + 1."""

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        x = torch.linspace(-1, 1, 16)[:, None]
        return DataLoader(TensorDataset(x, 2 * x + 1), batch_size=4)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader
