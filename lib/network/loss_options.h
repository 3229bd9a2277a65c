/// The losses that an architecture may name, and their options. What they compute is said in model/loss.h.
#pragma once

#include "basin/network/layer_types.h"

namespace basin {

/// The options of the loss of this name. Throws InputError, listing the losses there are.
const std::vector<LayerOptionType>& loss_options(const std::string& type);

/// One loss more. Throws InputError for a name that is taken. Not while other threads build networks.
void add_loss_options(const std::string& type, std::vector<LayerOptionType> options);

/// The names of all losses.
std::vector<std::string> loss_names();

/// The description with every option written out. Throws InputError for an unknown loss, and for an option
/// that it does not have or that is of another kind.
LossDescription with_defaults(const LossDescription& loss);

}  // namespace basin
