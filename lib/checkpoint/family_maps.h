/// One function for each family; families.cpp has the table of them.
#pragma once

#include "basin/checkpoint/families.h"
#include "basin/checkpoint/map_builder.h"

namespace basin {

/// PyTorch's nn.TransformerEncoder or one nn.TransformerEncoderLayer, perhaps with a pool and a classifier.
CheckpointMap torch_encoder_map(const Configuration& config, MapBuilder made, const DataFacts& data);
/// nanoGPT (https://github.com/karpathy/nanoGPT), and GPT-2 of Hugging Face, whose linear maps are
/// transposed.
CheckpointMap nanogpt_map(const Configuration& config, MapBuilder made, const DataFacts& data);
CheckpointMap gpt2_map(const Configuration& config, MapBuilder made, const DataFacts& data);
/// BERT of Hugging Face: classifier of texts or tokens, masked language model, or no head.
CheckpointMap bert_map(const Configuration& config, MapBuilder made, const DataFacts& data);
/// Vision Transformers of Hugging Face and of timm.
CheckpointMap vit_map(const Configuration& config, MapBuilder made, const DataFacts& data);
CheckpointMap timm_map(const Configuration& config, MapBuilder made, const DataFacts& data);
/// Skyformer's models of the Long Range Arena (https://github.com/pkuzengqi/Skyformer).
CheckpointMap skyformer_map(const Configuration& config, MapBuilder made, const DataFacts& data);
/// Llama of Hugging Face, and those that differ from it in biases: Mistral, Qwen2.
CheckpointMap llama_map(const Configuration& config, MapBuilder made, const DataFacts& data);
/// GPT-NeoX of Hugging Face: Pythia.
CheckpointMap neox_map(const Configuration& config, MapBuilder made, const DataFacts& data);

/// The tokens of a sample, which the model has positions for. key: what says how many.
Index tokens_for(const Configuration& config, const std::string& key, Index positions, const DataFacts& data);

}  // namespace basin
