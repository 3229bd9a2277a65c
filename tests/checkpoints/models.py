"""The model families, written from their public definitions as functions of a dictionary of tensors.

Every family has two functions of its config.json:
  shapes(config)                               parameter names (canonical, as the family's own code names them) and shapes
  forward(config, tensors, inputs, mask, types) outputs: (N, n, V), (N, classes) or (N, n, D)
mask is (N, n) with 1 for real tokens, or None; types are token type ids, or None.
"""
import math
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.stateless import functional_call

relu_margins = []


def relu(x):
    """ReLU that notes how near its arguments are to the kink: smallest over largest absolute value."""
    a = x.detach().abs()
    relu_margins.append(float(a.min() / a.max()))
    return F.relu(x)


def gelu_tanh(x):
    """The GELU of GPT-2: gelu_new."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


ACTIVATIONS = {"relu": relu, "gelu": F.gelu, "gelu_new": gelu_tanh, "silu": F.silu}


class Part:
    """The tensors of one module: those whose names begin with a prefix."""

    def __init__(self, tensors, prefix=""):
        self.tensors, self.prefix = tensors, prefix

    def __getitem__(self, name):
        return self.tensors[self.prefix + name]

    def below(self, name):
        return Part(self.tensors, self.prefix + name)

    def bias(self, name):
        return self.tensors.get(self.prefix + name + ".bias")

    def linear(self, name, x):
        return F.linear(x, self[name + ".weight"], self.bias(name))

    def conv1d(self, name, x):
        """Hugging Face's Conv1D: a linear layer whose weight is (in, out)."""
        return x @ self[name + ".weight"] + self.bias(name)

    def layer_norm(self, name, x, eps):
        return F.layer_norm(x, x.shape[-1:], self[name + ".weight"], self.bias(name), eps)

    def rms_norm(self, name, x, eps):
        return self[name + ".weight"] * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


def linear_shapes(name, outputs, inputs, bias=True):
    return {name + ".weight": (outputs, inputs), **({name + ".bias": (outputs,)} if bias else {})}


def norm_shapes(name, width, bias=True):
    return {name + ".weight": (width,), **({name + ".bias": (width,)} if bias else {})}


def heads(x, count):
    """(N, n, count * d) to (N, count, n, d)."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def join_heads(x):
    """(N, H, n, d) to (N, n, H * d)."""
    return x.transpose(1, 2).flatten(2)


def attend(q, k, v, allowed=None):
    """Softmax attention with scale 1 / sqrt(d); allowed, broadcast to (N, H, n, n), is true where a query sees a key."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    return join_heads(scores.softmax(-1) @ v)


def visible(n, mask, causal):
    """The pairs (query, key) that attention may use, or None for all."""
    allowed = torch.ones(n, n, dtype=torch.bool).tril()[None, None] if causal else None
    if mask is not None:
        keys = (mask != 0)[:, None, None, :]
        allowed = keys if allowed is None else allowed & keys
    return allowed


# --- torch.nn.TransformerEncoder ---------------------------------------------------------------------------------------------------

torch_modules = {}


def torch_module(config):
    """The encoder with the config's constructor arguments, in training mode (no fast path) with dropout 0."""
    key = repr(config)
    if key not in torch_modules:
        torch_modules[key] = new_torch_module(config)
    return torch_modules[key]


def new_torch_module(config):
    layer = nn.TransformerEncoderLayer(config["d_model"], config["nhead"], config["dim_feedforward"], dropout=0.0,
                                       activation=ACTIVATIONS[config["activation"]], layer_norm_eps=config["layer_norm_eps"],
                                       batch_first=config["batch_first"], norm_first=config["norm_first"])
    norm = nn.LayerNorm(config["d_model"], config["layer_norm_eps"]) if config["final_norm"] else None
    return nn.TransformerEncoder(layer, config["num_layers"], norm).double()


