// Layer: the config getters, weights and common endings that every lowering uses. What needs memory across calls and
// layers is in the LayerHost.
#include "lower/keras/layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "lower/keras/host.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// Entries that every layer may have; what they mean is handled outside of the lowerings or has no meaning after
// training began (initializers).
constexpr std::string_view kCommonEntries[] = {"name", "trainable", "dtype", "batch_shape", "seed_is_fresh",
                                               // How the file keeps the weights: old_weights.h.
                                               "kernel_flipped", "kernel_layout", "gates_apart"};
constexpr std::string_view kCommonSuffixes[] = {"_initializer", "_regularizer", "_constraint"};

std::string short_text(const json& value) {
  std::string text = value.dump();
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

std::string where(const Layer& l) { return l.path + ", keras." + l.class_name; }

[[noreturn]] void wrong_type(const Layer& l, const std::string& key, const char* wanted) {
  throw Error(ErrorKind::Mismatch, where(l),
              fmt::format("config entry '{}' is {}, {} wanted.", key, short_text(l.config.at(key)), wanted));
}

const json* find(const json& config, const std::string& key) {
  auto it = config.find(key);
  return it == config.end() || it->is_null() ? nullptr : &*it;
}

DType policy_dtype(const Layer& l, bool variable) {
  const std::string policy = l.text("dtype", "float32");
  if (policy == "mixed_float16") return variable ? DType::Float32 : DType::Float16;
  if (policy == "mixed_bfloat16") return variable ? DType::Float32 : DType::BFloat16;
  if (auto dtype = parse_dtype(policy)) return *dtype;
  throw Error(ErrorKind::Unsupported, where(l),
              fmt::format("dtype policy '{}' is not one that midstream knows.", policy),
              "Known are the name of a dtype, mixed_float16 and mixed_bfloat16.");
}

json with_defaults_of(const Layer& outer, json config) {
  if (!config.is_object()) config = json::object();
  if (!find(config, "dtype")) config["dtype"] = outer.text("dtype", "float32");
  return config;
}

}  // namespace

Tensor Call::arg(size_t position, const std::string& name) const {
  if (auto it = kwargs.find(name); it != kwargs.end() && !it->second.empty()) return it->second[0];
  if (position < args.size() && !args[position].empty()) return args[position][0];
  return {};
}

Layer::Layer(Builder& builder, LayerHost& host, std::string path, std::string class_name, json config, bool trainable)
    : b(builder),
      path(std::move(path)),
      class_name(std::move(class_name)),
      config(std::move(config)),
      trainable(trainable),
      host_(host),
      record_(&host.layer(this->path, this->class_name, this->config, trainable)) {}

void Layer::expect_config(std::initializer_list<const char*> entries) const {
  for (const auto& [key, value] : config.items()) {
    const std::string_view k = key;
    auto is_k = [&](std::string_view other) { return k == other; };
    if (std::any_of(entries.begin(), entries.end(), is_k)) continue;
    if (std::any_of(std::begin(kCommonEntries), std::end(kCommonEntries), is_k)) continue;
    if (std::any_of(std::begin(kCommonSuffixes), std::end(kCommonSuffixes), [&](auto s) { return k.ends_with(s); }))
      continue;
    if (value.is_null()) continue;  // an option of a later version, not used
    std::vector<std::string> known(entries.begin(), entries.end());
    throw Error(ErrorKind::Unsupported, where(*this),
                fmt::format("unexpected config entry {}={}: this lowering knows {}.", key, short_text(value),
                            fmt::join(known, ", ")),
                "Ignoring it could change results, so nothing was converted.");
  }
}

bool Layer::has(const std::string& key) const { return find(config, key) != nullptr; }

std::string Layer::text(const std::string& key, std::string otherwise) const {
  const json* v = find(config, key);
  if (!v) return otherwise;
  if (!v->is_string()) wrong_type(*this, key, "a string");
  return v->get<std::string>();
}

int64_t Layer::integer(const std::string& key, int64_t otherwise) const {
  const json* v = find(config, key);
  if (!v) return otherwise;
  if (v->is_number_integer()) return v->get<int64_t>();
  if (v->is_number_float() && v->get<double>() == static_cast<double>(static_cast<int64_t>(v->get<double>())))
    return static_cast<int64_t>(v->get<double>());
  if (v->is_array() && v->size() == 1 && (*v)[0].is_number_integer()) return (*v)[0].get<int64_t>();
  wrong_type(*this, key, "an integer");
}

