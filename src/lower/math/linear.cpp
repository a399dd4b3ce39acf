#include "lower/math/linear.h"

namespace midstream::math {

Value linear(Builder& b, Value x, Value w_io, Value bias) {
  Args args{{"input", x}, {"weight", b.stored_as(w_io, {Permute{{1, 0}}})}};
  if (bias) args.push_back({"bias", bias});
  return b.call("aten::linear", std::move(args));
}

Value embedding(Builder& b, Value table, Value indices, bool wrap_negative) {
  if (wrap_negative) {
    Value wrapped = b.call("aten::add.Scalar", {{"self", indices}, {"other", b.size(table, 0)}});
    indices = b.where(b.compare("lt", indices, 0.0), wrapped, indices);
  }
  return b.call("aten::embedding", {{"weight", table}, {"indices", indices}, {"sparse", true}});
}

}  // namespace midstream::math
