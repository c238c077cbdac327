"""What people use around PyTorch: metrics, checkpoints, device maps, batch sizes that fit. usage: libraries.py DEVICE"""
import sys
import tempfile

import torch
import torchmetrics
import transformers as t
from accelerate import Accelerator
from accelerate.utils import find_executable_batch_size
from safetensors.torch import load_file, save_file

device = sys.argv[1]
config = t.LlamaConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=128,
                       vocab_size=200, max_position_embeddings=64, bos_token_id=1, eos_token_id=1)
torch.manual_seed(0)
ids = torch.randint(5, 200, (4, 16))
model = t.LlamaForCausalLM(config)

with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    placed = t.LlamaForCausalLM.from_pretrained(folder, device_map="auto" if device == "cuda" else "cpu", dtype=torch.float32)
    assert placed.device.type == device, placed.device
    print(f"device map: loss {placed(input_ids=ids.to(device), labels=ids.to(device)).loss.item():.4f}")

    save_file({k: v.contiguous() for k, v in placed.state_dict().items() if k != "lm_head.weight"}, f"{folder}/saved.safetensors")
    loaded = load_file(f"{folder}/saved.safetensors", device=device)
    name = "model.embed_tokens.weight"
    assert loaded[name].device.type == device
    print(f"safetensors: loss {(loaded[name].float() ** 2).sum().item():.4f}")

    torch.save(placed.state_dict(), f"{folder}/saved.pt")
    back = torch.load(f"{folder}/saved.pt", map_location="cpu", weights_only=True)
    assert all(v.device.type == "cpu" for v in back.values())

accelerator = Accelerator(cpu=device == "cpu")
placed.gradient_checkpointing_enable()
data = torch.utils.data.DataLoader(ids.repeat(4, 1), batch_size=4, num_workers=1, pin_memory=device == "cuda")
module, optimizer, loader = accelerator.prepare(placed.train(), torch.optim.AdamW(placed.parameters(), lr=1e-3), data)
for batch in loader:
    assert batch.device.type == device
    loss = module(input_ids=batch, labels=batch).loss
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    print(f"accelerate, checkpointing: loss {loss.item():.4f}")

metric = torchmetrics.Accuracy(task="multiclass", num_classes=5).to(device)
confusion = torchmetrics.ConfusionMatrix(task="multiclass", num_classes=3).to(device)
labels = (torch.arange(60) * 7 % 5).to(device)
metric.update(labels.roll(1), labels)
confusion.update(labels % 3, labels.roll(1) % 3)
print(f"torchmetrics: loss {metric.compute().item():.4f} {confusion.compute().sum().item():.1f}")

tried = []


@find_executable_batch_size(starting_batch_size=64)
def train(batch_size):
    tried.append(batch_size)
    if batch_size > 16:  # what a device says when a batch does not fit
        if device == "cuda":
            torch.empty(1 << 50, dtype=torch.uint8, device="cuda")
        raise RuntimeError("CUDA out of memory.")
    return batch_size


print(f"batch size: loss {train()} after {tried}")
