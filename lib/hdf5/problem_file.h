/// Problem files (FORMAT.md).
#pragma once

#include "basin/hdf5/file.h"
#include "basin/problem/problem.h"

namespace basin::hdf5 {

/// Throws InputError, naming the file and the dataset, for anything missing, misshaped, unknown or not
/// finite.
Problem read_problem(const Reader& file);

/// The network that made the targets, if the file has it; read_problem leaves it out.
std::optional<Network> read_teacher(const Reader& file, const Problem& problem);

/// Throws InputError for a member or attribute of a group that is none of these: a bias or a mask is part of
/// the user's model and must not be dropped in silence. Attributes that programs put on groups by themselves
/// (NX_class, CLASS, TITLE, _NC..., MATLAB_...) or that are for people (title, description, comment) may be
/// there.
void check_names(const Reader& file, const std::string& group, const std::vector<std::string>& members,
                 const std::vector<std::string>& attributes);

/// The attribute `bandwidth` of a group; 0 without one.
double read_bandwidth(const Reader& file, const std::string& group);

void write_problem(Writer& file, const Problem& problem);

}  // namespace basin::hdf5
