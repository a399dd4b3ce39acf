// Layers that make categories of numbers and rows of categories: CategoryEncoding, Discretization, IntegerLookup.
#include <algorithm>
#include <limits>
#include <numeric>

#include "lower/keras/encode.h"
#include "lower/keras/host.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {

const json& vocabulary_of(const Layer& l) {
  if (!l.has("vocabulary"))
    l.b.fail(ErrorKind::Unsupported, "it was adapted to data, and this file does not hold its vocabulary.",
             "Save the model as .keras, or make the layer with vocabulary=layer.get_vocabulary().");
  if (!l.config.at("vocabulary").is_array())
    l.b.fail(ErrorKind::Unsupported, "its vocabulary is the file '" + l.text("vocabulary") + "' of another machine.",
             "Make the layer with vocabulary=layer.get_vocabulary() and save the model again.");
  return l.config.at("vocabulary");
}

std::string output_mode_of(const Layer& l, const std::string& otherwise) {
  if (l.flag("sparse"))
    l.b.fail(ErrorKind::Unsupported, "a layer with sparse=True gives sparse tensors, which have no lowering.",
             "Make the layer with sparse=False in Keras and save the model again: the numbers are the same.");
  const std::string mode = l.text("output_mode", otherwise);
  if (mode == "binary") return "multi_hot";
  return mode == "tf-idf" ? "tf_idf" : mode;
}

namespace {

Value one_hot(Builder& b, Value indices, int64_t depth) {
  Value classes = b.call("aten::arange", {{"end", depth}, {"dtype", DType::Int64}});
  return b.compare("eq", b.unsqueeze(indices, -1), classes);
}

Value integers(Builder& b, Value v) { return b.cast(v, DType::Int64); }

}  // namespace

Value encode_categories(Layer& l, Value indices, const std::string& mode, int64_t depth, DType dtype, Value weights) {
  Builder& b = l.b;
  if (mode == "int") return b.cast(indices, dtype);
  indices = integers(b, indices);
  const int64_t rank = b.rank(indices);
  if (!l.host().keras3 && rank > 2)
    b.fail(ErrorKind::Mismatch, "output_mode '" + mode + "' of an input of shape " + to_string(b.dims(indices)) +
                                    ": tf_keras has none beyond two axes.");
  if (mode == "one_hot") {
    if (rank > 1 && b.dims(indices).back() == 1) indices = b.squeeze(indices, -1);
    return b.cast(one_hot(b, indices, depth), dtype);
  }
  Value hot = one_hot(b, indices, depth);
  const int64_t samples = rank > 1 ? 1 : 0;
  if (mode == "multi_hot") return b.cast(b.call("aten::any.dim", {{"self", hot}, {"dim", samples}}), dtype);
  if (mode != "count")
    b.fail(ErrorKind::Mismatch, "config entry 'output_mode' is '" + mode + "', which this layer does not have.");
  if (weights) return b.sum(b.mul(b.cast(hot, b.dtype(weights)), b.unsqueeze(weights, -1)), {samples});
  return b.sum(b.cast(hot, dtype), {samples});
}

