#include "libtorch/dialect.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <mutex>
#include <unordered_set>

#include "base/error.h"
#include "libtorch/convert.h"
#include "libtorch/ops.h"

namespace midstream {
namespace {

std::pair<std::string, std::string> split_overload(const std::string& op) {
  size_t dot = op.find('.');
  if (dot == std::string::npos) return {op, ""};
  return {op.substr(0, dot), op.substr(dot + 1)};
}

// Elementwise operators that PyTorch does not tag as such, because they are composites or only look at a shape.
bool elementwise_without_tag(const std::string& op) {
  static const std::unordered_set<std::string> kOps{"aten::to.dtype",    "aten::detach",     "aten::hardswish",
                                                    "aten::log_sigmoid", "aten::zeros_like", "aten::ones_like"};
  return kOps.contains(op);
}

// Only operators whose numbers do not depend on how their tensor lies in memory (a softmax's do, in the last bit).
Axes axes_of(const std::string& op) {
  static const std::unordered_map<std::string, Axes> kOps{
      {"aten::amax", Axes::Reduce},      {"aten::amin", Axes::Reduce},
      {"aten::cat", Axes::Cat},          {"aten::constant_pad_nd", Axes::Pad},
      {"aten::flip", Axes::Dims},        {"aten::mean.dim", Axes::Reduce},
      {"aten::slice.Tensor", Axes::Dim}, {"aten::sum.dim_IntList", Axes::Reduce}};
  auto it = kOps.find(op);
  return it == kOps.end() ? Axes::Unknown : it->second;
}

at::Tensor meta(const SampleTensor& t) {
  return at::empty(t.dims, at::TensorOptions().dtype(to_scalar_type(t.dtype)).device(at::kMeta));
}

// On the CPU; of the same rank, since PyTorch's promotion treats 0-d tensors in another way.
at::Tensor one_element(const SampleTensor& t) {
  return at::ones(std::vector<int64_t>(t.dims.size(), 1), at::TensorOptions().dtype(to_scalar_type(t.dtype)));
}

class LibtorchDialect final : public Dialect {
 public:
  LibtorchDialect() : library_(torch::Library::FRAGMENT, "midstream", std::nullopt, __FILE__, __LINE__) {
    register_own_ops(library_, rules_);
    register_aten_shapes(rules_);
    register_reduce_shapes(rules_);
  }

  bool has(const std::string& op) const override {
    auto [name, overload] = split_overload(op);
    return c10::Dispatcher::singleton().findSchema({name, overload}).has_value();
  }

  const Schema& schema(const std::string& op) const override {
    std::lock_guard lock(mutex_);
    auto it = schemas_.find(op);
    if (it == schemas_.end()) it = schemas_.emplace(op, read_schema(op)).first;
    return it->second;
  }

  std::vector<SampleOutput> infer(const Schema& schema, const std::vector<SampleArg>& args,
                                  bool* is_list) const override {
    *is_list = false;
    if (const ShapeRule* rule = rules_.find(schema.name)) return (*rule)(args);
    if (schema.pointwise && lacks_meta(schema.name)) return of_one_element(schema, args);
    try {
      return run(schema, args, On::Meta, is_list);
    } catch (const c10::NotImplementedError& error) {
      // It, or what it is made of, has its meta kernel in Python. (The dispatcher's tables do not tell: they show
      // PyTorch's fallback, which throws this.)
      if (!schema.pointwise) throw Error(ErrorKind::Internal, "", schema.name + " needs a shape rule of ours.");
      std::lock_guard lock(mutex_);
      without_meta_.insert(schema.name);
    }
    return of_one_element(schema, args);
  }

 private:
  enum class On : uint8_t { Meta, OneElement };

  // Elementwise operators without a C++ meta kernel (relu, isnan, where, ...): their tensors broadcast, and the dtype
  // is what the kernel itself gives for one element.
  static std::vector<SampleOutput> of_one_element(const Schema& schema, const std::vector<SampleArg>& args) {
    bool is_list = false;
    const Dims dims = broadcast_shape(args);
    std::vector<SampleOutput> outputs = run(schema, args, On::OneElement, &is_list);
    for (SampleOutput& o : outputs)
      if (o.kind == Kind::Tensor) o.sample.dims = dims;
    return outputs;
  }

  bool lacks_meta(const std::string& op) const {
    std::lock_guard lock(mutex_);
    return without_meta_.contains(op);
  }

  static c10::OperatorHandle handle(const std::string& op) {
    auto [name, overload] = split_overload(op);
    auto found = c10::Dispatcher::singleton().findSchema({name, overload});
    if (!found) throw Error(ErrorKind::Internal, op, "is no operator of this PyTorch.");
    return *found;
  }

