/// Back to where the weights came from.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "basin/checkpoint/checkpoint_map.h"

namespace basin {

/// Writes weights of all blocks as one .safetensors file: the tensors of the checkpoint in their names,
/// shapes, order and types, those that are no parameters as they were. more: added to the metadata. Throws
/// WorkError for a weight that its type cannot hold, and where the stream takes no more.
void write_weights(std::ostream& out, const CheckpointLayout& layout,
                   const std::vector<ParameterBlock>& blocks, const Vector<double>& weights,
                   const Metadata& more = {});

/// Writes a vector over all blocks: the tensors that hold parameters, once each. type: of all of them; empty:
/// as they are stored.
void write_vector(std::ostream& out, const CheckpointLayout& layout,
                  const std::vector<ParameterBlock>& blocks, const Vector<double>& vector,
                  const std::string& type = {});

}  // namespace basin
