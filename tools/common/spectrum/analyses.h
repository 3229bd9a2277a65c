/// What basin-hessian computes: the matrices of a point as a whole, and their diagonal parts.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "basin/curvature/balanced_point.h"
#include "basin/curvature/hessian_parts.h"
#include "basin/curvature/pseudo_symmetries.h"
#include "basin/curvature/symmetries.h"
#include "basin/stationary/stationarity.h"
#include "common/command/setup.h"
#include "common/spectrum/per_block.h"
#include "common/spectrum/product_journal.h"
#include "common/spectrum/results.h"

namespace basin::tools {

/// The matrices of a point, and how stationary that is.
struct WholeAnalysis {
  std::unique_ptr<const Symmetries> symmetries;  ///< those that are set aside or counted; null: none are
  std::vector<PseudoSymmetry> pseudo;            ///< those that epsilon alone breaks
  std::optional<BalancedPoint> balanced;         ///< where those that are left are counted
  std::vector<SpectrumResults> matrices;
  Stationarity point;
  Index kinks = 0;  ///< of the network
};

/// What was asked for, of these matrices; of none, the point alone. journal: may be null. Throws InputError
/// where symmetries leave nothing.
WholeAnalysis analyse_whole(const Command& command, const SpectrumRequest& request,
                            const std::vector<HessianPart>& matrices, const Setup& setup,
                            ProductJournal* journal);

/// The way to what is asked of a part. Throws InputError where --memory does not hold it.
SpectrumPlan plan_of_part(const Command& command, const SpectrumRequest& request, const DiagonalPart& part);

/// The same of each part, for each of these matrices. A product with a part of one parameter block or several
/// is that of the network in which those alone are trained.
std::vector<PerBlock> analyse_parts(const Command& command, const SpectrumRequest& request,
                                    const std::vector<HessianPart>& matrices, const Setup& setup,
                                    const std::vector<DiagonalPart>& parts, ProductJournal* journal);

}  // namespace basin::tools
