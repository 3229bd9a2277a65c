/// The optimisers of PyTorch, step by step: what mini-batches are trained with.
#pragma once

#include <string>

#include "basin/stationary/descent.h"

namespace basin {

/// With PyTorch's names and defaults (torch.optim, version 2).
struct OptimizerOptions {
  enum class Kind { sgd, adam, adamw };
  Kind kind = Kind::sgd;
  double momentum = 0, dampening = 0;  ///< sgd
  bool nesterov = false;               ///< sgd
  double beta1 = 0.9, beta2 = 0.999;   ///< adam, adamw
  double eps = 1e-8;                   ///< adam, adamw
  double weight_decay = 0;             ///< sgd, adam: times theta, added to the gradient; adamw: decoupled
  double clip_value = 0;               ///< each number of the gradient, before anything else; 0: not
  double clip_norm = 0;                ///< then its length (clip_grad_norm_); 0: not
};

/// Makes one step of size lr from theta (P) with this gradient, in place. What is remembered from step to
/// step is in memory, which starts empty. Throws InputError for nesterov without momentum or with dampening,
/// as PyTorch does.
void optimizer_step(const OptimizerOptions& options, double lr, Vector<double> gradient,
                    Vector<double>& theta, DescentMemory& memory);

/// How the step size goes along a run of so many steps.
struct Schedule {
  enum class Kind { constant, cosine, one_cycle };
  Kind kind = Kind::constant;
  double lr = 0;    ///< the largest
  Index steps = 1;  ///< of the run, T
  Index warm_up =
      0;  ///< so many steps before, on a line from lr / warm_up; not with one_cycle, which has its own
  /// Of step t = 0, ..., T - 1. cosine: CosineAnnealingLR to 0 over what follows the warm-up. one_cycle:
  /// OneCycleLR with its defaults: 0.3 T up from lr / 25, then down to lr / 25e4, both along cosines;
  /// momentum stays.
  double at(Index t) const;
};

}  // namespace basin
