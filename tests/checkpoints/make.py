#!/usr/bin/python3
"""Makes the checkpoints in cases/, and PyTorch's answers to what the tools say of them; needs PyTorch (1.13 will do).

  make.py                 all cases, anew
  make.py NAME ...        some of them

The tests need none of this: what is made is kept. A folder holds model.safetensors (or shards and their index), config.json,
inputs.npy, targets.npy, where there are some mask.npy and token_type_ids.npy, and answers.npz: the names of its parameters
(`trainable`), and, flat and in that order, gradient, direction, hessian_product, gauss_newton_product and vjp; loss, accuracy,
outputs, jvp and cotangent. Parameters are rounded to the stored type first; answers are float64, of the rounded values. They are
checked against differences before they are written.
"""

import argparse
import json
import pathlib
import re
import shutil

import answers
import models
import numpy as np
import safetensors_io
import torch

CASES = pathlib.Path(__file__).parent / "cases"
NAMES = {torch.bool: "BOOL", torch.uint8: "U8", torch.int64: "I64", torch.float16: "F16", torch.bfloat16: "BF16",
         torch.float32: "F32", torch.float64: "F64"}
GAIN = re.compile(r"(ln_?[12f]|norm[12]?|layernorm_before|layernorm_after)\.weight$", re.IGNORECASE)
TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def labels(count):
    """The keys by which Hugging Face configs tell the number of classes."""
    return {"id2label": {str(i): "LABEL_%d" % i for i in range(count)}, "label2id": {"LABEL_%d" % i: i for i in range(count)}}


def torch_config(**keys):
    return {"model_type": "torch_transformer_encoder", "batch_first": True, "layer_norm_eps": 1e-5, **keys}


def gpt2_config(**keys):
    return {"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 0,
            "embd_pdrop": 0.1, "eos_token_id": 0, "initializer_range": 0.02, "layer_norm_epsilon": 1e-5, "model_type": "gpt2",
            "n_inner": None, "reorder_and_upcast_attn": False, "resid_pdrop": 0.1, "scale_attn_by_inverse_layer_idx": False,
            "scale_attn_weights": True, "summary_activation": None, "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
            "summary_type": "cls_index", "summary_use_proj": True, "torch_dtype": "float16", "transformers_version": "4.44.0",
            "use_cache": True, **keys}


def bert_config(head, **keys):
    return {"architectures": [head], "attention_probs_dropout_prob": 0.1, "classifier_dropout": None, "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "model_type": "bert", "pad_token_id": 0,
            "position_embedding_type": "absolute", "transformers_version": "4.44.0", "type_vocab_size": 2, "use_cache": True, **keys}


