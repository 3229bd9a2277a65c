"""Mini-batches: every method and schedule against torch.optim on the same batches. Skipped without torch."""
import unittest

import numpy as np
import support  # noqa: F401  finds the build

import basin

try:
    import torch
    from torch import nn
except ImportError:
    torch = None

STEPS_AN_EPOCH, EPOCHS = 4, 50  # 200 steps; 14 samples in batches of 4, the last of 2


@unittest.skipUnless(torch, "needs torch")
class AgainstTorch(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float64)
        self.addCleanup(torch.set_default_dtype, torch.float32)
        self.X, self.Y = torch.randn(14, 3, 4), torch.randn(14, 3, 4)
        self.first = nn.TransformerEncoderLayer(4, 2, 6, activation="gelu", batch_first=True, norm_first=True, dropout=0.0)
        self.point = basin.from_torch(self.first.eval(), self.X, self.Y, nn.MSELoss())

    def torch_run(self, make, schedule=None, clip=None):
        """Losses of all data after each epoch, and the end's parameters."""
        import copy
        model = copy.deepcopy(self.first)
        optimizer = make(model.parameters())
        scheduler = schedule(optimizer) if schedule else None
        loss, losses = nn.MSELoss(), []
        for _ in range(EPOCHS):
            for batch in range(STEPS_AN_EPOCH):
                part = slice(4 * batch, 4 * batch + 4)
                optimizer.zero_grad()
                loss(model(self.X[part]), self.Y[part]).backward()
                if clip:
                    clip(model.parameters())
                optimizer.step()
                if scheduler:
                    scheduler.step()
            losses.append(loss(model(self.X), self.Y).item())
        return np.array(losses), model

    def check(self, options, make, schedule=None, clip=None):
        losses, model = self.torch_run(make, schedule, clip)
        run = basin.train(self.point, batch=4, epochs=EPOCHS, order="given", **options)
        np.testing.assert_allclose(run.run.loss[1:], losses, rtol=1e-9)
        end = basin.from_torch(model.eval(), self.X, self.Y, nn.MSELoss())
        start = self.point.weights
        for name, theirs in end.weights.items():
            if name.endswith("b_K"):  # its gradient is rounding
                continue
            moved = np.linalg.norm(theirs - start[name])
            self.assertLessEqual(np.linalg.norm(run.point.weights[name] - theirs), 1e-7 * moved, name)

    def test_optimisers(self):
        optim = torch.optim
        for options, make in (
                ({"method": "sgd", "lr": 0.05}, lambda p: optim.SGD(p, 0.05)),
                ({"method": "sgd", "lr": 0.005, "momentum": 0.9, "weight_decay": 0.01}, lambda p: optim.SGD(p, 0.005, 0.9, weight_decay=0.01)),
                ({"method": "sgd", "lr": 0.005, "momentum": 0.8, "dampening": 0.3}, lambda p: optim.SGD(p, 0.005, 0.8, 0.3)),
                ({"method": "sgd", "lr": 0.005, "momentum": 0.9, "nesterov": True}, lambda p: optim.SGD(p, 0.005, 0.9, nesterov=True)),
                ({"method": "adam", "lr": 0.01}, lambda p: optim.Adam(p, 0.01)),
                ({"method": "adam", "betas": "0.8,0.95", "eps": 1e-6, "weight_decay": 0.1}, lambda p: optim.Adam(p, 0.001, (0.8, 0.95), 1e-6, 0.1)),
                ({"method": "adamw", "lr": 0.01}, lambda p: optim.AdamW(p, 0.01)),
                ({"method": "adamw", "lr": 0.01, "weight_decay": 0.2}, lambda p: optim.AdamW(p, 0.01, weight_decay=0.2))):
            with self.subTest(**options):
                self.check(options, make)

    def test_schedules(self):
        lr, total = torch.optim.lr_scheduler, EPOCHS * STEPS_AN_EPOCH
        sgd = lambda p: torch.optim.SGD(p, 0.05)  # noqa: E731
        for options, schedule in (
                ({"schedule": "cosine"}, lambda o: lr.CosineAnnealingLR(o, total)),
                ({"schedule": "one-cycle"}, lambda o: lr.OneCycleLR(o, 0.05, total, cycle_momentum=False)),
                ({"warm_up": 20}, lambda o: lr.LambdaLR(o, lambda t: min(1, (t + 1) / 20)))):
            with self.subTest(**options):
                self.check({"method": "sgd", "lr": 0.05, **options}, sgd, schedule)

    def test_clipping(self):
        sgd = lambda p: torch.optim.SGD(p, 0.5)  # noqa: E731
        self.check({"method": "sgd", "lr": 0.5, "clip_norm": 0.1}, sgd, clip=lambda p: nn.utils.clip_grad_norm_(p, 0.1))
        self.check({"method": "sgd", "lr": 0.5, "clip_value": 0.01}, sgd, clip=lambda p: nn.utils.clip_grad_value_(p, 0.01))


if __name__ == "__main__":
    unittest.main()
