/// The frame common to all result files (FORMAT.md): NeXus groups, verdict, model.
#pragma once

#include <string>
#include <vector>

#include "hdf5/provenance.h"
#include "model/attention_model.h"

namespace basin::hdf5 {

/// The root and /entry of a result file. `default_group` is the picture that viewers open first, e.g.
/// "surface".
void write_entry(Writer& file, const std::string& tool, const std::string& title,
                 const std::string& default_group);

/// Makes /entry/NAME a NeXus plot: `signal` and `axes` (slowest first) name members of the group, which may
/// be written before or after. An empty `axes` leaves the axes to the viewer, "." leaves one to it: of
/// several axes, one with a single value should be ".", or silx takes the other, if it is as long as the
/// signal, for that of a scatter plot and refuses it.
void make_plot(Writer& file, const std::string& group, const std::string& signal,
               const std::vector<std::string>& axes);

/// The SILX_style attribute that both viewers read: a logarithmic value axis for a curve, over an axis of the
/// scale "linear", "log" or "symlog".
void logarithmic_curve(Writer& file, const std::string& group, const std::string& axis = "linear");
/// The same for the colours of an image.
void logarithmic_image(Writer& file, const std::string& group);

/// What a result was computed for.
struct ModelDescription {
  AttentionSpec spec;
  Index samples = 0;
  Index parameters = 0;        ///< P
  std::string trainable;       ///< "W_Q,W_K"
  std::string weights_origin;  ///< one line
};

/// /entry/model
void write_model(Writer& file, const ModelDescription& model);

}  // namespace basin::hdf5
