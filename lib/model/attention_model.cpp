#include "model/attention_model.h"

#include <cmath>

#include "linalg/errors.h"
#include "model/attention.h"
#include "model/gaussian_kernel.h"
#include "model/softmax_kernel.h"

namespace basin {

KernelKind kernel_from_name(const std::string& name) {
  if (name == "softmax") return KernelKind::softmax;
  if (name == "gaussian") return KernelKind::gaussian;
  throw InputError("unknown kernel '" + name + "'; expected softmax or gaussian");
}

std::string kernel_name(KernelKind kind) {
  return kind == KernelKind::softmax ? "softmax" : "gaussian";
}

double AttentionSpec::sigma() const {
  return bandwidth != 0 ? bandwidth : std::pow(static_cast<double>(head_dim), 0.25);
}

std::vector<std::string> attention_blocks() {
  return {"W_Q", "W_K", "W_V", "W_O"};
}

template <class S>
std::shared_ptr<const Model<S>> make_attention_model(const AttentionSpec& spec,
                                                     const std::vector<std::string>& trainable) {
  if (!std::isfinite(spec.bandwidth) || spec.bandwidth < 0)
    throw InputError("bandwidth sigma = " + std::to_string(spec.bandwidth) + "; expected a positive number");
  std::shared_ptr<const AttentionKernel<S>> kernel;
  if (spec.kernel == KernelKind::softmax)
    kernel = std::make_shared<SoftmaxKernel<S>>(spec.head_dim);
  else
    kernel = std::make_shared<GaussianKernel<S>>(static_cast<S>(spec.sigma()));

  typename Sequential<S>::Layers layers;
  layers.push_back(std::make_unique<Attention<S>>(Shape{spec.tokens, spec.embedding}, spec.heads,
                                                  spec.head_dim, spec.outputs, kernel));
  return std::make_shared<const Model<S>>(std::move(layers), std::make_unique<SquaredLoss<S>>(), trainable);
}

template std::shared_ptr<const Model<double>> make_attention_model(const AttentionSpec&,
                                                                   const std::vector<std::string>&);
template std::shared_ptr<const Model<float>> make_attention_model(const AttentionSpec&,
                                                                  const std::vector<std::string>&);

}  // namespace basin
