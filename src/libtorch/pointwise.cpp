// Compiled without contraction to fused multiply-adds, which would round differently (CMakeLists.txt).
#include "libtorch/pointwise.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

namespace midstream {

class PointwiseProgram::Compiler {
 public:
  explicit Compiler(const Graph& graph) : graph_(graph) {}

  std::optional<PointwiseProgram> compile() {
    if (graph_.inputs.empty()) return std::nullopt;
    out_.dtype_ = graph_.type(graph_.inputs[0].value).dtype;
    if (out_.dtype_ != DType::Float32 && out_.dtype_ != DType::Float64) return std::nullopt;
    for (size_t i = 0; i < graph_.inputs.size(); ++i) {
      const Type& type = graph_.type(graph_.inputs[i].value);
      if (!fits(type)) return std::nullopt;
      operands_[graph_.inputs[i].value.id] = {type.dims.empty() ? Operand::Form::InputNumber : Operand::Form::Input, i,
                                              0};
    }
    for (const auto& node : graph_.body.nodes)
      if (!step(*node)) return std::nullopt;
    for (Value v : graph_.body.results) {
      auto found = operand(v);
      if (!found || found->form != Operand::Form::Register) return std::nullopt;
      out_.outputs_.push_back(*found);
    }
    return std::move(out_);
  }

 private:
  bool fits(const Type& type) const {
    return type.kind == Kind::Tensor && type.dtype == out_.dtype_ && (type.dims.empty() || type.dims == Dims{kUnknown});
  }

  static std::optional<Op> op_of(const std::string& name) {
    static const std::map<std::string, Op> kOps{
        {"aten::add.Tensor", Op::Add},       {"aten::add.Scalar", Op::Add},      {"aten::sub.Tensor", Op::Subtract},
        {"aten::sub.Scalar", Op::Subtract},  {"aten::mul.Tensor", Op::Multiply}, {"aten::mul.Scalar", Op::Multiply},
        {"aten::div.Tensor", Op::Divide},    {"aten::div.Scalar", Op::Divide},   {"aten::maximum", Op::Maximum},
        {"aten::neg", Op::Negate},           {"aten::square", Op::Square},       {"aten::abs", Op::Absolute},
        {"midstream::exact_sqrt", Op::Root},
    };
    auto found = kOps.find(name);
    return found == kOps.end() ? std::nullopt : std::optional(found->second);
  }

  std::optional<Operand> operand(Value v) const {
    if (auto found = operands_.find(v.id); found != operands_.end()) return found->second;
    const ValueInfo& info = graph_.info(v);
    if (info.leaf != LeafKind::Constant || info.type.kind != Kind::Tensor || !info.type.dims.empty())
      return std::nullopt;
    if (info.type.dtype != out_.dtype_) return std::nullopt;
    return Operand{Operand::Form::Number, 0, graph_.constants[static_cast<size_t>(info.index)].to_double()[0]};
  }

  std::optional<Operand> operand(const Arg& arg) const {
    if (auto* v = std::get_if<Value>(&arg.variant())) return operand(*v);
    if (auto* d = std::get_if<double>(&arg.variant())) return Operand{Operand::Form::Number, 0, *d};
    if (auto* i = std::get_if<int64_t>(&arg.variant()))
      return Operand{Operand::Form::Number, 0, static_cast<double>(*i)};
    return std::nullopt;
  }

  bool step(const Node& node) {
    if (node.kind != NodeKind::Call || node.outputs.size() != 1 || node.args.size() > 2) return false;
    auto op = op_of(node.op);
    const Type& type = graph_.type(node.outputs[0]);
    if (!op || !fits(type) || type.dims.empty()) return false;
    Step s{.op = *op};
    for (const NamedArg& a : node.args) {  // alpha and rounding modes are not for here
      auto found = operand(a.value);
      if (!found || (a.name != "self" && a.name != "other")) return false;
      (a.name == "self" ? s.a : s.b) = *found;
    }
    s.target = out_.registers_++;
    out_.steps_.push_back(s);
    operands_[node.outputs[0].id] = {Operand::Form::Register, s.target, 0};
    return true;
  }

