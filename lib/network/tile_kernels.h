/// The attention kernels on tiles.
#pragma once

#include "basin/network/tile_kernel.h"

namespace basin {

/// z = <q, k>, normalised: the queries come divided by sqrt(d).
template <class S>
class SoftmaxTiles final : public TileKernel<S> {
 public:
  bool normalised() const override { return true; }
  bool ignores_shifts_of_keys() const override { return true; }
  bool has_norms() const override { return false; }
  void prepare(Tile<S>, Tile<S>, S*, S*, bool) const override {}
  void prepare_tangent(Tile<const S>, Tile<const S>, Tile<S>, Tile<S>, S*, S*) const override {}
  void scores(const Scores<S>& at, Tile<S> z) const override;
  void scores_tangent(const Scores<S>& at, const Scores<S>& d, Tile<S> dz) const override;
  void pull(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, bool add_q, Tile<S> kbar,
            bool add_k) const override;
  void pull_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar, Tile<const S> dzbar,
                    Tile<S> dqbar, bool add_q, Tile<S> dkbar, bool add_k) const override;
};

/// z = -|q - k|^2 / 2, not normalised: queries and keys come divided by sigma.
///
/// The square is expanded, -|q|^2/2 - |k|^2/2 + <q, k>, so that scores are products of matrices. The error of
/// the exponent of a pair is then some eps times its own |q|^2, |k|^2. Where one of these exceeds
/// `kLargestHalfNorm`, what all queries and keys of a sample and head have in common is subtracted, if that
/// takes no digit from any of them (network/exact_centring.h); a mean would not do: a small token loses eps
/// times the mean of large ones, although it does not see them, and so does every perturbed point
/// (model/perturbation.h). Tiles that still exceed it are computed from the differences q - k themselves,
/// which is exact for keys near long queries, and slower.
template <class S>
class GaussianTiles final : public TileKernel<S> {
 public:
  /// Exponents of expanded squares are off by a few 64 eps, no more than the rounding of q and k themselves
  /// makes of a pair at that distance.
  static constexpr S kLargestHalfNorm = 32;

  bool normalised() const override { return false; }
  bool ignores_shifts_of_keys() const override { return false; }
  bool has_norms() const override { return true; }
  void prepare(Tile<S> q, Tile<S> k, S* q_norm, S* k_norm, bool shared) const override;
  void prepare_tangent(Tile<const S> q, Tile<const S> k, Tile<S> dq, Tile<S> dk, S* dq_norm,
                       S* dk_norm) const override;
  void scores(const Scores<S>& at, Tile<S> z) const override;
  void scores_tangent(const Scores<S>& at, const Scores<S>& d, Tile<S> dz) const override;
  void pull(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, bool add_q, Tile<S> kbar,
            bool add_k) const override;
  void pull_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar, Tile<const S> dzbar,
                    Tile<S> dqbar, bool add_q, Tile<S> dkbar, bool add_k) const override;
};

}  // namespace basin