double Layer::number(const std::string& key, double otherwise) const {
  const json* v = find(config, key);
  if (!v) return otherwise;
  if (!v->is_number()) wrong_type(*this, key, "a number");
  return v->get<double>();
}

bool Layer::flag(const std::string& key, bool otherwise) const {
  const json* v = find(config, key);
  if (!v) return otherwise;
  if (v->is_boolean()) return v->get<bool>();
  if (v->is_number_integer()) return v->get<int64_t>() != 0;
  wrong_type(*this, key, "true or false");
}

std::vector<int64_t> Layer::ints(const std::string& key) const {
  const json* v = find(config, key);
  if (!v) return {};
  if (v->is_number_integer()) return {v->get<int64_t>()};
  std::vector<int64_t> out;
  if (!v->is_array()) wrong_type(*this, key, "an integer or a list of integers");
  for (const json& item : *v) {
    if (!item.is_number_integer()) wrong_type(*this, key, "an integer or a list of integers");
    out.push_back(item.get<int64_t>());
  }
  return out;
}

std::vector<int64_t> Layer::ints(const std::string& key, size_t n) const {
  std::vector<int64_t> out = ints(key);
  if (out.size() == 1 && n > 1 && config.at(key).is_number()) out.assign(n, out[0]);
  if (out.size() != n) wrong_type(*this, key, fmt::format("an integer or a list of {} integers", n).c_str());
  return out;
}

DType Layer::compute_dtype() const { return policy_dtype(*this, false); }
DType Layer::variable_dtype() const { return policy_dtype(*this, true); }

Value Layer::weight(const std::string& name, const Dims& dims, bool trainable, bool autocast) {
  Value v = host_.weight(b, *record_, name, variable_dtype(), dims, trainable);
  return autocast && is_floating(b.dtype(v)) ? b.cast(v, compute_dtype()) : v;
}

Value Layer::weight_as(DType dtype, const std::string& name, const Dims& dims) {
  return host_.weight(b, *record_, name, dtype, dims, false);
}

void Layer::share(const std::string& name, const std::string& variable) {
  for (const WeightRecord& w : record_->weights)
    if (w.variable == variable) return;
  record_->weights.push_back({name, variable, true});
}

Layer Layer::child(const std::string& attribute, const std::string& name, const std::string& class_name, json config) {
  config = with_defaults_of(*this, std::move(config));
  const bool inner_trainable = trainable && config.value("trainable", true);
  const std::string inner_path = path + "/" + name;
  host_.layer(inner_path, class_name, config, inner_trainable, record_, attribute);
  return Layer(b, host_, inner_path, class_name, std::move(config), inner_trainable);
}

Value Layer::training() { return host_.training(b); }

bool Layer::inference_only() const { return !trainable && flag("frozen_runs_inference", true); }

Value Layer::draw_seed(const std::string& generator, bool in_inference_too) {
  return host_.draw_seed(b, *record_, generator, in_inference_too);
}

void Layer::add_loss(Value scalar) { host_.losses.push_back(scalar); }

Value Layer::activation(Value v, const std::string& key) {
  const json* spec = find(config, key);
  if (!spec) return v;
  const bool named = spec->is_string();
  if (!named && !(spec->is_object() && spec->contains("class_name"))) wrong_type(*this, key, "an activation");
  const std::string name = named ? spec->get<std::string>() : spec->at("class_name").get<std::string>();
  const json inner = named ? json::object() : spec->value("config", json::object());
  if (const ActivationFn* fn = registry().activations.find(name)) return (*fn)(b, inner, v);
  if (!named && registry().layers.find(name)) {  // a layer object where a function was expected: LeakyReLU(0.1)
    Call call;
    call.inputs = {{v, {}}};
    call.args = {call.inputs};
    return lower_child(key, *spec, call).at(0).value;
  }
  b.fail(ErrorKind::Unsupported, fmt::format("activation '{}' has no lowering.", name),
         "`midstream ops --frontend keras` lists what there is.");
}

Tensors Layer::keep_mask(const Call& call, Value v) const {
  return {{v, call.inputs.empty() ? Value{} : call.inputs[0].mask}};
}

}  // namespace midstream::keras
