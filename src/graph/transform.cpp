// Transforms on shapes and on arrays, and their text. Permute, Flip and Blocks are all "out axis k reads the source at
// offset table[k][i]", so one gather serves the three; Reshape moves nothing.
#include "graph/transform.h"

#include <charconv>
#include <cstring>
#include <numeric>

#include "base/error.h"

namespace midstream {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

[[noreturn]] void misfit(const Transform& t, const Dims& dims) {
  throw Error(ErrorKind::Internal, "", to_string(Transforms{t}) + " does not fit the shape " + to_string(dims) + ".");
}

Dims strides_of(const Dims& dims) {
  Dims strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

size_t axis_of(int64_t axis, const Dims& dims, const Transform& t) {
  auto rank = static_cast<int64_t>(dims.size());
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) misfit(t, dims);
  return static_cast<size_t>(axis);
}

// For each axis of the result: where its i-th entry starts in the source, in elements.
using Offsets = std::vector<std::vector<int64_t>>;

Offsets offsets(const Transform& t, const Dims& dims) {
  Dims strides = strides_of(dims);
  std::vector<int64_t> source_axis(dims.size());
  std::iota(source_axis.begin(), source_axis.end(), 0);
  if (auto* p = std::get_if<Permute>(&t)) source_axis = p->perm;
  Offsets table;
  for (int64_t axis : source_axis) {
    std::vector<int64_t> row(static_cast<size_t>(dims[static_cast<size_t>(axis)]));
    for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<int64_t>(i) * strides[static_cast<size_t>(axis)];
    table.push_back(std::move(row));
  }
  if (auto* f = std::get_if<Flip>(&t)) {
    for (int64_t a : f->axes) {
      auto& row = table[axis_of(a, dims, t)];
      row = std::vector<int64_t>(row.rbegin(), row.rend());
    }
  }
  if (auto* b = std::get_if<Blocks>(&t)) {
    auto& row = table[axis_of(b->axis, dims, t)];
    size_t length = row.size() / b->order.size();
    std::vector<int64_t> ordered;
    for (int64_t block : b->order)
      ordered.insert(ordered.end(), row.begin() + block * static_cast<int64_t>(length),
                     row.begin() + (block + 1) * static_cast<int64_t>(length));
    row = std::move(ordered);
  }
  return table;
}

template <class T>
void gather(const Offsets& table, const T* source, T* out) {
  size_t rank = table.size();
  if (rank == 0) {
    *out = *source;
    return;
  }
  std::vector<size_t> at(rank, 0);
  const std::vector<int64_t>& inner = table.back();
  while (true) {
    int64_t base = 0;
    for (size_t k = 0; k + 1 < rank; ++k) base += table[k][at[k]];
    for (int64_t offset : inner) *out++ = source[base + offset];
    size_t k = rank - 1;
    while (k-- > 0) {
      if (++at[k] < table[k].size()) break;
      at[k] = 0;
    }
    if (k == static_cast<size_t>(-1)) return;
  }
}

Array apply_one(const Transform& t, const Array& array) {
  Dims dims = midstream::apply(t, array.shape());
  if (std::holds_alternative<Reshape>(t)) return array.reshaped(dims);
  if (item_size(array.dtype()) == 0) throw Error(ErrorKind::Internal, "", "cannot re-arrange an array of strings.");
  std::byte* bytes = nullptr;
  Array out = Array::allocate(array.dtype(), dims, &bytes);
  if (out.size() == 0) return out;
  Offsets table = offsets(t, array.shape());
  struct Pair {
    uint64_t a, b;
  };
  // memcpy-like access: bytes of a mapped file may be unaligned, so elements are moved as packed structs.
  auto move = [&]<class T>(T) {
    struct __attribute__((packed)) Item {
      T value;
    };
    gather(table, reinterpret_cast<const Item*>(array.bytes()), reinterpret_cast<Item*>(bytes));
  };
  switch (item_size(array.dtype())) {
    case 1: move(uint8_t{}); break;
    case 2: move(uint16_t{}); break;
    case 4: move(uint32_t{}); break;
    case 8: move(uint64_t{}); break;
    default: move(Pair{}); break;
  }
  return out;
}

std::string join(const std::vector<int64_t>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size(); ++i) text += (i ? ", " : "") + std::to_string(numbers[i]);
  return text;
}

