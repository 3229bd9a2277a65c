#include "common/ntk/certificate_numbers.h"

namespace basin::tools {

NamedNumbers certificate_numbers(const Certificate& c, const NormConstants& norms,
                                 double existence_residual) {
  return {{"c", c.c},
          {"sigma_min", c.sigma_min},
          {"sigma_max", c.sigma_max},
          {"residual_norm", c.residual_norm},
          {"radius", c.radius},
          {"curvature", c.curvature},
          {"deviation", c.deviation},
          {"s_star", c.s_star},
          {"beta", c.beta},
          {"step", c.step},
          {"rate", c.rate},
          {"path_length", c.path_length},
          {"largest_residual", c.largest_residual},
          {"margin", c.margin},
          {"existence_residual", existence_residual},
          {"xi", norms.xi},
          {"xi_centred", norms.xi_centred},
          {"chi", norms.chi},
          {"chi_centred", norms.chi_centred},
          {"rho", norms.rho}};
}

NamedNumbers head_numbers(const HeadNorms& n, const HeadBound& bound) {
  return {{"W_V_norm", n.W_V},    {"W_O_norm", n.W_O},    {"values", n.values},  {"outputs", n.outputs},
          {"keys", n.keys},       {"queries", n.queries}, {"query", n.query},    {"mixed", n.mixed},
          {"alpha", bound.alpha}, {"gamma", bound.gamma}, {"delta", bound.delta}};
}

}  // namespace basin::tools
