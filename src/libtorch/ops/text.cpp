// Strings are tensors of bytes: uint8[..., width], each string in UTF-8 and filled up with zeros behind its end (as
// numpy's fixed-width arrays). These operators run on the host and give integers, or strings again.
#include <ATen/ATen.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <string>
#include <vector>

#include "libtorch/ops.h"

namespace midstream {
namespace {

using Strings = std::vector<std::string>;

Strings strings_of(const at::Tensor& text) {
  TORCH_CHECK(text.dim() > 0 && text.scalar_type() == at::kByte, "strings are tensors of bytes, uint8[..., width]");
  const at::Tensor bytes = text.to(at::kCPU).contiguous();
  const auto width = static_cast<size_t>(bytes.size(-1));
  Strings out(width ? static_cast<size_t>(bytes.numel()) / width : 0);
  const auto* data = reinterpret_cast<const char*>(bytes.const_data_ptr<uint8_t>());
  for (size_t i = 0; i < out.size(); ++i) {
    out[i].assign(data + i * width, width);
    out[i].resize(out[i].find_last_not_of('\0') + 1);
  }
  return out;
}

std::vector<int64_t> leading(const at::Tensor& text) { return text.sizes().slice(0, text.dim() - 1).vec(); }

at::Tensor text_tensor(const Strings& items, std::vector<int64_t> dims, at::Device device) {
  size_t width = 1;
  for (const std::string& s : items) width = std::max(width, s.size());
  dims.push_back(static_cast<int64_t>(width));
  at::Tensor out = at::zeros(dims, at::kByte);
  uint8_t* data = out.mutable_data_ptr<uint8_t>();
  for (size_t i = 0; i < items.size(); ++i) std::memcpy(data + i * width, items[i].data(), items[i].size());
  return out.to(device);
}

at::Tensor integers(const std::vector<int64_t>& values, const at::Tensor& text) {
  return at::tensor(values, at::kLong).reshape(leading(text)).to(text.device());
}

// --- FarmHash's Fingerprint64, which tf.strings.to_hash_bucket_fast is

constexpr uint64_t k0 = 0xc3a5c85c97cb3127, k1 = 0xb492b66fbe98f273, k2 = 0x9ae16a3b2f90404f;

template <class T>
T fetch(const char* s) {
  T v;
  std::memcpy(&v, s, sizeof v);
  return v;
}
uint64_t fetch64(const char* s) { return fetch<uint64_t>(s); }
uint64_t right(uint64_t v, int n) { return (v >> n) | (v << (64 - n)); }
uint64_t mix(uint64_t v) { return v ^ (v >> 47); }

uint64_t pair(uint64_t u, uint64_t v, uint64_t mul) {
  const uint64_t a = mix((u ^ v) * mul);
  return mix((v ^ a) * mul) * mul;
}

uint64_t up_to_16(const char* s, size_t n) {
  const uint64_t mul = k2 + n * 2;
  if (n >= 8) {
    const uint64_t a = fetch64(s) + k2, b = fetch64(s + n - 8);
    return pair(right(b, 37) * mul + a, (right(a, 25) + b) * mul, mul);
  }
  if (n >= 4) return pair(n + (uint64_t{fetch<uint32_t>(s)} << 3), fetch<uint32_t>(s + n - 4), mul);
  if (n == 0) return k2;
  const auto at = [&](size_t i) { return uint32_t{static_cast<uint8_t>(s[i])}; };
  const uint32_t y = at(0) + (at(n >> 1) << 8), z = static_cast<uint32_t>(n) + (at(n - 1) << 2);
  return mix(y * k2 ^ z * k0) * k2;
}

uint64_t up_to_32(const char* s, size_t n) {
  const uint64_t mul = k2 + n * 2, a = fetch64(s) * k1, b = fetch64(s + 8), c = fetch64(s + n - 8) * mul,
                 d = fetch64(s + n - 16) * k2;
  return pair(right(a + b, 43) + right(c, 30) + d, a + right(b + k2, 18) + c, mul);
}

uint64_t up_to_64(const char* s, size_t n) {
  const uint64_t mul = k2 + n * 2, a = fetch64(s) * k2, b = fetch64(s + 8), c = fetch64(s + n - 8) * mul,
                 d = fetch64(s + n - 16) * k2;
  const uint64_t y = right(a + b, 43) + right(c, 30) + d, z = pair(y, a + right(b + k2, 18) + c, mul);
  const uint64_t e = fetch64(s + 16) * mul, f = fetch64(s + 24), g = (y + fetch64(s + n - 32)) * mul,
                 h = (z + fetch64(s + n - 24)) * mul;
  return pair(right(e + f, 43) + right(g, 30) + h, e + right(f + a, 18) + g, mul);
}

using Two = std::pair<uint64_t, uint64_t>;

Two weak(const char* s, uint64_t a, uint64_t b) {
  a += fetch64(s);
  b = right(b + a + fetch64(s + 24), 21);
  const uint64_t c = a;
  a += fetch64(s + 8);
  a += fetch64(s + 16);
  b += right(a, 44);
  return {a + fetch64(s + 24), b + c};
}

uint64_t farm_hash(const std::string& text) {
  const char* s = text.data();
  const size_t n = text.size();
  if (n <= 16) return up_to_16(s, n);
  if (n <= 32) return up_to_32(s, n);
  if (n <= 64) return up_to_64(s, n);
  constexpr uint64_t kSeed = 81;
  uint64_t x = kSeed, y = kSeed * k1 + 113, z = mix(y * k2 + 113) * k2;
  Two v{0, 0}, w{0, 0};
  x = x * k2 + fetch64(s);
  const char* end = s + (n - 1) / 64 * 64;
  const char* last = s + n - 64;
  do {
    x = right(x + y + v.first + fetch64(s + 8), 37) * k1;
    y = right(y + v.second + fetch64(s + 48), 42) * k1;
    x ^= w.second;
    y += v.first + fetch64(s + 40);
    z = right(z + w.first, 33) * k1;
    v = weak(s, v.second * k1, x + w.first);
    w = weak(s + 32, z + w.second, y + fetch64(s + 16));
    std::swap(z, x);
    s += 64;
  } while (s != end);
  const uint64_t mul = k1 + ((z & 0xff) << 1);
  s = last;
  w.first += (n - 1) & 63;
  v.first += w.first;
  w.first += v.first;
  x = right(x + y + v.first + fetch64(s + 8), 37) * mul;
  y = right(y + v.second + fetch64(s + 48), 42) * mul;
  x ^= w.second * 9;
  y += v.first * 9 + fetch64(s + 40);
  z = right(z + w.first, 33) * mul;
  v = weak(s, v.second * mul, x + w.first);
  w = weak(s + 32, z + w.second, y + fetch64(s + 16));
  std::swap(z, x);
  return pair(pair(v.first, w.first, mul) + mix(y) * k0 + z, pair(v.second, w.second, mul) + x, mul);
}

// --- SipHash-2-4, which tf.strings.to_hash_bucket_strong is

uint64_t sip_hash(const std::string& text, uint64_t key0, uint64_t key1) {
  uint64_t v0 = 0x736f6d6570736575 ^ key0, v1 = 0x646f72616e646f6d ^ key1, v2 = 0x6c7967656e657261 ^ key0,
           v3 = 0x7465646279746573 ^ key1;
  const auto round = [&] {
    v0 += v1, v1 = right(v1, 51) ^ v0, v0 = right(v0, 32);
    v2 += v3, v3 = right(v3, 48) ^ v2;
    v0 += v3, v3 = right(v3, 43) ^ v0;
    v2 += v1, v1 = right(v1, 47) ^ v2, v2 = right(v2, 32);
  };
  const auto take = [&](uint64_t m) {
    v3 ^= m;
    round(), round();
    v0 ^= m;
  };
  const size_t n = text.size(), whole = n / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) take(fetch64(text.data() + i));
  uint64_t rest = static_cast<uint64_t>(n) << 56;
  std::memcpy(&rest, text.data() + whole, n - whole);
  take(rest);
  v2 ^= 0xff;
  round(), round(), round(), round();
  return v0 ^ v1 ^ v2 ^ v3;
}

at::Tensor text_hash(const at::Tensor& text, int64_t buckets, at::IntArrayRef key) {
  TORCH_CHECK(buckets > 0 && (key.empty() || key.size() == 2), "a hash wants buckets, and a key of two numbers or none");
  std::vector<int64_t> out;
  for (const std::string& s : strings_of(text)) {
    const uint64_t hash =
        key.empty() ? farm_hash(s) : sip_hash(s, static_cast<uint64_t>(key[0]), static_cast<uint64_t>(key[1]));
    out.push_back(static_cast<int64_t>(hash % static_cast<uint64_t>(buckets)));
  }
  return integers(out, text);
}

at::Tensor text_of_numbers(const at::Tensor& numbers) {
  const at::Tensor values = numbers.to(at::kCPU, at::kLong).contiguous();
  Strings out;
  for (int64_t i = 0; i < values.numel(); ++i) out.push_back(std::to_string(values.const_data_ptr<int64_t>()[i]));
  return text_tensor(out, values.sizes().vec(), numbers.device());
}

// The row of each string in a sorted vocabulary, -1 where it is not there.
at::Tensor text_index(const at::Tensor& text, const at::Tensor& vocabulary) {
  const Strings words = strings_of(vocabulary);
  std::vector<int64_t> out;
  for (const std::string& s : strings_of(text)) {
    const auto it = std::lower_bound(words.begin(), words.end(), s);
    out.push_back(it != words.end() && *it == s ? it - words.begin() : -1);
  }
  return integers(out, text);
}

// --- words

std::string standardized(const std::string& text, const std::string& how) {
  const bool lower = how.starts_with("lower"), strip = how.ends_with("strip_punctuation");
  std::string out;
  for (char c : text) {  // ASCII alone, as TensorFlow
    const bool capital = c >= 'A' && c <= 'Z';
    const bool punctuation = c > ' ' && c < 127 && !std::isalnum(static_cast<unsigned char>(c));
    if (!strip || !punctuation) out += lower && capital ? static_cast<char>(c + 32) : c;
  }
  return out;
}

Strings split_words(const std::string& text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  Strings out;
  for (size_t first = text.find_first_not_of(kSpace); first != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(kSpace, first), text.size());
    out.push_back(text.substr(first, end - first));
    first = text.find_first_not_of(kSpace, end);
  }
  return out;
}