namespace {

Tensors category_encoding(Layer& l, const Call& call) {
  l.expect_config({"num_tokens", "output_mode", "sparse"});
  const std::string mode = output_mode_of(l, "multi_hot");
  Value weights = call.arg(1, "count_weights").value;
  if (weights) weights = l.b.cast(weights, l.compute_dtype());
  return {{encode_categories(l, call.one().value, mode, l.integer("num_tokens"), l.compute_dtype(), weights), {}}};
}

std::vector<double> numbers_of(const Layer& l, const char* key) {
  std::vector<double> out;
  for (const json& item : l.config.at(key)) {
    if (!item.is_number())
      l.b.fail(ErrorKind::Mismatch, std::string("config entry '") + key + "' has an entry " + item.dump() +
                                        ", numbers wanted.");
    out.push_back(item.get<double>());
  }
  return out;
}

Tensors discretization(Layer& l, const Call& call) {
  l.expect_config({"bin_boundaries", "num_bins", "epsilon", "output_mode", "sparse"});
  Builder& b = l.b;
  if (!l.has("bin_boundaries"))
    b.fail(ErrorKind::Unsupported,
           "it was adapted to data, and tf_keras leaves its boundaries out of the file (it loads them as none).",
           "Make the layer with bin_boundaries=layer.bin_boundaries in Keras and save the model again.");
  Value x = call.one().value;
  // Boundaries are float32 in TensorFlow; integers are compared with them as they are.
  std::vector<double> boundaries = numbers_of(l, "bin_boundaries");
  for (double& v : boundaries) v = static_cast<double>(static_cast<float>(v));
  const DType compared = is_floating(b.dtype(x)) ? b.dtype(x) : DType::Float64;
  const auto n = static_cast<int64_t>(boundaries.size());
  Value edges = b.cast(b.constant(Array::of<double>(DType::Float64, {n}, std::move(boundaries))), compared);
  Value bins = b.call("aten::bucketize.Tensor", {{"self", b.cast(x, compared)}, {"boundaries", edges}, {"right", true}});
  const std::string mode = output_mode_of(l, "int");
  const DType dtype = mode == "int" && l.host().keras3 ? DType::Int32 : l.compute_dtype();
  return {{encode_categories(l, bins, mode, n + 1, dtype), {}}};
}

// --- IntegerLookup

struct Lookup {
  std::vector<int64_t> tokens;  // without mask and out-of-vocabulary tokens in front
  int64_t mask_slots = 0, oov_slots = 1;
  int64_t first() const { return mask_slots + oov_slots; }  // the first token's index
};

Lookup lookup_of(const Layer& l, const std::string& mode) {
  Lookup out;
  vocabulary_of(l);
  out.tokens = l.ints("vocabulary");
  out.oov_slots = l.integer("num_oov_indices", 1);
  out.mask_slots = l.has("mask_token") && mode == "int" ? 1 : 0;
  std::vector<int64_t> special(static_cast<size_t>(out.mask_slots), l.integer("mask_token"));
  special.insert(special.end(), static_cast<size_t>(out.oov_slots), l.integer("oov_token", -1));
  drop_special_tokens(l, out.tokens, special);
  return out;
}

Value vector_of(Builder& b, std::vector<int64_t> values) {
  const auto n = static_cast<int64_t>(values.size());
  return b.constant(Array::of<int64_t>(DType::Int64, {n}, std::move(values)));
}

Value number(Builder& b, int64_t value) { return b.constant(Array::of<int64_t>(DType::Int64, {}, {value})); }

Value picked(Builder& b, Value from, Value at) {
  Value flat = b.call("aten::index_select", {{"self", from}, {"dim", 0}, {"index", b.reshape(at, {Int(-1)})}});
  return b.reshape(flat, b.sizes(at));
}

// Indices back to tokens.
Value tokens_of(Layer& l, Value x, const Lookup& lookup) {
  Builder& b = l.b;
  const auto n = static_cast<int64_t>(lookup.tokens.size());
  Value at = b.sub(x, static_cast<double>(lookup.first()));
  Value known = b.logical_and(b.compare("ge", at, 0.0), b.compare("lt", at, static_cast<double>(n)));
  Value token = picked(b, vector_of(b, lookup.tokens), b.clamp(at, 0.0, static_cast<double>(n - 1)));
  token = b.where(known, token, number(b, l.integer("oov_token", -1)));
  if (l.has("mask_token")) token = b.where(b.compare("eq", x, 0.0), number(b, l.integer("mask_token")), token);
  return token;
}

Value indices_of(Layer& l, Value x, const Lookup& lookup, const std::string& mode) {
  Builder& b = l.b;
  // The tokens in order, and where each stands in the vocabulary.
  std::vector<int64_t> order(lookup.tokens.size()), sorted;
  std::iota(order.begin(), order.end(), int64_t{0});
  auto token = [&](int64_t i) { return lookup.tokens[static_cast<size_t>(i)]; };
  std::sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return token(i) < token(j); });
  for (int64_t i : order) sorted.push_back(token(i));
  for (int64_t& i : order) i += lookup.first();
  const auto last = static_cast<double>(sorted.size() - 1);
  Value keys = vector_of(b, std::move(sorted));
  Value at = b.clamp(b.call("aten::searchsorted.Tensor", {{"sorted_sequence", keys}, {"self", x}}), {}, last);
  Value known = b.compare("eq", picked(b, keys, at), x);
  // Without a slot for other tokens TensorFlow stops at one: so does index_select at -1.
  if (lookup.oov_slots == 0) at = b.where(known, at, number(b, -1));
  Value index = picked(b, vector_of(b, std::move(order)), at);
  if (lookup.oov_slots > 0) {
    Value other = number(b, lookup.mask_slots);
    if (lookup.oov_slots > 1) {
      Value slot = b.call("aten::remainder.Scalar", {{"self", x}, {"other", lookup.oov_slots}});
      other = b.add(slot, other);
    }
    index = b.where(known, index, other);
  }
  if (l.has("mask_token")) {
    const int64_t masked = mode == "int" ? 0 : std::numeric_limits<int64_t>::max();
    index = b.where(b.compare("eq", x, number(b, l.integer("mask_token"))), number(b, masked), index);
  }
  return index;
}

Tensors integer_lookup(Layer& l, const Call& call) {
  l.expect_config({"max_tokens", "num_oov_indices", "mask_token", "oov_token", "vocabulary", "vocabulary_dtype",
                   "idf_weights", "invert", "output_mode", "sparse", "pad_to_max_tokens", "vocabulary_size",
                   "oov_method", "salt", "has_input_vocabulary"});
  Builder& b = l.b;
  if (l.text("oov_method", "floormod") != "floormod")
    b.fail(ErrorKind::Unsupported, "oov_method '" + l.text("oov_method") + "' has no lowering, 'floormod' has.");
  const std::string mode = output_mode_of(l, "int");
  const Lookup lookup = lookup_of(l, mode);
  Value x = integers(b, call.one().value);
  if (l.flag("invert")) return {{tokens_of(l, x, lookup), {}}};
  // A mask token that is no part of the vocabulary must not stop the lookup.
  if (lookup.oov_slots == 0 && l.has("mask_token"))
    b.fail(ErrorKind::Unsupported, "num_oov_indices=0 with a mask_token has no lowering.",
           "Make the layer with num_oov_indices=1 and save the model again.");
  Value index = indices_of(l, x, lookup, mode);
  if (mode == "int") return {{index, {}}};
  const int64_t depth = l.flag("pad_to_max_tokens")
                            ? l.integer("max_tokens")
                            : lookup.first() + static_cast<int64_t>(lookup.tokens.size());
  const bool keras3 = l.host().keras3;
  if (mode != "tf_idf")
    return {{encode_categories(l, index, mode, depth, keras3 ? DType::Int64 : l.compute_dtype()), {}}};
  Value weights = l.weight("idf_weights", {depth}, false);
  return {{b.mul(encode_categories(l, index, "count", depth, b.dtype(weights)), weights), {}}};
}

}  // namespace

void register_preprocessing_categories(Registry& r) {
  r.layer("CategoryEncoding", category_encoding);
  r.layer("Discretization", discretization);
  r.layer("IntegerLookup", integer_lookup);
  for (const char* name : {"CategoryEncoding", "IntegerLookup"}) r.keeps_input_dtype.insert(name);
}

}  // namespace midstream::keras
