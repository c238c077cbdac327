"""BERT, GPT-2 and Llama of random weights: two training steps, greedy and sampled tokens. usage: language_models.py DEVICE"""
import sys

import torch
import transformers as t

device = sys.argv[1]
sizes = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, vocab_size=200)
quiet = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
torch.manual_seed(0)
models = {
    "bert": t.BertForMaskedLM(t.BertConfig(**sizes, **quiet)),
    "gpt2": t.GPT2LMHeadModel(t.GPT2Config(n_embd=64, n_layer=2, n_head=4, n_inner=128, vocab_size=200, n_positions=64,
                                           embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=1)),
    "llama": t.LlamaForCausalLM(t.LlamaConfig(**sizes, num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1,
                                              eos_token_id=1)),
}
ids = torch.randint(5, 200, (2, 16)).to(device)
for name, model in models.items():
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step in range(2):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        print(f"{name} step {step} loss {loss.item():.4f} norm {norm.item():.3f}")
    if name == "bert":
        continue
    model.eval()
    prompt = dict(input_ids=ids[:, :8], attention_mask=torch.ones_like(ids[:, :8]), max_new_tokens=5, pad_token_id=0)
    print(name, "greedy", model.generate(**prompt, do_sample=False)[:, 8:].tolist())
    sampled = model.generate(**prompt, do_sample=True, top_k=10, top_p=0.9)[:, 8:]
    assert sampled.shape[1] <= 5 and (sampled < 200).all()
