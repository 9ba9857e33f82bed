import sys

import pytest

from torchlane.core.networks import named

OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, shape=None, n_features=None, n_outputs=1, power=1.0, width=3, rates=(0.1, 0.4)):
        super().__init__()
        self.power = power
        self.late, self.early = nn.Dropout(rates[0]), nn.Dropout(rates[1])
        self.head = nn.Linear(width, n_outputs)
        self.hidden = nn.Linear(n_features or 16, width)
        self.frozen = nn.Linear(width, width)
        self.frozen.requires_grad_(False)

    def forward(self, features):
        hidden = self.early(self.frozen(self.hidden(features.flatten(1))).sigmoid())
        return self.head(self.late((hidden + 1) ** self.power))
"""


@pytest.fixture
def own_nets(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(named, "_trusted", {"own_nets.Net"})
    yield
    sys.modules.pop("own_nets", None)
