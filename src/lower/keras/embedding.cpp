// Embedding.
#include "lower/keras/host.h"
#include "lower/math/linear.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

Tensors embedding(Layer& l, const Call& call) {
  l.expect_config({"input_dim", "output_dim", "mask_zero", "input_length", "sparse"});
  Builder& b = l.b;
  Value ids = call.one().value;
  Value table = l.weight("embeddings", {l.integer("input_dim"), l.integer("output_dim")}, true, /*autocast=*/false);
  Value mask = l.flag("mask_zero") ? b.compare("ne", ids, 0.0) : Value{};
  // Keras casts every other dtype (floats are what an Input without a dtype gives) to int32, which cuts off fractions.
  if (b.dtype(ids) != DType::Int32 && b.dtype(ids) != DType::Int64) ids = b.cast(ids, DType::Int32);
  Value rows = math::embedding(b, table, ids, l.host().keras3);
  return {{b.cast(rows, l.compute_dtype()), mask}};
}

}  // namespace

void register_embedding(Registry& r) {
  r.layer("Embedding", embedding);
  r.keeps_input_dtype.insert("Embedding");
}

}  // namespace midstream::keras
