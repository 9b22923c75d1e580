import torch
from pytorch_optimizer import SAM


def prepare():
    model = torch.nn.Sequential(*[torch.nn.Linear(256, 256) for _ in range(4)])
    optimizer, x = SAM(model.parameters(), torch.optim.SGD, lr=1e-3), torch.randn(64, 256)

    def step():
        for pass_ in (optimizer.first_step, optimizer.second_step):
            model(x).square().mean().backward()
            pass_(zero_grad=True)

    return step