def torch_shapes(config):
    out = {config.get("prefix", "") + k: tuple(v.shape) for k, v in torch_module(config).state_dict().items()}
    if "num_classes" in config:
        out.update(linear_shapes("classifier", config["num_classes"], config["d_model"]))
    return out


def torch_forward(config, tensors, inputs, mask, types):
    prefix = config.get("prefix", "")
    own = {k[len(prefix):]: v for k, v in tensors.items() if k.startswith(prefix) and not k.startswith("classifier.")}
    padding = None if mask is None else mask == 0
    x = functional_call(torch_module(config), own, (inputs,), {"src_key_padding_mask": padding})
    if mask is not None:
        x = x * mask[..., None]
    if "num_classes" not in config:
        return x
    count = x.shape[1] if mask is None else mask.sum(1, keepdim=True)
    return Part(tensors).linear("classifier", x.sum(1) / count)


# --- nanoGPT and GPT-2 -------------------------------------------------------------------------------------------------------------

def nanogpt_shapes(config):
    e, bias = config["n_embd"], config["bias"]
    out = {"transformer.wte.weight": (config["vocab_size"], e), "transformer.wpe.weight": (config["block_size"], e)}
    for i in range(config["n_layer"]):
        h = "transformer.h.%d." % i
        out.update({**norm_shapes(h + "ln_1", e, bias), **linear_shapes(h + "attn.c_attn", 3 * e, e, bias),
                    **linear_shapes(h + "attn.c_proj", e, e, bias), **norm_shapes(h + "ln_2", e, bias),
                    **linear_shapes(h + "mlp.c_fc", 4 * e, e, bias), **linear_shapes(h + "mlp.c_proj", e, 4 * e, bias)})
    return {**out, **norm_shapes("transformer.ln_f", e, bias)}


def gpt_body(part, tokens, mask, layers, head_count, eps, activation, apply):
    """The hidden states of a GPT; apply(part, name, x) is its linear layer."""
    n = tokens.shape[1]
    x = part["wte.weight"][tokens] + part["wpe.weight"][:n]
    allowed = visible(n, mask, causal=True)
    for i in range(layers):
        p = part.below("h.%d." % i)
        q, k, v = apply(p, "attn.c_attn", p.layer_norm("ln_1", x, eps)).chunk(3, -1)
        x = x + apply(p, "attn.c_proj", attend(heads(q, head_count), heads(k, head_count), heads(v, head_count), allowed))
        x = x + apply(p, "mlp.c_proj", activation(apply(p, "mlp.c_fc", p.layer_norm("ln_2", x, eps))))
    return part.layer_norm("ln_f", x, eps)


def nanogpt_forward(config, tensors, inputs, mask, types):
    part = Part(tensors, "transformer.")
    x = gpt_body(part, inputs, mask, config["n_layer"], config["n_head"], 1e-5, F.gelu, Part.linear)
    return x @ part["wte.weight"].T


def gpt2_shapes(config):
    e, inner = config["n_embd"], config["n_inner"] or 4 * config["n_embd"]
    out = {"transformer.wte.weight": (config["vocab_size"], e), "transformer.wpe.weight": (config["n_positions"], e)}
    for i in range(config["n_layer"]):
        h = "transformer.h.%d." % i
        out.update({**norm_shapes(h + "ln_1", e), h + "attn.c_attn.weight": (e, 3 * e), h + "attn.c_attn.bias": (3 * e,),
                    h + "attn.c_proj.weight": (e, e), h + "attn.c_proj.bias": (e,), **norm_shapes(h + "ln_2", e),
                    h + "mlp.c_fc.weight": (e, inner), h + "mlp.c_fc.bias": (inner,),
                    h + "mlp.c_proj.weight": (inner, e), h + "mlp.c_proj.bias": (e,)})
    out.update(norm_shapes("transformer.ln_f", e))
    if not config.get("tie_word_embeddings", True):
        out["lm_head.weight"] = (config["vocab_size"], e)
    return out


