// Arguments against a schema. PyTorch's dispatcher has positions and no keywords, and answers a wrong type with an
// assertion; so names, number and types are checked here, in midstream's words, before it is ever asked.
#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "graph/call.h"

namespace midstream {
namespace {

// "SymInt[2]?" -> {"int", list, 2, optional}: the words of a schema's type.
struct Wanted {
  std::string element;  // Tensor int float bool Scalar ScalarType str, or another word of PyTorch's
  bool list = false, optional = false, optional_elements = false;
  int64_t length = 0;  // int[2]: 2
};

Wanted parse_type(const std::string& text) {
  Wanted w;
  std::string_view t = text;
  if (t.ends_with('?')) {
    w.optional = true;
    t.remove_suffix(1);
  }
  if (t.ends_with(']')) {
    size_t open = t.rfind('[');
    std::string_view digits = t.substr(open + 1, t.size() - open - 2);
    std::from_chars(digits.data(), digits.data() + digits.size(), w.length);
    w.list = true;
    t = t.substr(0, open);
    if (t.ends_with('?')) {
      w.optional_elements = true;
      t.remove_suffix(1);
    }
  }
  if (size_t alias = t.find('('); alias != std::string_view::npos) t = t.substr(0, alias);  // "Tensor(a)"
  w.element = t == "SymInt" ? "int" : t == "SymFloat" ? "float" : t == "SymBool" ? "bool" : std::string(t);
  return w;
}

// Coerces `arg` to what `wanted` says; false if it cannot be that.
class Coercion {
 public:
  Coercion(const Graph& graph, Wanted wanted) : graph_(graph), wanted_(std::move(wanted)) {}

  bool apply(Arg& arg) const {
    ArgVariant& v = arg;
    if (std::holds_alternative<std::monostate>(v)) return wanted_.optional;
    if (auto* value = std::get_if<Value>(&v); value && !*value) {
      v = std::monostate{};
      return wanted_.optional;
    }
    if (auto* value = std::get_if<Value>(&v); value && wanted_.optional && kind(*value) == Kind::None) return true;
    return wanted_.list ? list(v) : scalar(v);
  }

 private:
  Kind kind(Value v) const { return graph_.type(v).kind; }

  bool scalar(ArgVariant& v) const {
    const std::string& e = wanted_.element;
    if (auto* value = std::get_if<Value>(&v)) {
      Kind k = kind(*value);
      if (e == "Tensor") return k == Kind::Tensor || k == Kind::None;
      if (e == "int") return k == Kind::Int;
      if (e == "bool") return k == Kind::Bool;
      if (e == "float") return k == Kind::Float || k == Kind::Int;
      if (e == "Scalar") return k == Kind::Int || k == Kind::Float || k == Kind::Bool;
      return false;
    }
    if (e == "int") return std::holds_alternative<int64_t>(v);
    if (e == "bool") return std::holds_alternative<bool>(v);
    if (e == "float") {
      if (auto* i = std::get_if<int64_t>(&v)) v = static_cast<double>(*i);
      return std::holds_alternative<double>(v);
    }
    if (e == "Scalar")
      return std::holds_alternative<int64_t>(v) || std::holds_alternative<double>(v) || std::holds_alternative<bool>(v);
    if (e == "ScalarType") return std::holds_alternative<DType>(v);
    // str, and PyTorch's other words (Device, MemoryFormat, ...), which are written as text.
    return e != "Tensor" && std::holds_alternative<std::string>(v);
  }

