// Layers over strings: StringLookup, TextVectorization, Hashing. A string is a row of bytes (libtorch/ops/text.cpp).
#include <algorithm>
#include <limits>
#include <numeric>

#include "lower/keras/encode.h"
#include "lower/keras/host.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

using Strings = std::vector<std::string>;

Value bytes_of(Builder& b, const Strings& items) {
  size_t width = 1;
  for (const std::string& s : items) width = std::max(width, s.size());
  std::vector<uint8_t> bytes;
  for (const std::string& s : items) {
    bytes.insert(bytes.end(), s.begin(), s.end());
    bytes.resize(bytes.size() + width - s.size());
  }
  const Dims dims{static_cast<int64_t>(items.size()), static_cast<int64_t>(width)};
  return b.constant(Array::of<uint8_t>(DType::UInt8, dims, std::move(bytes)));
}

Value number(Builder& b, int64_t value) { return b.constant(Array::of<int64_t>(DType::Int64, {}, {value})); }

Value row_in(Builder& b, Value text, Value vocabulary) {
  return b.call("midstream::text_index", {{"text", text}, {"vocabulary", vocabulary}});
}

Value equals(Builder& b, Value text, const std::string& what) {
  return b.compare("ge", row_in(b, text, bytes_of(b, {what})), 0.0);
}

Value hashed(Layer& l, Value text, int64_t buckets, const std::vector<int64_t>& key) {
  if (!key.empty() && key.size() != 2)
    l.b.fail(ErrorKind::Unsupported, "its salt has " + std::to_string(key.size()) + " numbers, two are wanted.");
  return l.b.call("midstream::text_hash", {{"text", text}, {"buckets", buckets}, {"key", Dims(key)}});
}

// A salt that is one number stands for two of them.
std::vector<int64_t> salt_of(const Layer& l) {
  std::vector<int64_t> key = l.has("salt") ? l.ints("salt") : std::vector<int64_t>{};
  if (key.size() == 1) key.push_back(key[0]);
  return key;
}

void expect_strings(Layer& l, Value v) {
  const auto& inputs = l.b.graph().inputs;
  if (std::none_of(inputs.begin(), inputs.end(), [&](const Input& i) { return i.text && i.value == v; }))
    l.b.fail(ErrorKind::Unsupported, "its input is not an input of strings of the model itself.",
             "Call it on keras.Input(shape, dtype=\"string\"), with nothing between.");
}

struct Lookup {
  Strings words;  // without mask and out-of-vocabulary tokens in front
  std::string mask_token;
  bool masks = false;
  int64_t mask_slots = 0, oov_slots = 1;
  int64_t first() const { return mask_slots + oov_slots; }
};

Lookup lookup_of(const Layer& l, const std::string& mode, bool text_vectorization) {
  Lookup out;
  for (const json& word : vocabulary_of(l)) {
    if (!word.is_string())
      l.b.fail(ErrorKind::Mismatch, "its vocabulary has an entry " + word.dump() + ", strings wanted.");
    out.words.push_back(word.get<std::string>());
  }
  out.oov_slots = text_vectorization ? 1 : l.integer("num_oov_indices", 1);
  out.masks = text_vectorization || l.has("mask_token");
  if (out.masks && !text_vectorization) out.mask_token = l.text("mask_token");
  out.mask_slots = out.masks && mode == "int" ? 1 : 0;
  Strings special(static_cast<size_t>(out.mask_slots), out.mask_token);
  special.insert(special.end(), static_cast<size_t>(out.oov_slots), l.text("oov_token", "[UNK]"));
  drop_special_tokens(l, out.words, special);
  if (out.oov_slots == 0 && out.masks)
    l.b.fail(ErrorKind::Unsupported, "num_oov_indices=0 with a mask_token has no lowering.",
             "Make the layer with num_oov_indices=1 and save the model again.");
  return out;
}

