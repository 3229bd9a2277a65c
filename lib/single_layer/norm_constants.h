/// The norms of inputs and weights that the ball certificate is made of (ntk/MATHEMATICS.md).
#pragma once

#include <array>
#include <vector>

#include "basin/single_layer/attention_view.h"

namespace basin {

/// The norms of one head at theta_0. |.| is the spectral norm; U_i is X_i, for softmax less the sample's mean
/// token. Maxima are over the samples i, or over all N n tokens a.
struct HeadNorms {
  double W_V, W_O;  ///< |W_V|, |W_O|
  double values;    ///< max_i |U_i W_V|
  double outputs;   ///< max_i |U_i W_V W_O|
  double keys;      ///< max_i |U_i W_K|
  double queries;   ///< max_i |X_i W_Q|
  double query;     ///< max_a |x_a W_Q|
  /// |stack_i A_ih X_i|, everywhere in the ball: itself where W_Q and W_K are frozen, else what any attention
  /// weights allow (softmax sqrt(n) |X|, Gaussian n |X|). 0 unless W_V and W_O are both trained.
  double mixed;
};

/// All that L(R) needs to know about data and weights. Every norm is an upper bound: rounding is allowed for.
struct NormConstants {
  KernelKind kernel;
  double tokens, head_dim, sigma;  ///< n, d, and the bandwidth of the Gaussian kernel
  std::array<bool, 4> trained;     ///< W_Q, W_K, W_V, W_O
  double xi, xi_centred;           ///< max_i |X_i|, and less the mean token: max_i |Pi X_i|
  double chi, chi_centred;         ///< the same of the stacked samples: |X|, |stack_i Pi X_i|
  double rho;                      ///< max_a |x_a|
  std::vector<HeadNorms> heads;

  double zeta() const { return kernel == KernelKind::softmax ? xi_centred : xi; }  ///< max_i |U_i|
};

/// Measured at theta_0. Throws InputError unless the network is a single attention layer, when sizes do not
/// fit or a number is not finite.
NormConstants norm_constants(const ModelPoint<double>& point);

}  // namespace basin