  bool list(ArgVariant& v) const {
    const std::string& e = wanted_.element;
    if (e == "Tensor") return tensors(v);
    if (e == "int") {
      if (auto* i = std::get_if<int64_t>(&v)) v = std::vector<IntArg>(repeat(), IntArg(*i));
      if (auto* value = std::get_if<Value>(&v); value && kind(*value) == Kind::Int)
        v = std::vector<IntArg>(repeat(), IntArg(*value));
      auto* ints = std::get_if<std::vector<IntArg>>(&v);
      return ints && fits(ints->size()) && std::all_of(ints->begin(), ints->end(), [&](const IntArg& i) {
               auto* value = std::get_if<Value>(&i);
               return !value || (*value && kind(*value) == Kind::Int);
             });
    }
    if (e == "float" || e == "Scalar") {
      if (auto* ints = std::get_if<std::vector<IntArg>>(&v)) {
        std::vector<double> reals;
        for (const IntArg& i : *ints) {
          if (!std::holds_alternative<int64_t>(i)) return false;
          reals.push_back(static_cast<double>(std::get<int64_t>(i)));
        }
        v = std::move(reals);
      }
      auto* reals = std::get_if<std::vector<double>>(&v);
      return reals && fits(reals->size());
    }
    if (e == "bool") {
      if (auto* ints = std::get_if<std::vector<IntArg>>(&v); ints && ints->empty()) v = std::vector<bool>{};
      auto* bools = std::get_if<std::vector<bool>>(&v);
      return bools && fits(bools->size());
    }
    return false;
  }

  bool tensors(ArgVariant& v) const {
    if (auto* value = std::get_if<Value>(&v)) return kind(*value) == Kind::List;
    // An empty {} of a list is taken for a list of integers.
    if (auto* ints = std::get_if<std::vector<IntArg>>(&v); ints && ints->empty()) v = std::vector<Value>{};
    auto* values = std::get_if<std::vector<Value>>(&v);
    return values && std::all_of(values->begin(), values->end(),
                                 [&](Value x) { return x ? kind(x) == Kind::Tensor : wanted_.optional_elements; });
  }

  size_t repeat() const { return wanted_.length > 0 ? static_cast<size_t>(wanted_.length) : 1; }
  // In PyTorch's schemas int[2] takes lists of one (repeated), two, and none where that is a default.
  bool fits(size_t size) const {
    return wanted_.length <= 1 || size <= 1 || size == static_cast<size_t>(wanted_.length);
  }

  const Graph& graph_;
  const Wanted wanted_;
};

SampleTensor sample_tensor(const Graph& graph, Value v, size_t s) {
  const ValueInfo& info = graph.info(v);
  return {info.type.dtype, info.samples[s].dims};
}

SampleArg sample_value(const Graph& graph, Value v, size_t s) {
  const ValueInfo& info = graph.info(v);
  switch (info.type.kind) {
    case Kind::Tensor: return sample_tensor(graph, v, s);
    case Kind::Int: return info.samples[s].number;
    case Kind::Float: return info.samples[s].real;
    case Kind::Bool: return info.samples[s].number != 0;
    case Kind::List: {
      // Nothing was put into the list yet: its elements are unknown.
      const bool blank = info.samples[s].dims == Dims{kUnknown};
      return std::vector<std::optional<SampleTensor>>(static_cast<size_t>(std::max<int64_t>(0, info.samples[s].number)),
                                                      blank ? std::nullopt : std::optional(sample_tensor(graph, v, s)));
    }
    case Kind::None: return std::monostate{};
  }
  return std::monostate{};
}

SampleArg sample_arg(const Graph& graph, const Arg& arg, size_t s) {
  return std::visit(
      [&](const auto& v) -> SampleArg {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, Value>) {
          return sample_value(graph, v, s);
        } else if constexpr (std::is_same_v<T, std::vector<IntArg>>) {
          std::vector<int64_t> out;
          for (const IntArg& i : v) {
            auto* value = std::get_if<Value>(&i);
            out.push_back(value ? graph.info(*value).samples[s].number : std::get<int64_t>(i));
          }
          return out;
        } else if constexpr (std::is_same_v<T, std::vector<Value>>) {
          std::vector<std::optional<SampleTensor>> out;
          for (Value x : v) out.push_back(x ? std::optional(sample_tensor(graph, x, s)) : std::nullopt);
          return out;
        } else {
          return v;
        }
      },
      arg.variant());
}

std::string argument_names(const Schema& schema) {
  std::string text;
  for (const SchemaArg& a : schema.args) text += (text.empty() ? "" : ", ") + a.name;
  return text.empty() ? "no arguments" : text;
}

// Refuses unknown and repeated keywords.
void check_names(const Schema& schema, const Args& args, const std::string& where) {
  for (size_t i = 0; i < args.size(); ++i) {
    auto same = [&](const auto& other) { return other.name == args[i].name; };
    if (std::none_of(schema.args.begin(), schema.args.end(), same))
      throw Error(ErrorKind::Internal, where,
                  schema.name + " has no argument '" + args[i].name + "'; it takes " + argument_names(schema) + ".");
    if (std::any_of(args.begin(), args.begin() + static_cast<std::ptrdiff_t>(i), same))
      throw Error(ErrorKind::Internal, where, schema.name + " was given '" + args[i].name + "' twice.");
  }
}

void check_values(const Graph& graph, const Schema& schema, const Args& args, const std::string& where) {
  for_each_operand(args, [&](Value v) {
    if (static_cast<size_t>(v.id) >= graph.values.size())
      throw Error(ErrorKind::Internal, where, schema.name + " was given a value of another graph.");
  });
}

}  // namespace

