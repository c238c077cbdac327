"""A module that Lightning's Trainer trains and tests. usage: lightning_model.py DEVICE"""
import sys

import lightning
import torch
import torch.nn.functional as F

device = sys.argv[1]


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3))

    def training_step(self, batch, index):
        x, y = batch
        assert x.device.type == device
        loss = F.cross_entropy(self.net(x), y)
        print(f"step {index} loss {loss.item():.4f}")
        return loss

    def test_step(self, batch, index):
        x, y = batch
        self.log("accuracy", (self.net(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


lightning.seed_everything(0)
x = torch.randn(256, 8)
y = x[:, :3].argmax(1)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32)
trainer = lightning.Trainer(max_epochs=5, accelerator="gpu" if device == "cuda" else "cpu", devices=1, logger=False,
                            enable_checkpointing=False, enable_progress_bar=False, gradient_clip_val=1.0)
model = Classifier()
trainer.fit(model, loader)
print(f"test loss {1 - trainer.test(model, loader, verbose=False)[0]['accuracy']:.4f}")
