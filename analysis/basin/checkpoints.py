"""Points of trained Transformers: from checkpoint files, and from PyTorch modules.

    point = basin.checkpoint("model/", inputs=ids, targets=labels)
    point = basin.from_torch(module.eval(), inputs, targets, loss=torch.nn.MSELoss())

Which models are known, what has to be said of others, and what inputs and targets are: lib/checkpoint/FAMILIES.md.
"""
import json
import os

import numpy as np

from . import tools
from .export import save as save_safetensors
from .points import load_temporary


def checkpoint(path, *, inputs, targets, config=None, mask=None, token_types=None, loss=None, unused=None, map=None,  # noqa: A002
               expect_loss=None, **options):
    """The point of a checkpoint: a .safetensors file, an index of shards, or a folder with config.json.

    inputs, targets, mask, token_types: arrays, or paths of .npy files: token ids (N, n), numbers (N, n, D) or images
    (N, channels, height, width); labels (N) or (N, n), or numbers of the shape of the outputs; which tokens are real; types.
    config: the configuration, a dictionary or a path (config.json beside it). loss: "cross-entropy", "mse", "squared", with
    ":sum", ":rows", ":samples" or ":elements". unused: tensors to leave out. map: the network and its tensors, for modules of
    one's own, a dictionary or a path. expect_loss: fail unless the loss is this. options: those of `load`.

    Raises ValueError, naming the tensor, the key or the option, for whatever is not known exactly.
    """
    folder = tools.Folder()
    problem = folder / "problem.h5"
    words = [os.fspath(path), "-o", problem, "--quiet"]
    for name, value in (("config", config), ("map", map)):
        if isinstance(value, dict):
            with open(folder / f"{name}.json", "w", encoding="utf-8") as file:
                json.dump(value, file)
            value = folder / f"{name}.json"
        words += tools.words_of({name: value})
    for name, value in (("inputs", inputs), ("targets", targets), ("mask", mask), ("token_types", token_types)):
        if value is not None and not isinstance(value, (str, os.PathLike)):
            np.save(folder / f"{name}.npy", _array(value))
            value = folder / f"{name}.npy"
        words += tools.words_of({name: value})
    words += [word for name in ([unused] if isinstance(unused, str) else unused or [])
              for word in tools.words_of({"unused": name})]
    words += tools.words_of({"loss": loss, "expect_loss": None if expect_loss is None else repr(expect_loss)})
    try:
        tools.run("problem", ["checkpoint", *words], progress=False)
    except ValueError as error:
        raise type(error)(str(error).replace(folder / "", "")) from None
    return load_temporary(problem, **options)


def from_torch(module, inputs, targets, loss=None, *, mask=None, config=None, map=None, outputs=None, **options):  # noqa: A002
    """The point of a PyTorch module: nn.TransformerEncoder and its layer, nanoGPT, those of Hugging Face that
    `checkpoint` knows, or any other with config= or map= as there.

    inputs, targets, mask: tensors or arrays, as for `checkpoint`; targets of language models are shifted already.
    loss: nn.CrossEntropyLoss() or nn.MSELoss(), or a word as for `checkpoint`; None: by the targets.
    outputs: a function (module, inputs, mask) -> outputs, where it is not module(inputs).

    The weights go by the module's state; parameters that do not require gradients are not trained. Its loss and the length
    of its gradient, in float64 on a copy, are compared with the point's before anything else: losses that differ by more
    than 1e-10, or gradients by more than 1e-8, are refused. Refused, too: training mode with dropout, hooks and
    parametrisations, which the state does not show. Raises ValueError, and ImportError without torch.
    """
    import torch
    _check_plain(module)
    if config is None and map is None:
        config = _config_of(torch, module)
    loss = _loss_name(torch, loss, targets)
    folder = tools.Folder()
    save_safetensors(module.state_dict(), folder / "module.safetensors")
    train = options.pop("train", None)
    frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    if frozen:  # the blocks in the tensors that are left
        options["train"] = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    point = checkpoint(folder / "module.safetensors", inputs=inputs, targets=targets, mask=mask, config=config, map=map,
                       loss=loss, **options)
    own, gradient = _own_loss(torch, module, inputs, targets, mask, loss, outputs or _outputs_of(torch, module))
    if not abs(point.loss - own) <= 1e-10 * max(abs(own), 1e-300):
        raise ValueError(f"the loss of the module is {own!r} and that of its description {point.loss!r}: it computes something "
                         "else than its state says (an epsilon, a mask, another average?); see lib/checkpoint/FAMILIES.md")
    ours = float(np.linalg.norm(point.gradient))
    if not abs(ours - gradient) <= 1e-8 * (gradient + abs(own)):
        raise ValueError(f"the gradient of the module has length {gradient!r} and that of its description {ours!r}, at the same "
                         "loss: its parameters are shared, detached or frozen in a way that its state does not show")
    return point if train is None else point.with_trainable(train)