def llama_config(kind, **keys):
    return {"architectures": [kind + "ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
            "initializer_range": 0.02, "model_type": kind.lower(), "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "torch_dtype": "float32",
            "transformers_version": "4.44.0", "use_cache": True, **keys}


def neox_config(**keys):
    return {"architectures": ["GPTNeoXForCausalLM"], "attention_bias": True, "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu",
            "hidden_size": 16, "initializer_range": 0.02, "layer_norm_eps": 1e-5, "max_position_embeddings": 16, "model_type": "gpt_neox",
            "num_attention_heads": 2, "num_hidden_layers": 1, "rope_scaling": None, "rotary_emb_base": 10000, "torch_dtype": "float16",
            "transformers_version": "4.44.0", "use_cache": True, **keys}


def lower_triangle(size, kind):
    return torch.ones(size, size).tril().to(kind).view(1, 1, size, size)


def layer_buffers(pattern, layers, tensor):
    return {pattern % i: tensor for i in range(layers)}


def inverse_frequencies(dims, base):
    return (1.0 / base ** (torch.arange(0, dims, 2).double() / dims)).float()


def rows(*texts):
    """A mask from strings of 0 and 1."""
    return np.array([[int(c) for c in t] for t in texts], dtype=np.int64)


class Case:
    """What a folder is made from.

    data: function of (config, generator) giving a dictionary with inputs, targets, and perhaps mask and types
    stored: function from canonical to stored names; dtype: a name, or a list of names that the tensors take in turn
    buffers: stored name -> tensor; copies: stored name of a second copy -> stored name of the parameter; shards: number of files
    """

    def __init__(self, name, about, config, data, seed, dtype="F32", stored=lambda k: k, buffers=None, copies=None, shards=1,
                 write_config=True):
        self.name, self.about, self.config, self.data, self.seed = name, about, config, data, seed
        self.dtype, self.stored, self.shards, self.write_config = dtype, stored, shards, write_config
        self.buffers, self.copies = buffers or {}, copies or {}


def features(masked, classes=None, mask=None):
    """Float inputs (N, n, D) with float targets, or labels where classes is given."""
    def make(config, g):
        count, n = mask.shape if masked else (3, 5)
        x = g.normal(size=(count, n, config["d_model"]))
        y = g.normal(size=x.shape) if classes is None else np.arange(count) % classes
        return {"inputs": x, "targets": y, **({"mask": mask} if masked else {})}
    return make


def language(count, n, ids=np.int64, mask=None, ignored=(), last=False, ignore=-100):
    """Token ids and the ids that follow them; targets at masked places, at the listed (sample, place) pairs, or at the last are ignored."""
    def make(config, g):
        text = g.integers(0, config["vocab_size"], size=(count, n + 1))
        y = text[:, 1:].astype(np.int64)
        for place in ignored:
            y[place] = ignore
        if last:
            y[:, -1] = ignore
        if mask is not None:
            y[mask == 0] = ignore
        return {"inputs": text[:, :n].astype(ids), "targets": y, **({"mask": mask} if mask is not None else {})}
    return make


def masked_language(mask, places, with_types=True):
    """BERT's task: targets are the ids themselves at a few places, elsewhere -100; padding has id 0."""
    def make(config, g):
        ids = g.integers(1, config["vocab_size"], size=mask.shape) * mask
        y = np.full(mask.shape, -100, dtype=np.int64)
        for place in places:
            y[place] = g.integers(1, config["vocab_size"])
        types = np.where(np.arange(mask.shape[1]) >= 3, 1, 0) * mask
        return {"inputs": ids, "targets": y, "mask": mask, **({"types": types} if with_types else {})}
    return make


def token_labels(mask, classes):
    def make(config, g):
        ids = g.integers(1, config["vocab_size"], size=mask.shape) * mask
        y = g.integers(0, classes, size=mask.shape)
        y[mask == 0] = -100
        y[:, 0] = -100
        return {"inputs": ids, "targets": y, "mask": mask}
    return make


def images(count, channels, size, classes):
    def make(config, g):
        return {"inputs": g.normal(size=(count, channels, *size)), "targets": (np.arange(count) * 2 + 1) % classes}
    return make


def documents(mask, classes):
    """Skyformer's data: the mask is (id != 0)."""
    def make(config, g):
        ids = g.integers(1, config["vocab_size"], size=mask.shape) * mask
        return {"inputs": ids, "targets": np.arange(len(mask)) % classes, "mask": mask}
    return make


def old_bert_name(name):
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def cases():
    """All of them."""
    p = "_orig_mod."
    holes = rows("1111111", "1101100", "1010000")
    neox = "gpt_neox.layers.0.attention."
    return [
        Case("torch_post_relu_2_squared_masked",
             "nn.TransformerEncoder, 2 layers, post-norm, ReLU, no final norm; 1/2 sum |F - Y|^2 over the real tokens, outputs multiplied "
             "by the mask",
             torch_config(d_model=6, nhead=2, dim_feedforward=8, num_layers=2, activation="relu", norm_first=False, final_norm=False),
             features(True, mask=rows("11111", "11100", "11011", "10000")), 101),
        Case("torch_layer_alone",
             "the state dict of one nn.TransformerEncoderLayer, pre-norm, GELU, 4 heads; squared loss",
             torch_config(d_model=8, nhead=4, dim_feedforward=10, num_layers=1, activation="gelu", norm_first=True, final_norm=False),
             features(False), 102, dtype="F64", stored=lambda k: k.replace("layers.0.", "")),
        Case("torch_prefix_ce",
             "post-norm with final norm, eps 1e-3, mean over real tokens, classifier; names begin with _orig_mod.",
             torch_config(d_model=4, nhead=2, dim_feedforward=6, num_layers=2, activation="gelu", norm_first=False, final_norm=True,
                          layer_norm_eps=1e-3, prefix="encoder.", pooling="mean", num_classes=3),
             features(True, 3, rows("111111", "111100", "101010", "100000")), 103, stored=lambda k: p + k),
        Case("nanogpt_nobias",
             "nanoGPT without biases; lm_head.weight stored too; buffers attn.bias; uint16 tokens; targets -1 ignored",
             {"model_type": "nanogpt", "n_layer": 2, "n_head": 2, "n_embd": 4, "block_size": 6, "bias": False, "vocab_size": 9,
              "dropout": 0.2},
             language(4, 6, np.uint16, ignored=[(0, 0), (1, 4), (1, 5), (3, 2), (3, 3), (3, 4), (3, 5)], ignore=-1), 104,
             stored=lambda k: p + k, buffers=layer_buffers(p + "transformer.h.%d.attn.bias", 2, lower_triangle(6, torch.float32)),
             copies={p + "lm_head.weight": p + "transformer.wte.weight"}),
        Case("gpt2_hub",
             "GPT-2 as on the hub: no prefix, no lm_head, Conv1D, gelu_new, buffers; n_inner null; last target -100",
             gpt2_config(n_ctx=8, n_embd=4, n_head=2, n_layer=2, n_positions=8, vocab_size=10),
             language(3, 6, last=True), 105, dtype="F16", stored=lambda k: k[len("transformer."):],
             buffers={"h.0.attn.bias": lower_triangle(8, torch.bool), "h.1.attn.bias": lower_triangle(8, torch.uint8),
                      **layer_buffers("h.%d.attn.masked_bias", 2, torch.tensor(-1e4))}),
        Case("gpt2_sharded",
             "GPT-2 in 3 shards of mixed types; n_inner != 4 n_embd, erf GELU, untied lm_head, causal and padding mask with a hole, "
             "n = n_positions",
             gpt2_config(activation_function="gelu", n_ctx=7, n_embd=6, n_head=3, n_inner=10, n_layer=2, n_positions=7, vocab_size=9,
                         tie_word_embeddings=False, torch_dtype="float32"),
             language(3, 7, mask=holes), 106, dtype=["F64", "F32", "F16", "BF16"], shards=3),
        Case("bert_mlm_tied",
             "BertForMaskedLM, decoder tied and absent; I64 position_ids; two segments, padding; -100 but at masked places",
             bert_config("BertForMaskedLM", hidden_size=6, intermediate_size=10, max_position_embeddings=8, num_attention_heads=2,
                         num_hidden_layers=1, torch_dtype="bfloat16", vocab_size=12),
             masked_language(rows("1111111", "1111100", "1110000"), [(0, 1), (0, 4), (1, 3), (2, 1), (2, 2)]), 107, dtype="BF16",
             buffers={"bert.embeddings.position_ids": torch.arange(8)[None]}),
        Case("bert_mlm_untied",
             "BertForMaskedLM with its own decoder.weight; decoder.bias equal to predictions.bias; LayerNorm.gamma and beta",
             bert_config("BertForMaskedLM", hidden_size=4, intermediate_size=7, max_position_embeddings=6, num_attention_heads=2,
                         num_hidden_layers=2, tie_word_embeddings=False, torch_dtype="float32", vocab_size=10),
             masked_language(rows("111111", "111110", "110100"), [(0, 0), (0, 5), (1, 2), (1, 4), (2, 1)]), 108, stored=old_bert_name,
             copies={"cls.predictions.decoder.bias": "cls.predictions.bias"}),
        Case("bert_token",
             "BertForTokenClassification: no pooler, one label per token; first and padded tokens -100; no token types given",
             bert_config("BertForTokenClassification", hidden_size=6, intermediate_size=8, max_position_embeddings=9, num_attention_heads=3,
                         num_hidden_layers=1, torch_dtype="float32", vocab_size=11, **labels(4)),
             token_labels(rows("1111111", "1111000", "1100000"), 4), 109),
        Case("vit_hf",
             "ViTForImageClassification, 3 channels, 4 x 6 images in 2 x 2 patches, eps 1e-12",
             {"architectures": ["ViTForImageClassification"], "attention_probs_dropout_prob": 0.0, "encoder_stride": 16,
              "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "hidden_size": 6, "image_size": [4, 6], "initializer_range": 0.02,
              "intermediate_size": 8, "layer_norm_eps": 1e-12, "model_type": "vit", "num_attention_heads": 2, "num_channels": 3,
              "num_hidden_layers": 2, "patch_size": 2, "qkv_bias": True, "torch_dtype": "float32", "transformers_version": "4.44.0",
              **labels(4)},
             images(4, 3, (4, 6), 4), 110),
        Case("vit_timm_rgb",
             "timm ViT, RGB, 4 x 4 images in 2 x 2 patches, mlp_ratio 2.5",
             {"architecture": "vit_tiny_patch16_224", "num_classes": 5, "num_features": 4, "global_pool": "token",
              "model_args": {"img_size": 4, "patch_size": 2, "in_chans": 3, "embed_dim": 4, "depth": 2, "num_heads": 2, "mlp_ratio": 2.5}},
             images(5, 3, (4, 4), 5), 111),
        Case("skyformer_softmax",
             "Skyformer/LRA with softmax attention; mask with a hole; H * head_dim = 4 but E = 6; mean over all positions",
             {"model_type": "skyformer", "attn_type": "softmax", "learn_pos_emb": True, "tied_weights": False, "embedding_dim": 6,
              "transformer_dim": 6, "transformer_hidden_dim": 8, "head_dim": 2, "num_head": 2, "num_layers": 2, "vocab_size": 10,
              "max_seq_len": 8, "dropout_prob": 0.1, "attention_dropout": 0.1, "pooling_mode": "MEAN", "num_classes": 2},
             documents(rows("1111111", "1101110", "1111000", "1000000"), 2), 112),
        Case("llama_gqa",
             "Llama, 4 query heads on 2 key heads, untied lm_head, no biases; inv_freq stored for one layer",
             llama_config("Llama", attention_bias=False, head_dim=4, hidden_size=6, intermediate_size=5, max_position_embeddings=16,
                          mlp_bias=False, num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=2, pretraining_tp=1,
                          rope_scaling=None, tie_word_embeddings=False, vocab_size=9),
             language(3, 6, last=True), 113,
             buffers={"model.layers.0.self_attn.rotary_emb.inv_freq": inverse_frequencies(4, 10000.0)}),
        Case("llama_tied_bias",
             "Llama with biases in attention, tied head; head_dim 4, so H * head_dim = 8, but hidden_size 6; rope_theta 1000",
             llama_config("Llama", attention_bias=True, head_dim=4, hidden_size=6, intermediate_size=7, max_position_embeddings=16,
                          mlp_bias=False, num_attention_heads=2, num_hidden_layers=2, num_key_value_heads=2, pretraining_tp=1,
                          rope_scaling=None, rope_theta=1000.0, tie_word_embeddings=True, torch_dtype="bfloat16", vocab_size=10),
             language(3, 5), 114, dtype="BF16"),
        Case("qwen2",
             "Qwen2: biases on q, k, v only; 2 query heads on 1 key head; rope_theta 1e6",
             llama_config("Qwen2", hidden_size=8, intermediate_size=6, max_position_embeddings=16, max_window_layers=2,
                          num_attention_heads=2, num_hidden_layers=2, num_key_value_heads=1, rope_theta=1000000.0, sliding_window=None,
                          tie_word_embeddings=False, use_sliding_window=False, vocab_size=8),
             language(3, 6, last=True), 115),
        Case("neox_parallel",
             "GPT-NeoX, parallel residual, rotary_pct 0.5 (4 of 8 features), fused q, k, v interleaved per head, buffers",
             neox_config(intermediate_size=4, rotary_pct=0.5, tie_word_embeddings=False, use_parallel_residual=True, vocab_size=8),
             language(3, 6, last=True), 116, dtype="F16",
             buffers={neox + "bias": lower_triangle(16, torch.bool), neox + "masked_bias": torch.tensor(-1e9),
                      neox + "rotary_emb.inv_freq": inverse_frequencies(4, 10000.0)}),
        Case("neox_sequential",
             "GPT-NeoX, sequential residuals, rotary_pct 1, tied head (embed_out absent), padding mask",
             neox_config(hidden_size=8, intermediate_size=8, rotary_pct=1.0, tie_word_embeddings=True,
                         use_parallel_residual=False, vocab_size=9),
             language(3, 6, mask=rows("111111", "111100", "110000")), 117),
        Case("own_module",
             "a small GPT as in lectures, no config.json: token_embedding_table + position_embedding_table (8 rows); 2 blocks "
             "x = x + proj(heads(ln1 x)) (2 heads of width 2, one tensor each, no bias, causal, scale head_size^-1/2), x = x + net(ln2 x) "
             "(ReLU, 4 n_embd); ln_f; lm_head with bias, untied; eps 1e-5; buffers tril; loss: mean cross-entropy over all tokens",
             {"model_type": "lecture", "n_embd": 4, "n_head": 2, "n_layer": 2, "block_size": 8, "vocab_size": 7},
             language(3, 5), 218,
             buffers={"blocks.%d.sa.heads.%d.tril" % (i, h): lower_triangle(8, torch.float32)[0, 0] for i in (0, 1) for h in (0, 1)},
             write_config=False)]


def random_parameters(case, g):
    """Canonical name -> tensor of the stored type: gains 1 + N(0, 0.2^2), all else N(0, 0.3^2)."""
    kinds = [case.dtype] if isinstance(case.dtype, str) else case.dtype
    out = {}
    for i, (name, shape) in enumerate(models.shapes(case.config).items()):
        value = 1 + 0.2 * g.normal(size=shape) if GAIN.search(name) else 0.3 * g.normal(size=shape)
        out[name] = torch.from_numpy(value).to(TYPES[kinds[i % len(kinds)]])
    return out


def tensor(array):
    return torch.from_numpy(np.asarray(array, dtype=np.float64 if np.asarray(array).dtype.kind == "f" else np.int64))


def stored_tensor(values):
    """What the file has of a tensor."""
    kind = NAMES[values.dtype]
    return safetensors_io.packed((values.double() if kind == "BF16" else values).numpy(), kind)


def save_model(case, folder, parameters):
    """The checkpoint's files: parameters, second copies, buffers."""
    everything = {case.stored(k): v for k, v in parameters.items()}
    everything.update({k: everything[v].clone() for k, v in case.copies.items()})
    everything.update(case.buffers)
    everything = {k: stored_tensor(v) for k, v in everything.items()}
    if case.shards == 1:
        safetensors_io.write(folder / "model.safetensors", everything, {"format": "pt"})
        return
    names = list(everything)
    cut = [names[len(names) * i // case.shards:len(names) * (i + 1) // case.shards] for i in range(case.shards)]
    safetensors_io.write_shards(folder, [{k: everything[k] for k in part} for part in cut], {"format": "pt"})


def sixteenths(g, shape):
    """Normal numbers, rounded so that they take little space."""
    return torch.from_numpy(np.round(16 * g.normal(size=tuple(shape))) / 16)


def flat(value):
    return np.concatenate([v.numpy().ravel() for v in value]) if isinstance(value, list) else np.asarray(value)


def make(case):
    """Makes and checks one folder; returns its line for the report."""
    g = np.random.default_rng(case.seed)
    parameters, data = random_parameters(case, g), case.data(case.config, g)
    optional = {k: tensor(data[k]) for k in ("mask", "types") if k in data}
    problem = answers.Problem(case.config, parameters, tensor(data["inputs"]), tensor(data["targets"]), **optional)
    direction = [sixteenths(g, v.shape) for v in problem.values]
    cotangent = sixteenths(g, problem.outputs(problem.values).shape)
    solved = answers.solve(problem, direction, cotangent)
    errors = answers.check(problem, solved, direction, cotangent)

    folder = CASES / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_model(case, folder, parameters)
    if case.write_config:
        (folder / "config.json").write_text(json.dumps(case.config, indent=1) + "\n")
    for key, name in (("inputs", "inputs"), ("targets", "targets"), ("mask", "mask"), ("types", "token_type_ids")):
        if key in data:
            np.save(folder / f"{name}.npy", data[key])
    trainable = np.array([case.stored(k) for k in problem.names])
    np.savez_compressed(folder / "answers.npz", trainable=trainable, direction=flat(direction), cotangent=cotangent.numpy(),
                        **{k: flat(v) for k, v in solved.items()})
    again = safetensors_io.read(folder)
    for k, v in parameters.items():
        assert np.array_equal(safetensors_io.numbers(again[case.stored(k)]), v.double().numpy()), "the file does not hold what was written"
    size = sum(f.stat().st_size for f in folder.iterdir()) / 1024
    worst = ", ".join(f"{k} {v:.0e}" for k, v in errors.items())
    return f"{case.name:34} P {sum(v.numel() for v in problem.values):4}  loss {solved['loss']:.15g}  {size:3.0f} KB  {worst}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names
    torch.set_num_threads(1)
    for case in cases():
        if not names or case.name in names:
            print(make(case), flush=True)


if __name__ == "__main__":
    main()