  const Graph& graph_;
  std::map<int32_t, Operand> operands_;
  PointwiseProgram out_;
};

std::optional<PointwiseProgram> PointwiseProgram::compile(const Graph& graph) { return Compiler(graph).compile(); }

namespace {

constexpr int64_t kBlock = 512;

// Either a vector or one number.
template <class T>
struct Source {
  const T* vector;
  T number;
};

// The same loops are compiled for the vectors that every processor has and for wider ones. AVX2 without FMA: the bits
// stay what they are.
#if defined(__x86_64__) && defined(__GNUC__)
#define MIDSTREAM_WIDE_VECTORS 1
#endif

template <class T, class F>
[[gnu::always_inline]] inline void each(T* out, Source<T> a, Source<T> b, int64_t n, F f) {
  if (a.vector && b.vector) {
    for (int64_t i = 0; i < n; ++i) out[i] = f(a.vector[i], b.vector[i]);
  } else if (a.vector) {
    for (int64_t i = 0; i < n; ++i) out[i] = f(a.vector[i], b.number);
  } else if (b.vector) {
    for (int64_t i = 0; i < n; ++i) out[i] = f(a.number, b.vector[i]);
  } else {
    std::fill(out, out + n, f(a.number, b.number));
  }
}

}  // namespace

template <class T>
[[gnu::always_inline]] inline void PointwiseProgram::run_as(const std::vector<const void*>& inputs,
                                                            const std::vector<void*>& outputs, int64_t n) const {
  thread_local std::vector<T> memory;
  memory.resize(std::max(memory.size(), registers_ * static_cast<size_t>(kBlock)));
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t size = std::min(kBlock, n - first);
    auto source = [&](const Operand& o) -> Source<T> {
      switch (o.form) {
        case Operand::Form::Input: return {static_cast<const T*>(inputs[o.index]) + first, 0};
        case Operand::Form::Register: return {memory.data() + o.index * static_cast<size_t>(kBlock), 0};
        case Operand::Form::InputNumber: return {nullptr, *static_cast<const T*>(inputs[o.index])};
        case Operand::Form::Number: break;
      }
      return {nullptr, static_cast<T>(o.number)};
    };
    for (const Step& s : steps_) {
      T* out = memory.data() + s.target * static_cast<size_t>(kBlock);
      const Source<T> a = source(s.a), b = source(s.b);
      switch (s.op) {
        case Op::Add: each(out, a, b, size, [](T x, T y) { return x + y; }); break;
        case Op::Subtract: each(out, a, b, size, [](T x, T y) { return x - y; }); break;
        case Op::Multiply: each(out, a, b, size, [](T x, T y) { return x * y; }); break;
        case Op::Divide: each(out, a, b, size, [](T x, T y) { return x / y; }); break;
        case Op::Maximum: each(out, a, b, size, [](T x, T y) { return x > y || x != x ? x : y; }); break;
        case Op::Negate: each(out, a, b, size, [](T x, T) { return -x; }); break;
        case Op::Square: each(out, a, b, size, [](T x, T) { return x * x; }); break;
        case Op::Root: each(out, a, b, size, [](T x, T) { return std::sqrt(x); }); break;
        case Op::Absolute: each(out, a, b, size, [](T x, T) { return std::abs(x); }); break;
      }
    }
    // Only now, as an output may be the memory of an input.
    for (size_t k = 0; k < outputs.size(); ++k) {
      const T* from = source(outputs_[k]).vector;
      std::copy(from, from + size, static_cast<T*>(outputs[k]) + first);
    }
  }
}

void PointwiseProgram::run_here(const std::vector<const void*>& inputs, const std::vector<void*>& outputs,
                                int64_t n) const {
  if (dtype_ == DType::Float32) return run_as<float>(inputs, outputs, n);
  run_as<double>(inputs, outputs, n);
}

#ifdef MIDSTREAM_WIDE_VECTORS
[[gnu::target("avx2")]] void PointwiseProgram::run_wide(const std::vector<const void*>& inputs,
                                                        const std::vector<void*>& outputs, int64_t n) const {
  if (dtype_ == DType::Float32) return run_as<float>(inputs, outputs, n);
  run_as<double>(inputs, outputs, n);
}
#else
void PointwiseProgram::run_wide(const std::vector<const void*>& inputs, const std::vector<void*>& outputs,
                                int64_t n) const {
  run_here(inputs, outputs, n);
}
#endif

void PointwiseProgram::run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, int64_t n) const {
#ifdef MIDSTREAM_WIDE_VECTORS
  static const bool wide = __builtin_cpu_supports("avx2");
  if (wide) return run_wide(inputs, outputs, n);
#endif
  run_here(inputs, outputs, n);
}

}  // namespace midstream