  static Schema read_schema(const std::string& op) {
    c10::OperatorHandle found = handle(op);
    const c10::FunctionSchema& theirs = found.schema();
    if (theirs.is_mutable())
      throw Error(ErrorKind::Internal, op, "writes its arguments: graphs hold functional calls only.");
    Schema ours;
    ours.name = op;
    for (const c10::Argument& a : theirs.arguments()) {
      SchemaArg arg{.name = a.name(), .type = a.real_type()->str()};
      arg.optional = a.type()->kind() == c10::TypeKind::OptionalType;
      if (a.real_type()->kind() == c10::TypeKind::OptionalType && arg.type.back() != '?') arg.type += "?";
      if (a.N()) arg.type.insert(arg.type.rfind(']'), std::to_string(*a.N()));
      arg.has_default = a.default_value().has_value();
      if (arg.has_default) arg.default_value = from_ivalue(*a.default_value());
      arg.kwarg_only = a.kwarg_only();
      ours.args.push_back(std::move(arg));
    }
    for (const c10::Argument& r : theirs.returns()) ours.returns.push_back(r.real_type()->str());
    ours.pointwise = found.hasTag(at::Tag::pointwise) || elementwise_without_tag(op);
    ours.axes = axes_of(op);
    ours.random = found.hasTag(at::Tag::nondeterministic_seeded);
    return ours;
  }

  static c10::IValue sample_ivalue(const SampleArg& arg, const c10::Argument& declared, On on) {
    const auto made = [on](const SampleTensor& t) { return on == On::Meta ? meta(t) : one_element(t); };
    if (auto* t = std::get_if<SampleTensor>(&arg)) return made(*t);
    if (auto* list = std::get_if<std::vector<std::optional<SampleTensor>>>(&arg)) {
      bool optional_elements = declared.type()->str().find("Tensor?") != std::string::npos;
      if (optional_elements) {
        c10::List<std::optional<at::Tensor>> out;
        for (const auto& t : *list) out.push_back(t ? std::optional<at::Tensor>(made(*t)) : std::nullopt);
        return out;
      }
      c10::List<at::Tensor> out;
      for (const auto& t : *list) out.push_back(made(t.value()));
      return out;
    }
    Arg plain;
    if (auto* v = std::get_if<bool>(&arg)) plain = *v;
    if (auto* v = std::get_if<int64_t>(&arg)) plain = *v;
    if (auto* v = std::get_if<double>(&arg)) plain = *v;
    if (auto* v = std::get_if<DType>(&arg)) plain = *v;
    if (auto* v = std::get_if<std::string>(&arg)) plain = *v;
    if (auto* v = std::get_if<std::vector<int64_t>>(&arg)) plain = *v;
    if (auto* v = std::get_if<std::vector<double>>(&arg)) plain = *v;
    if (auto* v = std::get_if<std::vector<bool>>(&arg)) plain = *v;
    return to_ivalue(plain, declared);
  }

  static SampleOutput sample_output(const c10::IValue& v) {
    if (v.isTensor() && v.toTensor().defined()) {
      const at::Tensor& t = v.toTensor();
      return {Kind::Tensor, from_scalar_type(t.scalar_type()), Sample{.dims = t.sizes().vec(), .number = 0, .real = 0}};
    }
    if (v.isInt()) return {Kind::Int, DType::Int64, Sample{.dims = {}, .number = v.toInt(), .real = 0}};
    if (v.isBool()) return {Kind::Bool, DType::Bool, Sample{.dims = {}, .number = v.toBool(), .real = 0}};
    if (v.isDouble()) return {Kind::Float, DType::Float64, Sample{.dims = {}, .number = 0, .real = v.toDouble()}};
    return {Kind::None, DType::Float32, {}};
  }

  static std::vector<SampleOutput> run(const Schema& schema, const std::vector<SampleArg>& args, On on, bool* is_list) {
    c10::OperatorHandle op = handle(schema.name);
    const auto& declared = op.schema().arguments();
    at::NoGradGuard no_grad;
    bool any_tensor = false;
    std::vector<c10::IValue> stack;
    for (size_t i = 0; i < args.size(); ++i) {
      any_tensor |= std::holds_alternative<SampleTensor>(args[i]) ||
                    std::holds_alternative<std::vector<std::optional<SampleTensor>>>(args[i]);
      stack.push_back(sample_ivalue(args[i], declared[i], on));
      // Factories (full, arange, ...) have no tensor that would say "meta".
      if (on == On::Meta && declared[i].name() == "device" && stack.back().isNone() && !any_tensor)
        stack.back() = c10::Device(at::kMeta);
    }
    try {
      op.callBoxed(&stack);
    } catch (const c10::NotImplementedError&) {
      throw;
    } catch (const std::exception& error) {
      throw Error(ErrorKind::Mismatch, "", schema.name + ": " + torch_message(error));
    }
    std::vector<SampleOutput> outputs;
    for (const c10::IValue& v : stack) {
      if (v.isTensorList()) {
        *is_list = true;
        for (const at::Tensor& t : v.toTensorVector()) outputs.push_back(sample_output(t));
      } else {
        outputs.push_back(sample_output(v));
      }
    }
    return outputs;
  }

  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, Schema> schemas_;
  mutable std::unordered_set<std::string> without_meta_;
  ShapeRules rules_;
  torch::Library library_;
};

}  // namespace

void ShapeRules::add(const std::string& op, ShapeRule rule) {
  if (!rules_.emplace(op, std::move(rule)).second) throw Error(ErrorKind::Internal, op, "has two shape rules.");
}

const ShapeRule* ShapeRules::find(const std::string& op) const {
  auto it = rules_.find(op);
  return it == rules_.end() ? nullptr : &it->second;
}

void bad_shape(const std::string& message) { throw Error(ErrorKind::Mismatch, "", message); }

const Dialect& libtorch_dialect() {
  static const LibtorchDialect* dialect = new LibtorchDialect;  // never destroyed: operators may run at exit
  return *dialect;
}

}  // namespace midstream