Value indices_of(Layer& l, Value text, const Lookup& lookup, const std::string& mode) {
  Builder& b = l.b;
  std::vector<int64_t> order(lookup.words.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  auto word = [&](int64_t i) -> const std::string& { return lookup.words[static_cast<size_t>(i)]; };
  std::sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return word(i) < word(j); });
  Strings sorted;
  for (int64_t i : order) sorted.push_back(word(i));
  for (int64_t& i : order) i += lookup.first();
  const auto n = static_cast<int64_t>(order.size());
  Value indices = b.constant(Array::of<int64_t>(DType::Int64, {n}, std::move(order)));
  Value row = row_in(b, text, bytes_of(b, sorted));
  Value known = b.compare("ge", row, 0.0);
  // Without a slot for other words TensorFlow stops at one: so does index_select at -1.
  Value at = lookup.oov_slots == 0 ? row : b.clamp(row, 0.0, {});
  Value index = b.call("aten::index_select", {{"self", indices}, {"dim", 0}, {"index", b.reshape(at, {Int(-1)})}});
  index = b.reshape(index, b.sizes(row));
  if (lookup.oov_slots > 0) {
    Value other = number(b, lookup.mask_slots);
    if (lookup.oov_slots > 1) other = b.add(hashed(l, text, lookup.oov_slots, salt_of(l)), other);
    index = b.where(known, index, other);
  }
  if (lookup.masks) {
    const int64_t masked = mode == "int" ? 0 : std::numeric_limits<int64_t>::max();
    index = b.where(equals(b, text, lookup.mask_token), number(b, masked), index);
  }
  return index;
}

Tensors encoded(Layer& l, Value text, const std::string& mode, const Lookup& lookup) {
  Value index = indices_of(l, text, lookup, mode);
  if (mode == "int") return {{index, {}}};
  const int64_t depth = l.flag("pad_to_max_tokens") ? l.integer("max_tokens")
                                                    : lookup.first() + static_cast<int64_t>(lookup.words.size());
  if (mode != "tf_idf") {
    // Keras 2 counts in floatx, which this layer's own dtype ("string") does not tell. Whole numbers and ones are the
    // same in all float types, and the next layer casts them to its own.
    const DType dtype = is_floating(l.compute_dtype()) ? l.compute_dtype()
                        : l.host().keras3              ? DType::Int64
                                                       : DType::Float32;
    return {{encode_categories(l, index, mode, depth, dtype), {}}};
  }
  Value weights = l.weight("idf_weights", {depth}, false);
  return {{l.b.mul(encode_categories(l, index, "count", depth, l.b.dtype(weights)), weights), {}}};
}

void expect_utf8(Layer& l) {
  if (l.text("encoding", "utf-8") != "utf-8")
    l.b.fail(ErrorKind::Unsupported, "encoding '" + l.text("encoding") + "' has no lowering, 'utf-8' has.");
}

Tensors string_lookup(Layer& l, const Call& call) {
  l.expect_config({"max_tokens", "num_oov_indices", "mask_token", "oov_token", "vocabulary", "vocabulary_dtype",
                   "idf_weights", "invert", "output_mode", "sparse", "pad_to_max_tokens", "vocabulary_size",
                   "oov_method", "salt", "has_input_vocabulary", "encoding"});
  expect_utf8(l);
  if (l.flag("invert"))
    l.b.fail(ErrorKind::Unsupported, "invert=True gives strings, which are no output of a model here.",
             "Take the indices as the model's output and look the words up in layer.get_vocabulary().");
  expect_strings(l, call.one().value);
  const std::string mode = output_mode_of(l, "int");
  return encoded(l, call.one().value, mode, lookup_of(l, mode, false));
}

