// Views, indexing and making of tensors, where the size of a list or the shapes decide which spelling reads best.
#include <algorithm>

#include "emit/print_table.h"

namespace midstream::emit {
namespace {

// Does axis `a` of x have the size of axis `b` of y in both examples?
bool same_size(const NodeView& v, Value x, size_t a, Value y, size_t b) { return v.examples(x, a) == v.examples(y, b); }

// How many leading and trailing axes x and y have in common.
std::pair<size_t, size_t> common(const NodeView& v, Value x, Value y) {
  const size_t nx = v.dims(x).size(), ny = v.dims(y).size();
  size_t front = 0, back = 0;
  while (front < std::min(nx, ny) && same_size(v, x, front, y, front)) ++front;
  while (front + back < std::min(nx, ny) && same_size(v, x, nx - 1 - back, y, ny - 1 - back)) ++back;
  return {front, back};
}

bool known(const Dims& dims, size_t from, size_t to) {
  return std::all_of(dims.begin() + static_cast<ptrdiff_t>(from), dims.begin() + static_cast<ptrdiff_t>(to),
                     [](int64_t d) { return d != kUnknown; });
}

// x.flatten(1), x.unflatten(-1, (heads, size)), or a reshape with -1 for the one size that only the run knows.
std::optional<Expr> reshape(const NodeView& v, std::string_view size_arg) {
  const Value x = v.value("self"), y = v.node.outputs.at(0);
  const size_t nx = v.dims(x).size(), ny = v.dims(y).size();
  auto [front, back] = common(v, x, y);
  Expr e;
  if (ny < nx && ny > 0 && front + back + 1 == ny && nx > front + back + 1) {  // several axes became one
    e.operand(x, kAtom).text(".flatten(" + std::to_string(front));
    if (back > 0) e.text(", " + std::to_string(static_cast<int64_t>(nx - back) - 1));
    return e.text(")");
  }
  const bool dynamic = !known(v.dims(y), 0, ny);
  if (dynamic && ny > nx && front + back + 1 == nx && known(v.dims(y), front, ny - back)) {  // one became several
    e.operand(x, kAtom).text(".unflatten(" + std::to_string(back == 0 ? -1 : static_cast<int64_t>(front)) + ", ");
    e.literal("shape", std::vector<int64_t>(v.dims(y).begin() + static_cast<ptrdiff_t>(front),
                                            v.dims(y).end() - static_cast<ptrdiff_t>(back)));
    return e.text(")");
  }
  const auto* sizes = std::get_if<std::vector<IntArg>>(&v.node.arg(size_arg)->variant());
  if (!sizes) return std::nullopt;
  const auto is_value = [](const IntArg& i) { return std::holds_alternative<Value>(i); };
  const bool has_minus =
      std::any_of(sizes->begin(), sizes->end(), [](const IntArg& i) { return i == IntArg(int64_t{-1}); });
  if (std::count_if(sizes->begin(), sizes->end(), is_value) != 1 || has_minus) return std::nullopt;
  e.operand(x, kAtom).text(".reshape(");
  for (size_t i = 0; i < sizes->size(); ++i) {
    if (i) e.text(", ");
    if (is_value((*sizes)[i]))
      e.text("-1");
    else
      e.literal("size", std::get<int64_t>((*sizes)[i]));
  }
  return e.text(")");
}
std::optional<Expr> reshape_size(const NodeView& v) { return reshape(v, "shape"); }
std::optional<Expr> view_size(const NodeView& v) { return reshape(v, "size"); }

// -1 where the size stays as it is.
std::optional<Expr> expand(const NodeView& v) {
  const Value x = v.value("self"), y = v.node.outputs.at(0);
  const auto* sizes = std::get_if<std::vector<IntArg>>(&v.node.arg("size")->variant());
  if (!sizes) return std::nullopt;
  const size_t added = v.dims(y).size() - v.dims(x).size();
  Expr e;
  e.operand(x, kAtom).text(".expand(");
  for (size_t i = 0; i < sizes->size(); ++i) {
    if (i) e.text(", ");
    const IntArg& size = (*sizes)[i];
    if (i >= added && same_size(v, x, i - added, y, i) && v.dims(x)[i - added] == kUnknown)
      e.text("-1");
    else if (auto* n = std::get_if<int64_t>(&size))
      e.literal("size", *n);
    else
      e.operand(std::get<Value>(size));
  }
  return e.text(")");
}

// x.transpose(1, 2) where only two axes change places.
std::optional<Expr> permute(const NodeView& v) {
  const auto dims = v.ints("dims");
  if (!dims || dims->size() < 3) return std::nullopt;
  std::vector<int64_t> moved;
  for (size_t i = 0; i < dims->size(); ++i)
    if ((*dims)[i] != static_cast<int64_t>(i)) moved.push_back(static_cast<int64_t>(i));
  if (moved.size() != 2) return std::nullopt;
  return Expr{}
      .operand(v.value("self"), kAtom)
      .text(".transpose(" + std::to_string(moved[0]) + ", " + std::to_string(moved[1]) + ")");
}

// "x[:, 1:n]": the axis and what stands there.
Expr indexed(const NodeView& v, int64_t dim, const std::function<void(Expr&)>& put) {
  const Value x = v.value("self");
  const int64_t rank = static_cast<int64_t>(v.dims(x).size());
  if (dim < 0) dim += rank;
  Expr e;
  e.operand(x, kAtom).text("[");
  if (dim == rank - 1 && rank > 2) {
    e.text("..., ");
  } else {
    for (int64_t i = 0; i < dim; ++i) e.text(":, ");
  }
  put(e);
  return e.text("]");
}

void put_int(Expr& e, const Arg* arg, const char* name) {
  if (!arg) return;
  if (auto* n = std::get_if<int64_t>(&arg->variant()))
    e.literal(name, *n);
  else if (auto* value = std::get_if<Value>(&arg->variant()))
    e.operand(*value);
}

std::optional<Expr> select(const NodeView& v) {
  return indexed(v, v.integer("dim"), [&](Expr& e) { put_int(e, v.node.arg("index"), "index"); });
}

// The end is left out where it is the size of x. That both have the same samples would not do: n / 2 * 2 is n in
// either.
bool reaches_end(const NodeView& v) {
  const Arg* end = v.node.arg("end");
  if (!end || std::holds_alternative<std::monostate>(end->variant())) return true;
  const Value x = v.value("self");
  const auto axis = [&](const NodeView& view) {
    const int64_t dim = view.integer("dim");
    return dim < 0 ? dim + static_cast<int64_t>(view.dims(view.value("self")).size()) : dim;
  };
  if (auto* n = std::get_if<int64_t>(&end->variant()))
    return *n == INT64_MAX || v.dims(x).at(static_cast<size_t>(axis(v))) == *n;
  const auto size = v.definition(v.value("end"), "aten::sym_size.int");
  return size && size->value("self") == x && axis(*size) == axis(v);
}

std::optional<Expr> slice(const NodeView& v) {
  return indexed(v, v.integer("dim"), [&](Expr& e) {
    const Arg* start = v.node.arg("start");
    const bool from_start = !start || *start == Arg(0) || std::holds_alternative<std::monostate>(start->variant());
    if (!from_start) put_int(e, start, "start");
    e.text(":");
    if (!reaches_end(v)) put_int(e, v.node.arg("end"), "end");
    if (v.integer("step", 1) != 1) {
      e.text(":");
      put_int(e, v.node.arg("step"), "step");
    }
  });
}

std::optional<Expr> size(const NodeView& v) {
  return Expr{}.operand(v.value("self"), kAtom).text(".shape[").literal("dim", v.integer("dim")).text("]");
}

// x.float() and the like.
std::optional<Expr> cast(const NodeView& v) {
  const Arg* dtype = v.node.arg("dtype");
  const DType* t = dtype ? std::get_if<DType>(&dtype->variant()) : nullptr;
  if (!t) return std::nullopt;
  Expr e;
  e.operand(v.value("self"), kAtom);
  switch (*t) {
    case DType::Float32: return e.text(".float()");
    case DType::Float64: return e.text(".double()");
    case DType::Int64: return e.text(".long()");
    case DType::Int32: return e.text(".int()");
    case DType::Bool: return e.text(".bool()");
    default: return e.text(".to(torch." + std::string(to_string(*t)) + ")");
  }
}

// x.new_zeros(...) where a tensor of the same dtype is at hand.
std::optional<Expr> filled(const NodeView& v, double number) {
  const Value like = tensor_at_hand(v);
  if (!like || v.type(like).dtype != v.type(v.node.outputs.at(0)).dtype || (number != 0 && number != 1))
    return std::nullopt;
  const auto* sizes = std::get_if<std::vector<IntArg>>(&v.node.arg("size")->variant());
  if (!sizes) return std::nullopt;
  Expr e;
  e.operand(like, kAtom).text(number == 0 ? ".new_zeros(" : ".new_ones(");
  for (size_t i = 0; i < sizes->size(); ++i) {
    if (i) e.text(", ");
    if (auto* n = std::get_if<int64_t>(&(*sizes)[i]))
      e.literal("size", *n);
    else
      e.operand(std::get<Value>((*sizes)[i]));
  }
  return sizes->empty() ? e.text("())") : e.text(")");
}
std::optional<Expr> full(const NodeView& v) { return filled(v, v.number("fill_value", -1)); }
std::optional<Expr> zeros(const NodeView& v) { return filled(v, 0); }
std::optional<Expr> ones(const NodeView& v) { return filled(v, 1); }

// x[rows] and x[:, columns] of aten::index.Tensor's list of optional indices.
std::optional<Expr> index(const NodeView& v) {
  Expr e;
  e.operand(v.value("self"), kAtom).text("[");
  const std::vector<Value> indices = v.values("indices");
  for (size_t i = 0; i < indices.size(); ++i) {
    if (i) e.text(", ");
    if (indices[i])
      e.operand(indices[i]);
    else
      e.text(":");
  }
  return e.text("]");
}

}  // namespace

std::vector<OpRow> shape_rows() {
  return {
      {"aten::reshape", {"{self}.reshape({*shape})"}, kAtom, {}, reshape_size},
      {"aten::view", {"{self}.view({*size})"}, kAtom, {}, view_size},
      {"aten::flatten.using_ints", {"{self}.flatten({start_dim}{, end_dim})", "{self}.flatten()"}},
      {"aten::unflatten.int", {"{self}.unflatten({dim}, {sizes})"}},
      {"aten::permute", {"{self}.permute({*dims})"}, kAtom, {}, permute},
      {"aten::transpose.int", {"{self}.transpose({dim0}, {dim1})"}},
      {"aten::t", {"{self}.t()"}},
      {"aten::expand", {"{self}.expand({*size})"}, kAtom, {}, expand},
      {"aten::expand_as", {"{self}.expand_as({other})"}},
      {"aten::repeat", {"{self}.repeat({*repeats})"}},
      {"aten::repeat_interleave.self_int", {"{self}.repeat_interleave({repeats}{, dim})"}},
      {"aten::tile", {"{self}.tile({dims})"}},
      {"aten::unsqueeze", {"{self}.unsqueeze({dim})"}},
      {"aten::squeeze.dim", {"{self}.squeeze({dim})"}},
      {"aten::squeeze.dims", {"{self}.squeeze({dim})"}},
      {"aten::squeeze", {"{self}.squeeze()"}},
      {"aten::select.int", {}, kAtom, {}, select},
      {"aten::slice.Tensor", {}, kAtom, {}, slice},
      {"aten::narrow", {"{self}.narrow({dim}, {start}, {length})"}},
      {"aten::index.Tensor", {}, kAtom, {}, index},
      {"aten::index_select", {"{self}.index_select({dim}, {index})"}},
      {"aten::gather", {"{self}.gather({dim}, {index})"}},
      {"aten::scatter.src", {"{self}.scatter({dim}, {index}, {src})"}},
      {"aten::scatter_add", {"{self}.scatter_add({dim}, {index}, {src})"}},
      {"aten::index_add", {"{self}.index_add({dim}, {index}, {source})"}},
      {"aten::flip", {"{self}.flip({*dims})"}},
      {"aten::roll", {"{self}.roll({shifts}{, dims})"}},
      {"aten::cat", {"torch.cat({tensors}{, dim})"}},
      {"aten::stack", {"torch.stack({tensors}{, dim})"}},
      {"aten::split.Tensor", {"{self}.split({split_size}{, dim})"}},
      {"aten::split_with_sizes", {"{self}.split({split_sizes}{, dim})"}},
      {"aten::chunk", {"{self}.chunk({chunks}{, dim})"}},
      {"aten::unbind.int", {"{self}.unbind({dim})", "{self}.unbind()"}},
      {"aten::constant_pad_nd", {"F.pad({self}, {pad}{, value})"}},
      {"aten::reflection_pad1d", {"F.pad({self}, {padding}, mode=\"reflect\")"}},
      {"aten::reflection_pad2d", {"F.pad({self}, {padding}, mode=\"reflect\")"}},
      {"aten::pad", {"F.pad({self}, {pad}{, mode}{, value})"}},
      {"aten::tril", {"{self}.tril({diagonal})", "{self}.tril()"}},
      {"aten::triu", {"{self}.triu({diagonal})", "{self}.triu()"}},
      {"aten::contiguous", {"{self}.contiguous()"}},
      {"aten::detach", {"{self}.detach()"}},
      {"aten::alias", {"{self}"}},
      {"aten::to.dtype", {}, kAtom, {}, cast},
      {"aten::sym_size.int", {}, kAtom, {}, size},
      {"aten::zeros", {"torch.zeros({size}{, dtype}, device={device})"}, kAtom, {}, zeros},
      {"aten::ones", {"torch.ones({size}{, dtype}, device={device})"}, kAtom, {}, ones},
      {"aten::full", {"torch.full({size}, {fill_value}{, dtype}, device={device})"}, kAtom, {}, full},
      {"aten::zeros_like", {"torch.zeros_like({self}{, dtype})"}},
      {"aten::ones_like", {"torch.ones_like({self}{, dtype})"}},
      {"aten::full_like", {"torch.full_like({self}, {fill_value}{, dtype})"}},
      {"aten::arange", {"torch.arange({end}{, dtype}, device={device})"}},
      {"aten::arange.start", {"torch.arange({start}, {end}{, dtype}, device={device})"}},
      {"aten::arange.start_step", {"torch.arange({start}, {end}, {step}{, dtype}, device={device})"}},
      {"aten::scalar_tensor", {"torch.tensor({s}{, dtype}, device={device})"}},
      {"midstream::int_to_tensor", {"torch.tensor({a})"}},
      {"midstream::ints_to_tensor", {"torch.tensor({a})"}},
      {"midstream::list_reserve", {"[None] * {n}"}, kProduct},
      {"midstream::list_set", {"list_set({l}, {i}, {x})"}, kAtom, "list_set"},
      {"midstream::list_get", {"{l}[{i}]"}},
      {"midstream::list_push", {"[*{l}, {x}]"}},
      {"midstream::list_pop", {"{l}[:-1]"}},
      {"midstream::list_stack", {"torch.stack({l})"}},
      {"midstream::list_from_tensor", {"list({x}.unbind())"}},
      {"midstream::list_length", {"len({l})"}},
  };
}

}  // namespace midstream::emit