std::string describe(const Graph& graph, const Arg& arg) {
  return std::visit(
      [&](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        auto all = [](const auto& items, auto&& text) {
          std::string out = "[";
          for (size_t i = 0; i < items.size(); ++i) out += (i ? ", " : "") + text(items[i]);
          return out + "]";
        };
        auto value = [&](Value x) { return x ? to_string(graph.type(x)) : std::string("none"); };
        if constexpr (std::is_same_v<T, std::monostate>)
          return "none";
        else if constexpr (std::is_same_v<T, Value>)
          return value(v);
        else if constexpr (std::is_same_v<T, bool>)
          return v ? "true" : "false";
        else if constexpr (std::is_same_v<T, DType>)
          return std::string(to_string(v));
        else if constexpr (std::is_same_v<T, std::string>)
          return "'" + v + "'";
        else if constexpr (std::is_same_v<T, std::vector<IntArg>>)
          return all(v, [&](const IntArg& i) {
            auto* x = std::get_if<Value>(&i);
            return x ? value(*x) : std::to_string(std::get<int64_t>(i));
          });
        else if constexpr (std::is_same_v<T, std::vector<double>>)
          return all(v, [](double d) { return std::to_string(d); });
        else if constexpr (std::is_same_v<T, std::vector<bool>>)
          return all(v, [](bool b) { return std::string(b ? "true" : "false"); });
        else if constexpr (std::is_same_v<T, std::vector<Value>>)
          return all(v, value);
        else
          return std::to_string(v);
      },
      arg.variant());
}

BoundCall bind_call(const Graph& graph, const Dialect& dialect, const std::string& op, const Args& args,
                    const std::string& where) {
  BoundCall call;
  call.schema = &dialect.schema(op);
  const Schema& schema = *call.schema;
  check_names(schema, args, where);
  check_values(graph, schema, args, where);
  for (const SchemaArg& wanted : schema.args) {
    auto given = std::find_if(args.begin(), args.end(), [&](const NamedArg& a) { return a.name == wanted.name; });
    const Coercion coercion(graph, parse_type(wanted.type));
    Arg fallback = wanted.default_value;
    if (wanted.has_default) coercion.apply(fallback);
    Arg arg = given == args.end() ? fallback : given->value;
    if (given == args.end() && !wanted.has_default) {
      if (!wanted.optional)
        throw Error(ErrorKind::Internal, where,
                    schema.name + " needs the argument '" + wanted.name + "' (" + wanted.type + ").");
      arg = std::monostate{};
    }
    if (given != args.end() && !coercion.apply(arg))
      throw Error(ErrorKind::Internal, where,
                  schema.name + " wants " + wanted.type + " for '" + wanted.name + "', not " +
                      describe(graph, given->value) + ".");
    const bool is_default = wanted.has_default
                                ? arg.variant() == fallback.variant()
                                : wanted.optional && std::holds_alternative<std::monostate>(arg.variant());
    for (size_t s = 0; s < 2; ++s) call.samples[s].push_back(sample_arg(graph, arg, s));
    if (!is_default) call.args.push_back({wanted.name, std::move(arg)});
  }
  return call;
}

}  // namespace midstream
