/// A network's outputs at many weights, of which some blocks alone move.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "basin/model/model_point.h"
#include "basin/network/stages.h"

namespace basin {

/// Outputs and loss, chunk of samples by chunk, forward only: at any weights, or at those that differ from
/// the ones of a point in some blocks. What comes before the first layer that has such a block is then the
/// same everywhere: it is evaluated once, and kept as far as there is memory for it. The bits are those of
/// the whole network in any case.
///
/// Any number of threads may ask at once, each with a Workspace of its own.
template <class S>
class ForwardPass {
 public:
  /// Working memory of one thread, kept from call to call.
  struct Workspace {
    std::vector<Saved<S>> states;  // one for each kind of stage
    std::array<Batch<S>, 2> between;
    Mask mask;
  };

  /// Of the model and data of a point. chunk_rows as in LinearizationOptions: with the same value the loss
  /// has the same bits.
  explicit ForwardPass(const ModelPoint<S>& of, Index chunk_rows = 256);
  /// The same at weights that differ from those of the point in blocks that `moving` contains (the theta
  /// slots of the network's own parameters). memory: bytes for what is kept of the layers before them.
  ForwardPass(const ModelPoint<S>& of, std::span<const BlockSlot> moving, std::size_t memory,
              Index chunk_rows = 256);

  Index chunks() const { return chunks_; }
  Index first_row(Index chunk) const;  ///< of its outputs, among those of all samples
  /// How many layers one after another are evaluated once, and for how many chunks what they give is kept.
  std::size_t fixed_stages() const { return fixed_; }
  Index kept_chunks() const { return static_cast<Index>(kept_.size()); }

  /// The outputs of a chunk; they stay until the workspace is used again. weights: those that the rules take
  /// (Model::network_weights).
  const Batch<S>& outputs(Index chunk, const Vector<S>& weights, Workspace& work) const;
  /// What these rows add to the loss; not finite where the arithmetic overflows.
  S loss(Index chunk, const Batch<S>& outputs) const;

 private:
  Index samples_in(Index chunk) const;
  /// Evaluates the stages from one up to another, of which the first gets x; what the last one gives. The
  /// masks of those before come along.
  Batch<S>& run(Index chunk, std::size_t from, std::size_t to, BatchView<const S> x, const Vector<S>& weights,
                Workspace& work) const;
  BatchView<const S> inputs(Index chunk) const;
  void keep(const Vector<S>& weights, std::size_t memory);

  std::shared_ptr<const Model<S>> model_;
  std::shared_ptr<const Data<S>> data_;
  DataLoss<S> loss_;
  Index samples_per_chunk_, chunks_;
  std::vector<Stage<S>> stages_;
  std::size_t kinds_ = 0;
  std::size_t fixed_ = 0;       // stages that are the same at all weights
  std::vector<Batch<S>> kept_;  // what they give, of the first chunks
};

}  // namespace basin
