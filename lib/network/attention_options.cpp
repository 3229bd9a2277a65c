#include "basin/network/attention_options.h"

#include <cmath>

#include "basin/linalg/errors.h"

namespace basin {

void check_options(const AttentionOptions& o, Index heads, Index head_dim) {
  if (o.kv_heads < 0 || (o.kv_heads > 0 && heads % o.kv_heads != 0))
    throw InputError("kv-heads = " + std::to_string(o.kv_heads) +
                     "; expected a divisor of heads H = " + std::to_string(heads));
  std::string known;
  for (const char letter : std::string("qkvo"))
    if (o.has_bias(letter)) known += letter;
  if (o.bias != known)
    throw InputError("bias '" + o.bias + "'; expected some of the letters of 'qkvo', in this order");
  const Rotary& r = o.rotary;
  if (r.dimensions < 0 || r.dimensions % 2 != 0 || r.dimensions > head_dim)
    throw InputError(
        "rotary dimensions = " + std::to_string(r.dimensions) +
        "; expected an even number of at most the head dimension d = " + std::to_string(head_dim));
  if (!std::isfinite(r.base) || r.base <= 0)
    throw InputError("rotary base = " + std::to_string(r.base) + "; expected a positive number");
}

}  // namespace basin
