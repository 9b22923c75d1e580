import torch
from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper


def prepare():
    layers = Decoder(dim=64, depth=2, heads=2)
    net = TransformerWrapper(num_tokens=64, max_seq_len=64, attn_layers=layers)
    model, tokens = AutoregressiveWrapper(net), torch.randint(64, (8, 64))

    def step():
        model.zero_grad()
        model(tokens).backward()

    return step