// Reads what to_string(Transforms) writes.
class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  Transforms read() {
    Transforms chain;
    skip();
    while (at_ < text_.size()) {
      chain.push_back(one());
      skip();
    }
    return chain;
  }

 private:
  Transform one() {
    std::string name;
    while (at_ < text_.size() && std::isalpha(static_cast<unsigned char>(text_[at_]))) name += text_[at_++];
    expect('(');
    Transform t;
    if (name == "permute") {
      t = Permute{numbers(')')};
    } else if (name == "flip") {
      t = Flip{numbers(')')};
    } else if (name == "reshape") {
      expect('[');
      Dims from = numbers(']');
      expect('-');
      expect('>');
      expect('[');
      Dims to = numbers(']');
      t = Reshape{from, to};
      expect(')');
    } else if (name == "blocks") {
      int64_t axis = number();
      expect(':');
      t = Blocks{axis, numbers(')')};
    } else {
      fail("an unknown transform '" + name + "'");
    }
    return t;
  }

  std::vector<int64_t> numbers(char end) {
    std::vector<int64_t> out;
    skip();
    while (at_ < text_.size() && text_[at_] != end) {
      out.push_back(number());
      skip();
      if (at_ < text_.size() && text_[at_] == ',') ++at_;
      skip();
    }
    expect(end);
    return out;
  }
  int64_t number() {
    skip();
    int64_t value = 0;
    auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) fail("no number");
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }
  void expect(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) fail(std::string("no '") + c + "'");
    ++at_;
  }
  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(
        ErrorKind::BadFile, "",
        "'" + text_ + "' has " + what + " at character " + std::to_string(at_) + ": not a chain of transforms.");
  }

  const std::string& text_;
  size_t at_ = 0;
};

}  // namespace

Transform inverse(const Transform& t) {
  auto invert = [](const std::vector<int64_t>& order) {
    std::vector<int64_t> out(order.size());
    for (size_t i = 0; i < order.size(); ++i) out[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
    return out;
  };
  return std::visit(Overloaded{
                        [&](const Permute& p) { return Transform(Permute{invert(p.perm)}); },
                        [&](const Reshape& r) { return Transform(Reshape{r.to, r.from}); },
                        [&](const Flip& f) { return Transform(f); },
                        [&](const Blocks& b) { return Transform(Blocks{b.axis, invert(b.order)}); },
                    },
                    t);
}

Transforms inverse(const Transforms& chain) {
  Transforms out;
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) out.push_back(inverse(*it));
  return out;
}

Dims apply(const Transform& t, const Dims& dims) {
  if (auto* p = std::get_if<Permute>(&t)) {
    if (p->perm.size() != dims.size()) misfit(t, dims);
    Dims out;
    std::vector<bool> seen(dims.size(), false);
    for (int64_t axis : p->perm) {
      size_t a = axis_of(axis, dims, t);
      if (axis < 0 || seen[a]) misfit(t, dims);
      seen[a] = true;
      out.push_back(dims[a]);
    }
    return out;
  }
  if (auto* r = std::get_if<Reshape>(&t)) {
    if (r->from != dims || num_elements(r->from) != num_elements(r->to)) misfit(t, dims);
    return r->to;
  }
  if (auto* f = std::get_if<Flip>(&t)) {
    for (int64_t axis : f->axes) axis_of(axis, dims, t);
    return dims;
  }
  const auto& b = std::get<Blocks>(t);
  int64_t size = dims[axis_of(b.axis, dims, t)], n = static_cast<int64_t>(b.order.size());
  if (n == 0 || size % n != 0) misfit(t, dims);
  return dims;
}

Dims apply(const Transforms& chain, Dims dims) {
  for (const Transform& t : chain) dims = midstream::apply(t, dims);
  return dims;
}

Array apply(const Transforms& chain, const Array& array) {
  Array out = array;
  for (const Transform& t : chain) out = apply_one(t, out);
  return out;
}

std::string to_string(const Transforms& chain) {
  std::string text;
  for (const Transform& t : chain) {
    if (!text.empty()) text += " ";
    text +=
        std::visit(Overloaded{
                       [](const Permute& p) { return "permute(" + join(p.perm) + ")"; },
                       [](const Reshape& r) { return "reshape(" + to_string(r.from) + " -> " + to_string(r.to) + ")"; },
                       [](const Flip& f) { return "flip(" + join(f.axes) + ")"; },
                       [](const Blocks& b) { return "blocks(" + std::to_string(b.axis) + ": " + join(b.order) + ")"; },
                   },
                   t);
  }
  return text;
}

Transforms parse_transforms(const std::string& text) { return Reader(text).read(); }

}  // namespace midstream
