"""PyTorch modules: as points, and through their own products. Skipped without torch."""
import copy
import math
import os
import signal
import unittest

import numpy as np
import support  # noqa: F401  finds the build

import basin

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError:
    torch = None


def loss_of(module, forward, loss):
    """f(theta) for a flat vector of the module's parameters, by PyTorch alone."""
    from torch.nn.utils.stateless import functional_call
    parameters = list(module.parameters())
    everywhere = [[f"{where}.{name}".lstrip(".") for where, part in module.named_modules()
                   for name, p in part._parameters.items() if p is parameter] for parameter in parameters]  # tied ones, too

    def f(theta):
        parts = theta.split([p.numel() for p in parameters])
        values = {name: part.reshape(p.shape) for names, part, p in zip(everywhere, parts, parameters) for name in names}
        return loss(forward(lambda *x, **k: functional_call(module, values, x, k)))

    theta = torch.cat([p.detach().reshape(-1) for p in module.parameters()])
    return f, theta


def products(f, theta):
    """Hessian products of f on rows."""
    theta = theta.clone().requires_grad_()
    gradient, = torch.autograd.grad(f(theta), theta, create_graph=True)

    def multiply(V):
        return np.stack([torch.autograd.grad(gradient, theta, torch.from_numpy(v), retain_graph=True)[0].numpy() for v in V])

    return multiply, gradient.detach().numpy()


