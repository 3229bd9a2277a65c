/// The frame common to all result files (FORMAT.md): NeXus groups, verdict, model.
#pragma once

#include <string>
#include <vector>

#include "basin/hdf5/provenance.h"
#include "basin/model/model_point.h"

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

/// Gives arrays the dimensions `axes` (Writer::dimensions), all members of the group; leaves out the axes
/// themselves.
void name_dimensions(Writer& file, const std::string& group, const std::vector<std::string>& arrays,
                     const std::vector<std::string>& axes);

/// The long_name of an axis that counts 0, 1, ..., which says what is meant, "D: 0 = 4, 1 = 8"; of many
/// values, the first and the last.
std::string legend(const std::string& axis, const std::vector<std::string>& values);

/// Whether viewers should start with a logarithmic scale: the finite values are positive and far apart, as
/// analysis/basin/pictures/scales.py decides.
bool wants_logarithm(const std::vector<double>& values);

/// The SILX_style attribute that both viewers read: scales of the values of a curve and of its axis, each
/// "linear", "log" or "symlog".
void curve_scales(Writer& file, const std::string& group, const std::string& values,
                  const std::string& axis = "linear");
/// Logarithmic colours of an image.
void logarithmic_image(Writer& file, const std::string& group);

/// /entry/model: what a result was computed for. weights_origin: where its weights are from, one line.
void write_model(Writer& file, const ModelPoint<double>& point, const std::string& weights_origin);

}  // namespace basin::hdf5
