import subprocess
import sys

PROGRAM = """
import sys
import torch
from torchlane.core.options import OptimizerOptions
from torchlane.core.options.torch_names import UNFIT_OPTIMIZERS, optimizers
from torchlane.core.training.optimizers import make_optimizer


def train(name):
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 3)
    optimizer = make_optimizer(network.parameters(), OptimizerOptions(name=name), 0.01)
    for step in range(3):
        optimizer.zero_grad()
        network(torch.ones(2, 4) * (step + 1)).square().sum().backward()
        optimizer.step()
    assert torch.is_grad_enabled()
    optimizer.load_state_dict(optimizer.state_dict())
    return network.weight.detach().clone()


names = sorted(set(optimizers()) - set(UNFIT_OPTIMIZERS))
assert len(names) > 8
before = {name: train(name) for name in names}
assert "torch._dynamo" not in sys.modules and "sympy" not in sys.modules
import torch._dynamo
graph_break, breaks = torch._dynamo.graph_break, []
torch._dynamo.graph_break = lambda *args, **kwargs: breaks.append(1)
for name in names:
    assert torch.equal(before[name], train(name)), name
assert len(breaks) >= 2 * 3 * 8, len(breaks)  # most optimizers mark the borders of a step
torch._dynamo.graph_break = graph_break
kept = torch.optim.Optimizer.add_param_group.__wrapped__.__dict__["__dynamo_disable"]
assert kept.__module__.startswith("torch._dynamo"), kept
"""


def test_optimizers_do_without_the_compiler_with_the_same_bits_until_it_is_imported():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
