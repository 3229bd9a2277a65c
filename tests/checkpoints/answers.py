"""Losses, exact derivatives by automatic differentiation in float64, and their checks by differences."""

import models
import torch
from torch.nn import functional as F

TOLERANCE = 1e-7


def grads(outputs, inputs, cotangent=None, create_graph=False):
    """torch.autograd.grad with zeros for what does not take part."""
    out = torch.autograd.grad(outputs, inputs, cotangent, create_graph=create_graph, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(out, inputs)]


def dot(a, b):
    return sum(float((x * y).sum()) for x, y in zip(a, b))


def largest(tensors):
    return max(float(t.abs().max()) for t in tensors)


def difference(a, b):
    """Largest difference of two lists of tensors, relative to the largest entry of the second."""
    return largest([x - y for x, y in zip(a, b)]) / max(largest(b), 1e-300)


class Problem:
    """A model with its data: outputs and loss as functions of a list of parameter tensors."""

    def __init__(self, config, tensors, inputs, targets, mask=None, types=None):
        self.config, self.names = config, list(tensors)
        self.values = [tensors[k].double() for k in self.names]
        self.inputs, self.targets, self.mask, self.types = inputs, targets, mask, types
        self.squared = targets.is_floating_point()
        self.ignore = -1 if config.get("model_type") == "nanogpt" else -100

    def outputs(self, values):
        return models.forward(self.config, dict(zip(self.names, values)), self.inputs, self.mask, self.types)

    def loss_of(self, outputs):
        """Half the sum of squares over real tokens, or the mean cross-entropy over the targets that count."""
        if self.squared:
            error = outputs - self.targets
            return 0.5 * ((error if self.mask is None else error * self.mask[..., None]) ** 2).sum()
        return F.cross_entropy(outputs.flatten(0, -2), self.targets.flatten(), ignore_index=self.ignore)

    def loss(self, values):
        return self.loss_of(self.outputs(values))

    def gradient(self, values):
        values = [v.detach().requires_grad_() for v in values]
        return [g.detach() for g in grads(self.loss(values), values)]

    def accuracy(self, outputs):
        """The share of right answers among the targets that count; NaN where targets are no labels."""
        if self.squared:
            return float("nan")
        return float((outputs.argmax(-1) == self.targets)[self.targets != self.ignore].double().mean())

    def hessian_of_loss(self, outputs, direction):
        """The Hessian of the loss in the outputs times a direction, from its formula."""
        if self.squared:
            return direction if self.mask is None else direction * self.mask[..., None]
        p = outputs.softmax(-1)
        keep = (self.targets != self.ignore)[..., None].double()
        return keep * (p * direction - p * (p * direction).sum(-1, keepdim=True)) / keep.sum()


def solve(problem, direction, cotangent):
    """All exact answers for a problem, as a dictionary; lists of tensors follow problem.names."""
    values = [v.clone().requires_grad_() for v in problem.values]
    outputs = problem.outputs(values)
    loss = problem.loss_of(outputs)
    gradient = grads(loss, values, create_graph=True)
    seed = torch.zeros_like(outputs).requires_grad_()
    pulled = grads(outputs, values, seed, create_graph=True)
    free = outputs.detach().requires_grad_()
    slope, = grads(problem.loss_of(free), [free], create_graph=True)
    pushed, = grads(sum((p * x).sum() for p, x in zip(pulled, direction)), [seed])
    curved, = grads((slope * pushed).sum(), [free])
    return {"loss": float(loss), "accuracy": problem.accuracy(outputs), "outputs": outputs.detach(),
            "gradient": [g.detach() for g in gradient],
            "hessian_product": grads(sum((g * x).sum() for g, x in zip(gradient, direction)), values),
            "gauss_newton_product": grads(outputs, values, curved), "jvp": pushed.detach(),
            "vjp": grads(outputs, values, cotangent)}


def central(f, values, direction, h):
    """Fourth-order central difference of a function with a list of tensors as value."""
    a, b, c, d = (f([v + s * h * x for v, x in zip(values, direction)]) for s in (1, -1, 2, -2))
    return [(8 * (w - x) - (y - z)) / (12 * h) for w, x, y, z in zip(a, b, c, d)]


def check(problem, answers, direction, cotangent):
    """Relative errors of the answers against differences and identities."""
    models.relu_margins.clear()
    problem.outputs(problem.values)
    margin = min(models.relu_margins, default=1)
    g, h, j = answers["gradient"], answers["hessian_product"], answers["jvp"]
    bent = problem.hessian_of_loss(answers["outputs"], j)
    slope = central(lambda v: [problem.loss(v)], problem.values, direction, 2e-5)
    out = {"gradient": abs(float(slope[0]) - dot(g, direction)) / (largest(g) * largest(direction)),
           "hessian": difference(central(problem.gradient, problem.values, direction, 2e-5), h),
           "jvp": difference(central(lambda v: [problem.outputs(v)], problem.values, direction, 2e-5), [j]),
           "adjoint": abs(dot([cotangent], [j]) - dot(answers["vjp"], direction)) / largest(answers["vjp"]),
           "gauss_newton": abs(dot(answers["gauss_newton_product"], direction) - dot([bent], [j])) / abs(dot([bent], [j]))}
    bad = [k for k, v in out.items() if not v < TOLERANCE]
    if bad or margin < 1e-3:
        raise SystemExit(f"check failed: {bad} of {out}, distance from the kinks of ReLU {margin:.1e}")
    return out