Strings split_characters(const std::string& text) {
  Strings out;
  for (char c : text) {
    const bool goes_on = (static_cast<uint8_t>(c) & 0xc0) == 0x80;
    if (goes_on && !out.empty())
      out.back() += c;
    else
      out.push_back({c});
  }
  return out;
}

Strings ngrams_of(const Strings& words, at::IntArrayRef widths) {
  if (widths.empty()) return words;
  Strings out;
  for (int64_t width : widths)
    for (size_t first = 0; first + static_cast<size_t>(width) <= words.size(); ++first) {
      std::string gram = words[first];
      for (size_t k = 1; k < static_cast<size_t>(width); ++k) gram += " " + words[first + k];
      out.push_back(gram);
    }
  return out;
}

// `split`: "whitespace", "character", or "" for strings that are words: the last axis before the bytes is their row.
// Rows are filled up with empty strings to the longest, or to `length` words.
at::Tensor text_words(const at::Tensor& text, std::string standardize, std::string split, at::IntArrayRef ngrams,
                      std::optional<int64_t> length) {
  std::vector<int64_t> dims = leading(text);
  std::vector<Strings> rows;
  const Strings lines = strings_of(text);
  if (split.empty() && !dims.empty()) {
    const auto n = static_cast<size_t>(dims.back());
    dims.pop_back();
    for (size_t i = 0; n > 0 && i < lines.size(); i += n) rows.emplace_back(lines.begin() + i, lines.begin() + i + n);
    for (Strings& row : rows)
      for (std::string& word : row) word = standardized(word, standardize);
  } else {
    for (const std::string& line : lines) {
      const std::string clean = standardized(line, standardize);
      rows.push_back(split == "whitespace" ? split_words(clean) : split_characters(clean));
    }
  }
  size_t n = 0;
  for (Strings& row : rows) n = std::max(n, (row = ngrams_of(row, ngrams)).size());
  if (length) n = static_cast<size_t>(*length);
  Strings out;
  for (Strings& row : rows) {
    row.resize(n);
    out.insert(out.end(), row.begin(), row.end());
  }
  dims.push_back(static_cast<int64_t>(n));
  return text_tensor(out, dims, text.device());
}