if torch:
    class Block(nn.Module):
        """As nanoGPT's."""

        def __init__(self, c):
            super().__init__()
            self.ln_1, self.ln_2 = Norm(c), Norm(c)
            self.attn, self.mlp = Attention(c), MLP(c)

        def forward(self, x):
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp(self.ln_2(x))

    class Norm(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(c.n_embd))
            self.bias = nn.Parameter(torch.zeros(c.n_embd)) if c.bias else None

        def forward(self, x):
            return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)

    class Attention(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.c_attn = nn.Linear(c.n_embd, 3 * c.n_embd, bias=c.bias)
            self.c_proj = nn.Linear(c.n_embd, c.n_embd, bias=c.bias)
            self.heads = c.n_head

        def forward(self, x):
            B, T, C = x.shape
            q, k, v = (z.view(B, T, self.heads, -1).transpose(1, 2) for z in self.c_attn(x).split(C, 2))
            scores = (q @ k.transpose(-2, -1)) / math.sqrt(k.shape[-1])
            scores = scores.masked_fill(torch.triu(torch.ones(T, T, dtype=torch.bool), 1), -math.inf)
            return self.c_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C))

    class MLP(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.c_fc = nn.Linear(c.n_embd, 4 * c.n_embd, bias=c.bias)
            self.c_proj = nn.Linear(4 * c.n_embd, c.n_embd, bias=c.bias)

        def forward(self, x):
            return self.c_proj(functional.gelu(self.c_fc(x)))

    class GPT(nn.Module):
        """nanoGPT, as far as its state and its loss go."""

        def __init__(self, c):
            super().__init__()
            self.config = c
            self.transformer = nn.ModuleDict({
                "wte": nn.Embedding(c.vocab_size, c.n_embd), "wpe": nn.Embedding(c.block_size, c.n_embd),
                "h": nn.ModuleList(Block(c) for _ in range(c.n_layer)), "ln_f": Norm(c)})
            self.lm_head = nn.Linear(c.n_embd, c.vocab_size, bias=False)
            self.transformer.wte.weight = self.lm_head.weight

        def forward(self, ids, targets=None):
            t = self.transformer
            x = t.wte(ids) + t.wpe(torch.arange(ids.shape[1]))
            for block in t.h:
                x = block(x)
            logits = self.lm_head(t.ln_f(x) if targets is not None else t.ln_f(x)[:, [-1]])
            return logits, None

    class Config:
        n_layer, n_head, n_embd, block_size, vocab_size, bias = 2, 2, 8, 6, 11, True


@unittest.skipUnless(torch, "needs torch")
class Modules(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float64)
        self.addCleanup(torch.set_default_dtype, torch.float32)

    def check(self, module, make, f, theta):
        """Loss, gradient, products and both spectra against PyTorch's. make: a module to its point."""
        point = make(module)
        multiply, gradient = products(f, theta)
        # Which of PyTorch's parameters each of ours is: those of a module whose parameters are numbered.
        numbered = copy.deepcopy(module)
        with torch.no_grad():
            nn.utils.vector_to_parameters(1e-6 * torch.arange(len(theta)), numbered.parameters())
        order = np.rint(1e6 * make(numbered).theta).astype(int)
        self.assertEqual(sorted(order), list(range(len(theta))))

        self.assertAlmostEqual(point.loss, f(theta).item(), delta=1e-12 * abs(point.loss))
        np.testing.assert_allclose(point.gradient, gradient[order], atol=1e-12 * np.linalg.norm(gradient))
        V = np.random.default_rng(0).standard_normal((2, len(theta)))
        theirs = np.zeros_like(V)
        theirs[:, order] = V
        product = multiply(theirs)[:, order]
        np.testing.assert_allclose(point.hvp(V), product, atol=1e-12 * np.linalg.norm(product))

        ours = basin.eigenpairs(point.hessian, largest=3, smallest=3)
        through = basin.eigenpairs(multiply, len(theta), largest=3, smallest=3)
        for a, b in ((ours.largest, through.largest), (ours.smallest, through.smallest)):
            self.assertTrue((np.abs(a.values - b.values) <= a.error_bounds + b.error_bounds).all(), (a, b))

    def test_encoders(self):
        for norm_first, activation, final in ((False, "relu", False), (True, "gelu", True)):
            with self.subTest(norm_first=norm_first):
                layer = nn.TransformerEncoderLayer(6, 2, 10, activation=activation, norm_first=norm_first, batch_first=True,
                                                   layer_norm_eps=1e-4)
                module = nn.TransformerEncoder(layer, 2, nn.LayerNorm(6, 1e-4) if final else None).eval()
                for parameter in module.parameters():
                    nn.init.normal_(parameter, 0.2, 0.5)
                X, Y = torch.randn(5, 4, 6), torch.randn(5, 4, 6)
                mask = torch.ones(5, 4, dtype=torch.bool)
                mask[0, 2:] = mask[3, 3:] = False
                for real in (None, mask):
                    keep = slice(None) if real is None else real
                    f, theta = loss_of(module, lambda m: m(X, src_key_padding_mask=None if real is None else ~real),
                                       lambda F: functional.mse_loss(F[keep], Y[keep]))
                    self.check(module, lambda m: basin.from_torch(m, X, Y, nn.MSELoss(), mask=real), f, theta)
                alone = layer.eval()
                self.assertAlmostEqual(basin.from_torch(alone, X, Y).loss,
                                       ((alone(X) - Y) ** 2).sum().item() / 2, delta=1e-11)

    def test_nanogpt(self):
        module = GPT(Config()).eval()
        for parameter in module.parameters():
            nn.init.normal_(parameter, 0.1, 0.4)
        ids, labels = torch.randint(11, (4, 6)), torch.randint(11, (4, 6))
        labels[1, 3] = -1
        f, theta = loss_of(module, lambda m: m(ids, ids)[0],
                           lambda F: functional.cross_entropy(F.reshape(-1, 11), labels.reshape(-1), ignore_index=-1))
        self.check(module, lambda m: basin.from_torch(m, ids, labels), f, theta)

    def test_refused(self):
        X, Y = torch.randn(2, 3, 4), torch.randn(2, 3, 4)

        def encoder(**options):
            return nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, **options)

        with self.assertRaisesRegex(ValueError, r"training mode, with dropout 0\.1; call eval\(\)"):
            basin.from_torch(encoder(), X, Y)
        basin.from_torch(encoder(dropout=0.0), X, Y)
        hooked = encoder().eval()
        hooked.linear1.register_forward_hook(lambda *_: None)
        with self.assertRaisesRegex(ValueError, r"linear1 \(Linear\) has forward hooks"):
            basin.from_torch(hooked, X, Y)
        normed = encoder().eval()
        torch.nn.utils.parametrizations.spectral_norm(normed.linear1)
        with self.assertRaisesRegex(ValueError, r"linear1 .*parametrizations"):
            basin.from_torch(normed, X, Y)
        with self.assertRaisesRegex(ValueError, "Linear is of no family"):
            basin.from_torch(nn.Linear(4, 4), X, Y)
        with self.assertRaisesRegex(ValueError, "expected relu or gelu"):
            basin.from_torch(encoder(activation=functional.silu).eval(), X, Y)
        with self.assertRaisesRegex(ValueError, "final norm has epsilon 0.01, its layers 1e-05"):
            basin.from_torch(nn.TransformerEncoder(encoder(), 1, nn.LayerNorm(4, 1e-2)).eval(), X, Y)
        with self.assertRaisesRegex(ValueError, "loss: found L1Loss"):
            basin.from_torch(encoder().eval(), X, Y, nn.L1Loss())
        with self.assertRaisesRegex(ValueError, "the loss of the module is .* and that of its description"):
            basin.from_torch(encoder().eval(), X, Y, outputs=lambda of, x, mask: 1.001 * of(x))


    def test_what_the_state_does_not_show(self):
        """The same loss, another gradient: shared layers and tensors, what is detached; and what is frozen."""
        X, Y = torch.randn(3, 5, 8), torch.randn(3, 5, 8)

        def encoder(kind=nn.TransformerEncoderLayer):
            return nn.TransformerEncoder(kind(8, 2, 12, batch_first=True), 2).eval()

        class Detached(nn.TransformerEncoderLayer):
            def _ff_block(self, x):
                return super()._ff_block(x).detach()

        layers, weight = encoder(), encoder()
        layers.layers[1] = layers.layers[0]
        weight.layers[1].linear1.weight = weight.layers[0].linear1.weight
        for module in (layers, weight, encoder(Detached)):
            with self.assertRaisesRegex(ValueError, "the gradient of the module has length .* at the same loss"):
                basin.from_torch(module, X, Y, nn.MSELoss())
        frozen = encoder()
        frozen.layers[0].linear1.weight.requires_grad_(False)
        point = basin.from_torch(frozen, X, Y, nn.MSELoss())
        self.assertEqual(point.size, sum(p.numel() for p in frozen.parameters() if p.requires_grad))
        self.assertAlmostEqual(basin.from_torch(frozen, X, Y, nn.MSELoss(reduction="sum")).loss, X.numel() * point.loss, delta=1e-9 * X.numel())
        self.assertEqual(basin.from_torch(frozen, X, Y, train="blocks.1.*").trained, point.with_trainable("blocks.1.*").trained)


@unittest.skipUnless(torch, "needs torch")
class Beside(unittest.TestCase):
    def test_threads_are_left_alone(self):
        torch.set_num_threads(1)
        basin.set_threads(2)
        self.addCleanup(basin.set_threads, 0)
        seen = []

        def multiply(V):
            seen.append(torch.get_num_threads())
            return (torch.from_numpy(V) * 2).numpy()

        basin.eigenpairs(multiply, 1500, largest=1)
        self.assertEqual(set(seen), {1})
        self.assertEqual(torch.get_num_threads(), 1)

    def test_fork_after_both_have_used_threads(self):
        torch.set_num_threads(2)
        basin.set_threads(2)
        self.addCleanup(torch.set_num_threads, 1)
        self.addCleanup(basin.set_threads, 0)
        A = torch.randn(1100, 1100, dtype=torch.float64)
        A = (A + A.T).numpy()
        values = basin.eigenpairs(A, largest=2).largest.values
        child = os.fork()
        if child == 0:
            signal.alarm(100)
            os._exit(0 if (basin.eigenpairs(A, largest=2).largest.values == values).all() else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)


if __name__ == "__main__":
    unittest.main()
