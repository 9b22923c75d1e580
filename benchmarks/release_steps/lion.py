import torch
from lion_pytorch import Lion


def prepare():
    model = torch.nn.Sequential(*[torch.nn.Linear(256, 256) for _ in range(4)])
    optimizer, x = Lion(model.parameters(), lr=1e-4), torch.randn(64, 256)

    def step():
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    return step