Dims without_bytes(const SampleArg& text) {
  Dims dims = tensor(text).dims;
  if (dims.empty()) bad_shape("strings are tensors of bytes, uint8[..., width].");
  dims.pop_back();
  return dims;
}

}  // namespace

void register_text_ops(torch::Library& library, ShapeRules& rules) {
  using Args = const std::vector<SampleArg>&;
  library.def("text_hash(Tensor text, int buckets, int[] key) -> Tensor", text_hash);
  library.def("text_index(Tensor text, Tensor vocabulary) -> Tensor", text_index);
  library.def("text_of_numbers(Tensor numbers) -> Tensor", text_of_numbers);
  library.def("text_words(Tensor text, str standardize, str split, int[] ngrams, int? length=None) -> Tensor", text_words);
  for (const char* op : {"midstream::text_hash", "midstream::text_index"})
    rules.add(op, [](Args a) { return std::vector{output(DType::Int64, without_bytes(a[0]))}; });
  rules.add("midstream::text_of_numbers", [](Args a) {
    Dims dims = tensor(a[0]).dims;
    dims.push_back(num_elements(dims) + 1);  // as wide as its widest number
    return std::vector{output(DType::UInt8, std::move(dims))};
  });
  // How many words there are, and how long they are, is known from the strings alone: any sizes that differ between
  // the samples, whose width differs.
  rules.add("midstream::text_words", [](Args a) {
    Dims dims = without_bytes(a[0]);
    const int64_t width = tensor(a[0]).dims.back();
    if (std::get<std::string>(a[2]).empty() && !dims.empty()) dims.pop_back();
    dims.push_back(is_none(a[4]) ? width + 3 : integer(a[4]));
    dims.push_back(width + 5);
    return std::vector{output(DType::UInt8, std::move(dims))};
  });
}

}  // namespace midstream