// One of the words that the config entry may be; a function of the user's is not in the file.
std::string one_of(const Layer& l, const char* key, std::initializer_list<const char*> known) {
  if (!l.has(key)) return "";
  const json& value = l.config.at(key);
  for (const char* word : known)
    if (value == word) return word;
  l.b.fail(ErrorKind::Unsupported, std::string("'") + key + "' is a function of your own or unknown: " + value.dump() + ".",
           "Prepare the strings before midstream sees them, and make the layer with one of Keras' own.");
}

std::vector<int64_t> widths_of(const Layer& l) {
  if (!l.has("ngrams")) return {};
  if (l.config.at("ngrams").is_array()) return l.ints("ngrams");
  std::vector<int64_t> out(static_cast<size_t>(l.integer("ngrams")));
  std::iota(out.begin(), out.end(), int64_t{1});
  return out;
}

Tensors text_vectorization(Layer& l, const Call& call) {
  l.expect_config({"max_tokens", "standardize", "split", "ngrams", "output_mode", "output_sequence_length",
                   "pad_to_max_tokens", "sparse", "ragged", "vocabulary", "idf_weights", "encoding",
                   "vocabulary_size"});
  Builder& b = l.b;
  expect_utf8(l);
  if (l.flag("ragged"))
    b.fail(ErrorKind::Unsupported, "a layer with ragged=True gives ragged tensors, which have no lowering.",
           "Make the layer with ragged=False in Keras and save the model again.");
  const std::string standardize =
      one_of(l, "standardize", {"lower", "strip_punctuation", "lower_and_strip_punctuation"});
  const std::string split = one_of(l, "split", {"whitespace", "character"});
  Value text = call.one().value;
  expect_strings(l, text);
  const int64_t rank = b.rank(text);
  if (!split.empty() && rank > 2) {
    if (b.dims(text)[static_cast<size_t>(rank - 2)] != 1)
      b.fail(ErrorKind::Mismatch, "it splits strings, whose last axis must be 1 then.");
    text = b.squeeze(text, -2);
  }
  if (split.empty() && rank < 3)
    b.fail(ErrorKind::Unsupported, "split=None of strings without an axis beside the batch has no lowering.");
  Arg length;
  if (l.has("output_sequence_length")) length = l.integer("output_sequence_length");
  text = b.call("midstream::text_words", {{"text", text},
                                          {"standardize", standardize},
                                          {"split", split},
                                          {"ngrams", Dims(widths_of(l))},
                                          {"length", length}});
  const std::string mode = output_mode_of(l, "int");
  return encoded(l, text, mode, lookup_of(l, mode, true));
}

Tensors hashing(Layer& l, const Call& call) {
  l.expect_config({"num_bins", "salt", "mask_value", "output_mode", "sparse"});
  Builder& b = l.b;
  Value x = call.one().value, masked;
  int64_t bins = l.integer("num_bins");
  const auto& inputs = b.graph().inputs;
  const bool strings = std::any_of(inputs.begin(), inputs.end(), [&](const Input& i) { return i.text && i.value == x; });
  if (l.has("mask_value") && bins > 1) {
    --bins;
    masked = strings ? equals(b, x, l.text("mask_value")) : b.compare("eq", x, l.number("mask_value"));
  }
  Value text = strings ? x : b.call("midstream::text_of_numbers", {{"numbers", b.cast(x, DType::Int64)}});
  Value index = hashed(l, text, bins, salt_of(l));
  if (!strings) index = b.reshape(index, b.sizes(x));
  if (masked) index = b.where(masked, number(b, 0), b.add(index, 1.0));
  return {{encode_categories(l, index, output_mode_of(l, "int"), l.integer("num_bins"), l.compute_dtype()), {}}};
}

}  // namespace

void register_preprocessing_text(Registry& r) {
  r.layer("Hashing", hashing);
  r.layer("StringLookup", string_lookup);
  r.layer("TextVectorization", text_vectorization);
  for (const char* name : {"Hashing", "StringLookup", "TextVectorization"}) {
    r.keeps_input_dtype.insert(name);
    r.takes_strings.insert(name);
  }
}

}  // namespace midstream::keras