def gpt2_forward(config, tensors, inputs, mask, types):
    part = Part(tensors, "transformer.")
    x = gpt_body(part, inputs, mask, config["n_layer"], config["n_head"], config["layer_norm_epsilon"],
                 ACTIVATIONS[config["activation_function"]], Part.conv1d)
    return x @ (part["wte.weight"] if config.get("tie_word_embeddings", True) else tensors["lm_head.weight"]).T


# --- BERT --------------------------------------------------------------------------------------------------------------------------

def bert_shapes(config):
    e, f, head = config["hidden_size"], config["intermediate_size"], config["architectures"][0]
    emb = "bert.embeddings."
    out = {emb + "word_embeddings.weight": (config["vocab_size"], e),
           emb + "position_embeddings.weight": (config["max_position_embeddings"], e),
           emb + "token_type_embeddings.weight": (config["type_vocab_size"], e), **norm_shapes(emb + "LayerNorm", e)}
    for i in range(config["num_hidden_layers"]):
        p = "bert.encoder.layer.%d." % i
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            out.update(linear_shapes(p + name, e, e))
        out.update({**norm_shapes(p + "attention.output.LayerNorm", e), **linear_shapes(p + "intermediate.dense", f, e),
                    **linear_shapes(p + "output.dense", e, f), **norm_shapes(p + "output.LayerNorm", e)})
    if head == "BertForMaskedLM":
        out.update({"cls.predictions.bias": (config["vocab_size"],), **linear_shapes("cls.predictions.transform.dense", e, e),
                    **norm_shapes("cls.predictions.transform.LayerNorm", e)})
        if not config.get("tie_word_embeddings", True):
            out["cls.predictions.decoder.weight"] = (config["vocab_size"], e)
        return out
    if head == "BertForSequenceClassification":
        out.update(linear_shapes("bert.pooler.dense", e, e))
    return {**out, **linear_shapes("classifier", len(config["id2label"]), e)}


def bert_forward(config, tensors, inputs, mask, types):
    part, eps, count = Part(tensors, "bert."), config["layer_norm_eps"], config["num_attention_heads"]
    emb, n = part.below("embeddings."), inputs.shape[1]
    types = torch.zeros_like(inputs) if types is None else types
    x = emb["word_embeddings.weight"][inputs] + emb["position_embeddings.weight"][:n] + emb["token_type_embeddings.weight"][types]
    x = emb.layer_norm("LayerNorm", x, eps)
    allowed = visible(n, mask, causal=False)
    act = ACTIVATIONS[config["hidden_act"]]
    for i in range(config["num_hidden_layers"]):
        p = part.below("encoder.layer.%d." % i)
        q, k, v = (heads(p.linear("attention.self." + s, x), count) for s in ("query", "key", "value"))
        x = p.layer_norm("attention.output.LayerNorm", x + p.linear("attention.output.dense", attend(q, k, v, allowed)), eps)
        x = p.layer_norm("output.LayerNorm", x + p.linear("output.dense", act(p.linear("intermediate.dense", x))), eps)
    head, top = config["architectures"][0], Part(tensors)
    if head == "BertForMaskedLM":
        h = top.layer_norm("cls.predictions.transform.LayerNorm", act(top.linear("cls.predictions.transform.dense", x)), eps)
        tied = config.get("tie_word_embeddings", True)
        matrix = emb["word_embeddings.weight"] if tied else tensors["cls.predictions.decoder.weight"]
        return h @ matrix.T + tensors["cls.predictions.bias"]
    if head == "BertForSequenceClassification":
        x = torch.tanh(part.linear("pooler.dense", x[:, 0]))
    return top.linear("classifier", x)


# --- Vision Transformers -----------------------------------------------------------------------------------------------------------

def pair(size):
    return tuple(size) if isinstance(size, (list, tuple)) else (size, size)


