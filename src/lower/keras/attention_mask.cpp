// See attention_mask.h. Keras joins, by `and`: the query's own mask (rows), the value's and the key's (columns), a
// causal mask, a sliding window and the argument attention_mask.
#include "lower/keras/attention_mask.h"

#include "lower/keras/host.h"

namespace midstream::keras {
namespace {

Value both(Builder& b, Value mask, Value other) {
  if (!mask || !other) return mask ? mask : other;
  return b.logical_and(mask, other);
}

// A mask that is given by name, else the one that comes with the tensor.
Value given_or_own(const Call& call, const std::string& name, const Tensor& t) {
  Value given = call.arg(100, name).value;
  return given ? given : t.mask;
}

Value as_rows(Builder& b, Value mask) { return mask ? b.unsqueeze(b.cast(mask, DType::Bool), -1) : Value{}; }
Value as_columns(Builder& b, Value mask) { return mask ? b.unsqueeze(b.cast(mask, DType::Bool), -2) : Value{}; }

}  // namespace

bool call_flag(const Call& call, const std::string& name) {
  auto it = call.options.find(name);
  if (it == call.options.end() || it->is_null()) return false;
  return it->is_boolean() ? it->get<bool>() : it->get<double>() != 0;
}

AttentionCall attention_call(Layer& l, const Call& call) {
  Builder& b = l.b;
  const bool keras3 = l.host().keras3;
  const Tensor query = call.arg(0, "query"), value = call.arg(1, "value");
  Tensor key = call.arg(2, "key");
  if (!query.value || !value.value) b.fail(ErrorKind::Mismatch, "it is called without a query or without a value.");
  const bool own_key = static_cast<bool>(key.value);
  if (!own_key) key.value = value.value;

  AttentionCall out{.query = query.value, .value = value.value, .key = key.value};
  out.return_scores = call_flag(call, "return_attention_scores");
  out.output_mask = query.mask;
  const Int rows = b.size(out.query, 1), columns = b.size(out.value, 1);
  const bool causal = call_flag(call, "use_causal_mask");

  // Keras 3 takes the query's mask from the tensor even when one is given by name.
  Value own = as_rows(b, query.mask);
  own = both(b, own, as_columns(b, keras3 ? given_or_own(call, "value_mask", value) : value.mask));
  if (own_key) own = both(b, own, as_columns(b, keras3 ? given_or_own(call, "key_mask", key) : key.mask));
  Value given = call.arg(keras3 ? 6 : 3, "attention_mask").value;
  const bool windowed = l.has("sliding_window");
  if (causal && !own && !given && !windowed && b.rank(out.query) == 3) {
    out.how.causal = true;
  } else if (causal) {
    own = both(b, own, math::causal_mask(b, rows, columns));
  }
  if (windowed) own = both(b, own, math::window_mask(b, rows, columns, l.integer("sliding_window")));
  // Keras 2 takes a mask that is given alone as the number that it is.
  if (given && (keras3 || own)) given = b.cast(given, DType::Bool);
  out.how.mask = both(b, own, given);
  const bool replaces = keras3 || l.flag("softmax_robust_masking");
  out.how.masking = replaces ? math::Attention::Masking::Replace : math::Attention::Masking::Add;
  return out;
}

}  // namespace midstream::keras