def _array(value):
    """A NumPy array of a tensor or whatever else is like one."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def _check_plain(module):
    """Raises ValueError for what changes the outputs and is not in the state."""
    for name, part in module.named_modules():
        where = f"{name or 'the module'} ({type(part).__name__})"
        if part.training and (getattr(part, "p", 0) or getattr(part, "dropout", 0)):
            chance = getattr(part, "p", 0) or getattr(part, "dropout", 0)
            if isinstance(chance, float):
                raise ValueError(f"{where} is in training mode, with dropout {chance}; call eval() first")
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            if getattr(part, kind, None):
                raise ValueError(f"{where} has {kind.strip('_').replace('_', ' ')}, which may change what it computes; remove them first")
        if getattr(part, "parametrizations", None):
            raise ValueError(f"{where} has parametrizations ({', '.join(part.parametrizations)}); make them permanent first "
                             "(torch.nn.utils.parametrize.remove_parametrizations)")


def _config_of(torch, module):
    """The configuration of a module of a known class. Raises ValueError for another one."""
    nn = torch.nn
    if isinstance(module, (nn.TransformerEncoder, nn.TransformerEncoderLayer)):
        layers = list(module.layers) if isinstance(module, nn.TransformerEncoder) else [module]
        kinds = {json.dumps(_layer_config(torch, layer), sort_keys=True) for layer in layers}
        if len(kinds) != 1:
            raise ValueError("the layers of the encoder differ in more than their weights; say map=")
        config, norm = json.loads(kinds.pop()), getattr(module, "norm", None)
        if norm is not None and getattr(norm, "eps", None) != config["layer_norm_eps"]:
            raise ValueError(f"its final norm has epsilon {getattr(norm, 'eps', None)}, its layers {config['layer_norm_eps']}; say map=")
        return {"model_type": "torch_transformer_encoder", "num_layers": len(layers), **config, "final_norm": norm is not None}
    config = getattr(module, "config", None)
    if hasattr(config, "to_dict"):  # Hugging Face's
        return config.to_dict()
    members = ("n_layer", "n_head", "n_embd", "block_size", "vocab_size", "bias")
    if all(hasattr(config, member) for member in members):
        return {"model_type": "nanogpt", **{member: getattr(config, member) for member in members}}
    raise ValueError(f"{type(module).__name__} is of no family that is known by its class; say config= or map= (see "
                     "lib/checkpoint/FAMILIES.md), or use the generic operators: basin.eigenpairs(hvp, size, ...)")


def _layer_config(torch, layer):
    attention, functional = layer.self_attn, torch.nn.functional
    names = {functional.relu: "relu", functional.gelu: "gelu"}
    activation = names.get(layer.activation) or {"ReLU": "relu", "GELU": "gelu"}.get(type(layer.activation).__name__)
    if activation is None or getattr(layer.activation, "approximate", "none") != "none":
        raise ValueError(f"activation {layer.activation!r}: expected relu or gelu")
    if attention.add_zero_attn or attention.bias_k is not None:
        raise ValueError("add_zero_attn, add_bias_kv: not known; say map=")
    return {"d_model": attention.embed_dim, "nhead": attention.num_heads, "dim_feedforward": layer.linear1.out_features,
            "activation": activation, "norm_first": layer.norm_first, "layer_norm_eps": layer.norm1.eps,
            "bias": layer.linear1.bias is not None, "batch_first": attention.batch_first}


def _loss_name(torch, loss, targets):
    """The word of `checkpoint` for a loss."""
    if loss is None or isinstance(loss, str):
        labels = _array(targets).dtype.kind in "iu"
        return loss or ("cross-entropy" if labels else "squared")
    nn = torch.nn
    known = {nn.CrossEntropyLoss: "cross-entropy", nn.MSELoss: "mse"}
    if type(loss) not in known or loss.reduction not in ("mean", "sum"):
        raise ValueError(f"loss: found {loss!r}, expected nn.CrossEntropyLoss or nn.MSELoss with a mean or a sum, or a word")
    if isinstance(loss, nn.CrossEntropyLoss) and (loss.weight is not None or loss.label_smoothing or loss.ignore_index >= 0):
        raise ValueError("loss: weights of classes, label smoothing and an ignore_index from 0 are not known")
    return known[type(loss)] + (":sum" if loss.reduction == "sum" else "")  # mse:sum: without 1/2


def _outputs_of(torch, module):
    """How the outputs of a module of this kind are had."""
    if isinstance(module, (torch.nn.TransformerEncoder, torch.nn.TransformerEncoderLayer)):
        def encode(of, x, mask):
            first = module.layers[0] if isinstance(module, torch.nn.TransformerEncoder) else module
            if not first.self_attn.batch_first:
                x = x.transpose(0, 1)
            y = of(x, src_key_padding_mask=None if mask is None else ~mask)
            return y if first.self_attn.batch_first else y.transpose(0, 1)
        return encode
    if hasattr(getattr(module, "config", None), "to_dict"):
        return lambda of, x, mask: of(x, **({} if mask is None else {"attention_mask": mask.long()})).logits
    if hasattr(getattr(module, "config", None), "block_size"):
        # nanoGPT makes the logits of all tokens only beside targets.
        return lambda of, x, mask: of(x, x)[0]
    return lambda of, x, mask: of(x)


def _own_loss(torch, module, inputs, targets, mask, loss, outputs):
    """The loss that the module itself computes, and the length of its gradient, in float64."""
    import copy
    own = copy.deepcopy(module).cpu().double()
    inputs, targets = torch.as_tensor(_array(inputs)), torch.as_tensor(_array(targets))
    inputs = inputs.double() if inputs.is_floating_point() else inputs.long()
    mask = None if mask is None else torch.as_tensor(_array(mask)).bool()
    made = outputs(own, inputs, mask)  # with gradients: without them some modules take shortcuts
    kind, _, average = loss.partition(":")
    if kind == "cross-entropy":
        labels = targets.long()
        if mask is not None and labels.ndim == mask.ndim:
            labels = labels.masked_fill(~mask, -1)
        rows = made.reshape(-1, made.shape[-1])
        counted = labels.reshape(-1) >= 0
        each = torch.nn.functional.cross_entropy(rows[counted], labels.reshape(-1)[counted], reduction="none")
        count = {"": len(each), "rows": len(each), "sum": 1}.get(average)
        if count is None:
            samples = counted.reshape(made.shape[0], -1).any(1).sum().item()
            count = {"samples": samples}.get(average)
        total = each.sum()
    else:
        square = (made - targets.double()) ** 2
        real = torch.ones(made.shape[:-1], dtype=torch.bool) if mask is None or mask.shape != made.shape[:-1] else mask
        square = square[real]
        total = square.sum() / (2 if kind == "squared" else 1)
        by_default = "sum" if kind == "squared" else "elements"
        count = {"sum": 1, "elements": square.numel(), "rows": int(real.sum()),
                 "samples": int(real.reshape(len(real), -1).any(1).sum())}.get(average or by_default)
    if not count:
        raise ValueError(f"loss: found {loss!r}, of which the module's own value is not known here")
    total = total / count
    trained = [parameter for parameter in own.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(total, trained, allow_unused=True) if trained else ()
    return total.item(), sum((g ** 2).sum().item() for g in gradients if g is not None) ** 0.5