def patch_tokens(part, conv, cls, positions, images):
    """Patches row by row, after them the class token goes to the front and positions are added to all."""
    weight = part[conv + ".weight"]
    x = F.conv2d(images, weight, part.bias(conv), stride=weight.shape[-2:]).flatten(2).transpose(1, 2)
    return torch.cat([part[cls].expand(len(x), -1, -1), x], 1) + part[positions]


def vit_shapes(config):
    e, f = config["hidden_size"], config["intermediate_size"]
    (h, w), (a, b) = pair(config["image_size"]), pair(config["patch_size"])
    emb = "vit.embeddings."
    out = {emb + "cls_token": (1, 1, e), emb + "position_embeddings": (1, (h // a) * (w // b) + 1, e),
           emb + "patch_embeddings.projection.weight": (e, config["num_channels"], a, b), emb + "patch_embeddings.projection.bias": (e,)}
    for i in range(config["num_hidden_layers"]):
        p = "vit.encoder.layer.%d." % i
        for name in ("query", "key", "value"):
            out.update(linear_shapes(p + "attention.attention." + name, e, e, config["qkv_bias"]))
        out.update({**linear_shapes(p + "attention.output.dense", e, e), **linear_shapes(p + "intermediate.dense", f, e),
                    **linear_shapes(p + "output.dense", e, f), **norm_shapes(p + "layernorm_before", e),
                    **norm_shapes(p + "layernorm_after", e)})
    return {**out, **norm_shapes("vit.layernorm", e), **linear_shapes("classifier", len(config["id2label"]), e)}


def vit_forward(config, tensors, inputs, mask, types):
    part, eps, count = Part(tensors, "vit."), config["layer_norm_eps"], config["num_attention_heads"]
    x = patch_tokens(part.below("embeddings."), "patch_embeddings.projection", "cls_token", "position_embeddings", inputs)
    act = ACTIVATIONS[config["hidden_act"]]
    for i in range(config["num_hidden_layers"]):
        p = part.below("encoder.layer.%d." % i)
        y = p.layer_norm("layernorm_before", x, eps)
        q, k, v = (heads(p.linear("attention.attention." + s, y), count) for s in ("query", "key", "value"))
        x = x + p.linear("attention.output.dense", attend(q, k, v))
        x = x + p.linear("output.dense", act(p.linear("intermediate.dense", p.layer_norm("layernorm_after", x, eps))))
    return Part(tensors).linear("classifier", part.layer_norm("layernorm", x, eps)[:, 0])


def timm_shapes(config):
    a = config["model_args"]
    e, inner, p = a["embed_dim"], int(a["embed_dim"] * a["mlp_ratio"]), a["patch_size"]
    (h, w), bias = pair(a["img_size"]), a.get("qkv_bias", True)
    out = {"cls_token": (1, 1, e), "pos_embed": (1, (h // p) * (w // p) + 1, e), "patch_embed.proj.weight": (e, a["in_chans"], p, p),
           "patch_embed.proj.bias": (e,)}
    for i in range(a["depth"]):
        b = "blocks.%d." % i
        out.update({**norm_shapes(b + "norm1", e), **linear_shapes(b + "attn.qkv", 3 * e, e, bias), **linear_shapes(b + "attn.proj", e, e),
                    **norm_shapes(b + "norm2", e), **linear_shapes(b + "mlp.fc1", inner, e), **linear_shapes(b + "mlp.fc2", e, inner)})
    return {**out, **norm_shapes("norm", e), **linear_shapes("head", config["num_classes"], e)}


def timm_forward(config, tensors, inputs, mask, types):
    part, eps, count = Part(tensors), 1e-6, config["model_args"]["num_heads"]
    x = patch_tokens(part, "patch_embed.proj", "cls_token", "pos_embed", inputs)
    for i in range(config["model_args"]["depth"]):
        p = part.below("blocks.%d." % i)
        q, k, v = (heads(s, count) for s in p.linear("attn.qkv", p.layer_norm("norm1", x, eps)).chunk(3, -1))
        x = x + p.linear("attn.proj", attend(q, k, v))
        x = x + p.linear("mlp.fc2", F.gelu(p.linear("mlp.fc1", p.layer_norm("norm2", x, eps))))
    return part.linear("head", part.layer_norm("norm", x, eps)[:, 0])


# --- Skyformer (LRA) ---------------------------------------------------------------------------------------------------------------

def skyformer_shapes(config):
    e, f, inner = config["transformer_dim"], config["transformer_hidden_dim"], config["num_head"] * config["head_dim"]
    out = {"model.embeddings.word_embeddings.weight": (config["vocab_size"], e),
           "model.embeddings.position_embeddings.weight": (config["max_seq_len"], e)}
    for i in range(config["num_layers"]):
        p = "model.transformer_%d." % i
        out.update({**norm_shapes(p + "norm1", e), **norm_shapes(p + "norm2", e), **linear_shapes(p + "mha.ff", e, inner),
                    **linear_shapes(p + "mlpblock.0", f, e), **linear_shapes(p + "mlpblock.3", e, f)})
        for name in ("W_q", "W_k", "W_v"):
            out.update(linear_shapes(p + "mha." + name, inner, e))
    return {**out, **norm_shapes("model.norm", e), **linear_shapes("seq_classifer.mlpblock.0", f, e),
            **linear_shapes("seq_classifer.mlpblock.2", config["num_classes"], f)}


def skyformer_attention(q, k, v, mask, kind):
    """softmax: scores minus 1e6 (1 - mask); kernelized: the Gaussian kernel exp(-|q - k|^2 / (2 sqrt d)), not normalised."""
    root = math.sqrt(q.shape[-1])
    m = torch.ones(len(q), q.shape[2], dtype=q.dtype) if mask is None else mask.to(q.dtype)
    if kind == "softmax":
        weights = (q @ k.transpose(-1, -2) / root - 1e6 * (1 - m[:, None, None, :])).softmax(-1)
    else:
        weights = torch.exp(-(q[:, :, :, None] - k[:, :, None]).pow(2).sum(-1) / (2 * root)) * m[:, None, None, :]
    return join_heads(weights @ v)


def skyformer_forward(config, tensors, inputs, mask, types):
    part, top, count = Part(tensors, "model."), Part(tensors), config["num_head"]
    x = part["embeddings.word_embeddings.weight"][inputs] + part["embeddings.position_embeddings.weight"][:inputs.shape[1]]
    for i in range(config["num_layers"]):
        p = part.below("transformer_%d." % i)
        y = p.layer_norm("norm1", x, 1e-5)
        q, k, v = (heads(p.linear("mha." + s, y), count) for s in ("W_q", "W_k", "W_v"))
        x = x + p.linear("mha.ff", skyformer_attention(q, k, v, mask, config["attn_type"]))
        x = x + p.linear("mlpblock.3", F.gelu(p.linear("mlpblock.0", p.layer_norm("norm2", x, 1e-5))))
    x = part.layer_norm("norm", x, 1e-5)
    z = (x if mask is None else x * mask[..., None]).mean(1)
    return top.linear("seq_classifer.mlpblock.2", relu(top.linear("seq_classifer.mlpblock.0", z)))


# --- Llama, Qwen2, GPT-NeoX --------------------------------------------------------------------------------------------------------

def rotate(x, dims, base):
    """Rotary positions on the first dims features of every head; feature i is paired with i + dims / 2."""
    frequency = base ** (-torch.arange(0, dims, 2, dtype=torch.float64) / dims)
    angle = torch.outer(torch.arange(x.shape[-2], dtype=torch.float64), frequency)
    cos, sin = (torch.cat([f(angle), f(angle)], -1) for f in (torch.cos, torch.sin))
    turned, rest = x[..., :dims], x[..., dims:]
    a, b = turned.chunk(2, -1)
    return torch.cat([turned * cos + torch.cat([-b, a], -1) * sin, rest], -1)


def llama_sizes(config):
    count = config["num_attention_heads"]
    return count, config.get("num_key_value_heads") or count, config.get("head_dim") or config["hidden_size"] // count


def llama_shapes(config):
    e, f = config["hidden_size"], config["intermediate_size"]
    count, kv, d = llama_sizes(config)
    qwen = config["model_type"] == "qwen2"
    bias, mlp_bias = qwen or config.get("attention_bias", False), config.get("mlp_bias", False)
    out = {"model.embed_tokens.weight": (config["vocab_size"], e)}
    for i in range(config["num_hidden_layers"]):
        p = "model.layers.%d." % i
        out.update({**norm_shapes(p + "input_layernorm", e, False), **norm_shapes(p + "post_attention_layernorm", e, False),
                    **linear_shapes(p + "self_attn.q_proj", count * d, e, bias), **linear_shapes(p + "self_attn.k_proj", kv * d, e, bias),
                    **linear_shapes(p + "self_attn.v_proj", kv * d, e, bias),
                    **linear_shapes(p + "self_attn.o_proj", e, count * d, bias and not qwen),
                    **linear_shapes(p + "mlp.gate_proj", f, e, mlp_bias), **linear_shapes(p + "mlp.up_proj", f, e, mlp_bias),
                    **linear_shapes(p + "mlp.down_proj", e, f, mlp_bias)})
    out.update(norm_shapes("model.norm", e, False))
    return out if config["tie_word_embeddings"] else {**out, "lm_head.weight": (config["vocab_size"], e)}


def llama_forward(config, tensors, inputs, mask, types):
    part, eps, (count, kv, d) = Part(tensors, "model."), config["rms_norm_eps"], llama_sizes(config)
    x, act = part["embed_tokens.weight"][inputs], ACTIVATIONS[config["hidden_act"]]
    allowed = visible(inputs.shape[1], mask, causal=True)
    for i in range(config["num_hidden_layers"]):
        p = part.below("layers.%d." % i)
        y = p.rms_norm("input_layernorm", x, eps)
        q = rotate(heads(p.linear("self_attn.q_proj", y), count), d, config["rope_theta"])
        k = rotate(heads(p.linear("self_attn.k_proj", y), kv), d, config["rope_theta"]).repeat_interleave(count // kv, 1)
        v = heads(p.linear("self_attn.v_proj", y), kv).repeat_interleave(count // kv, 1)
        x = x + p.linear("self_attn.o_proj", attend(q, k, v, allowed))
        y = p.rms_norm("post_attention_layernorm", x, eps)
        x = x + p.linear("mlp.down_proj", act(p.linear("mlp.gate_proj", y)) * p.linear("mlp.up_proj", y))
    x = part.rms_norm("norm", x, eps)
    return x @ (part["embed_tokens.weight"] if config["tie_word_embeddings"] else tensors["lm_head.weight"]).T


def neox_shapes(config):
    e, f = config["hidden_size"], config["intermediate_size"]
    out = {"gpt_neox.embed_in.weight": (config["vocab_size"], e)}
    for i in range(config["num_hidden_layers"]):
        p = "gpt_neox.layers.%d." % i
        out.update({**norm_shapes(p + "input_layernorm", e), **norm_shapes(p + "post_attention_layernorm", e),
                    **linear_shapes(p + "attention.query_key_value", 3 * e, e), **linear_shapes(p + "attention.dense", e, e),
                    **linear_shapes(p + "mlp.dense_h_to_4h", f, e), **linear_shapes(p + "mlp.dense_4h_to_h", e, f)})
    out.update(norm_shapes("gpt_neox.final_layer_norm", e))
    return out if config["tie_word_embeddings"] else {**out, "embed_out.weight": (config["vocab_size"], e)}


def neox_forward(config, tensors, inputs, mask, types):
    part, eps, count = Part(tensors, "gpt_neox."), config["layer_norm_eps"], config["num_attention_heads"]
    x, act = part["embed_in.weight"][inputs], ACTIVATIONS[config["hidden_act"]]
    dims = int(config["hidden_size"] // count * config["rotary_pct"])
    allowed = visible(inputs.shape[1], mask, causal=True)
    for i in range(config["num_hidden_layers"]):
        p = part.below("layers.%d." % i)
        fused = p.linear("attention.query_key_value", p.layer_norm("input_layernorm", x, eps))
        q, k, v = heads(fused, count).chunk(3, -1)
        q, k = (rotate(s, dims, config["rotary_emb_base"]) for s in (q, k))
        attended = p.linear("attention.dense", attend(q, k, v, allowed))
        source = x if config["use_parallel_residual"] else x + attended
        inner = act(p.linear("mlp.dense_h_to_4h", p.layer_norm("post_attention_layernorm", source, eps)))
        x = x + attended + p.linear("mlp.dense_4h_to_h", inner)
    x = part.layer_norm("final_layer_norm", x, eps)
    return x @ (part["embed_in.weight"] if config["tie_word_embeddings"] else tensors["embed_out.weight"]).T


# --- a model as lectures write it --------------------------------------------------------------------------------------------------

def lecture_shapes(config):
    e, count, v = config["n_embd"], config["n_head"], config["vocab_size"]
    out = {"token_embedding_table.weight": (v, e), "position_embedding_table.weight": (config["block_size"], e)}
    for i in range(config["n_layer"]):
        b = "blocks.%d." % i
        for h in range(count):
            for name in ("key", "query", "value"):
                out[b + "sa.heads.%d.%s.weight" % (h, name)] = (e // count, e)
        out.update({**linear_shapes(b + "sa.proj", e, e), **linear_shapes(b + "ffwd.net.0", 4 * e, e),
                    **linear_shapes(b + "ffwd.net.2", e, 4 * e), **norm_shapes(b + "ln1", e), **norm_shapes(b + "ln2", e)})
    return {**out, **norm_shapes("ln_f", e), **linear_shapes("lm_head", v, e)}


def lecture_forward(config, tensors, inputs, mask, types):
    part, n = Part(tensors), inputs.shape[1]
    x = part["token_embedding_table.weight"][inputs] + part["position_embedding_table.weight"][:n]
    for i in range(config["n_layer"]):
        p = part.below("blocks.%d." % i)
        y, parts = p.layer_norm("ln1", x, 1e-5), []
        for h in range(config["n_head"]):
            head = p.below("sa.heads.%d." % h)
            q, k, v = (head.linear(s, y)[:, None] for s in ("query", "key", "value"))
            parts.append(attend(q, k, v, visible(n, mask, causal=True)))
        x = x + p.linear("sa.proj", torch.cat(parts, -1))
        x = x + p.linear("ffwd.net.2", relu(p.linear("ffwd.net.0", p.layer_norm("ln2", x, 1e-5))))
    return part.linear("lm_head", part.layer_norm("ln_f", x, 1e-5))


FAMILIES = {"torch_transformer_encoder": (torch_shapes, torch_forward), "nanogpt": (nanogpt_shapes, nanogpt_forward),
            "gpt2": (gpt2_shapes, gpt2_forward), "bert": (bert_shapes, bert_forward), "vit": (vit_shapes, vit_forward),
            "timm": (timm_shapes, timm_forward), "skyformer": (skyformer_shapes, skyformer_forward), "llama": (llama_shapes, llama_forward),
            "qwen2": (llama_shapes, llama_forward), "gpt_neox": (neox_shapes, neox_forward), "lecture": (lecture_shapes, lecture_forward)}


def family_of(config):
    """The key of FAMILIES; timm's configs have no model_type."""
    return config.get("model_type", "timm")


def shapes(config):
    return FAMILIES[family_of(config)][0](config)


def forward(config, tensors, inputs, mask=None, types=None):
    return FAMILIES[family_of(config)][1](config, tensors, inputs, mask, types)
