// Embedding and ReversibleEmbedding.
#include "lower/keras/attention_mask.h"
#include "lower/keras/host.h"
#include "lower/math/linear.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

Tensors rows_of(Layer& l, const Call& call, Value table) {
  Builder& b = l.b;
  Value ids = call.one().value;
  Value mask = l.flag("mask_zero") ? b.compare("ne", ids, 0.0) : Value{};
  // Keras casts every other dtype (floats are what an Input without a dtype gives) to int32, which cuts off fractions.
  if (b.dtype(ids) != DType::Int32 && b.dtype(ids) != DType::Int64) ids = b.cast(ids, DType::Int32);
  Value rows = math::embedding(b, table, ids, l.host().keras3);
  return {{b.cast(rows, l.compute_dtype()), mask}};
}

Value table_of(Layer& l) {
  return l.weight("embeddings", {l.integer("input_dim"), l.integer("output_dim")}, true, /*autocast=*/false);
}

Tensors embedding(Layer& l, const Call& call) {
  l.expect_config({"input_dim", "output_dim", "mask_zero", "input_length", "sparse"});
  return rows_of(l, call, table_of(l));
}

// A call with reverse=True gives the scores of all rows, by the same table or by one of their own.
Tensors reversible_embedding(Layer& l, const Call& call) {
  l.expect_config({"input_dim", "output_dim", "mask_zero", "sparse", "tie_weights", "reverse_dtype", "logit_soft_cap"});
  Builder& b = l.b;
  Value table = table_of(l), reverse;
  if (!l.flag("tie_weights", true))
    reverse = l.weight("reverse_embeddings", {l.integer("output_dim"), l.integer("input_dim")}, true, false);
  if (!call_flag(call, "reverse") && !call_flag(call, "1")) return rows_of(l, call, table);
  const DType dtype =
      l.has("reverse_dtype") ? parse_dtype(l.text("reverse_dtype")).value_or(DType::String) : l.compute_dtype();
  if (!is_floating(dtype))
    b.fail(ErrorKind::Mismatch, "config entry 'reverse_dtype' is '" + l.text("reverse_dtype") +
                                    "', the name of a floating-point dtype wanted.");
  // Rounded to the layer's dtype first: Keras casts a weight as it is read.
  auto as = [&](Value v) { return b.cast(b.cast(v, l.compute_dtype()), dtype); };
  Value logits = b.matmul(as(call.one().value), as(reverse ? reverse : b.permute(table, {1, 0})));
  if (l.has("logit_soft_cap")) {
    Value cap = b.constant(l.number("logit_soft_cap"), dtype);
    logits = b.mul(b.unary("aten::tanh", b.div(logits, cap)), cap);
  }
  return {{logits, {}}};
}

}  // namespace

void register_embedding(Registry& r) {
  r.layer("Embedding", embedding);
  r.layer("ReversibleEmbedding", reversible_embedding);
  for (const char* name : {"Embedding", "ReversibleEmbedding"}) r.keeps_input_dtype.insert(name);
}

}  // namespace midstream::keras
