import torch
from vector_quantize_pytorch import VectorQuantize


def prepare():
    quantize = VectorQuantize(dim=64, codebook_size=256)
    x = torch.randn(4, 128, 64, requires_grad=True)

    def step():
        quantized, _, loss = quantize(x)
        (quantized.square().mean() + loss.sum()).backward()
        x.grad = None

    return step
