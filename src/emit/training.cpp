#include "emit/training.h"

#include <fmt/format.h>

#include "emit/code.h"
#include "emit/python_text.h"
#include "emit/training_table.h"

namespace midstream {
namespace {

using json = nlohmann::json;

const json& at(const json& object, const char* key) {
  static const json kNone;
  const auto it = object.find(key);
  return object.is_object() && it != object.end() ? *it : kNone;
}

struct Pieces {
  std::string optimizer_name;
  std::optional<emit::OptimizerText> optimizer;
  std::string rate;  // an expression of `step`
  bool scheduled = false;
  std::string unknown_schedule;
  std::vector<std::string> losses, differences;
};

std::string rate_of(const json& config, Pieces& out) {
  const json& rate = at(config, "learning_rate");
  if (rate.is_number()) return emit::to_python(rate.get<double>());
  if (rate.is_object()) {
    const std::string name = at(rate, "class_name").is_string() ? at(rate, "class_name").get<std::string>() : "";
    if (const auto text = emit::schedule_text(name, at(rate, "config"))) {
      out.scheduled = true;
      return *text;
    }
    out.unknown_schedule = name;
    out.differences.push_back(fmt::format("The learning rate schedule {} has no Python template: write it in "
                                          "`learning_rate`.", emit::python_prose(name)));
  }
  return "";
}

Pieces pieces_of(const EmittedModule& module, const json& compile, const std::vector<std::string>& differences) {
  Pieces out;
  out.differences = differences;
  const json& optimizer = at(compile, "optimizer");
  if (at(optimizer, "class_name").is_string()) {
    out.optimizer_name = at(optimizer, "class_name").get<std::string>();
    out.rate = rate_of(at(optimizer, "config"), out);
    out.optimizer = emit::optimizer_text(out.optimizer_name, at(optimizer, "config"));
    if (!out.optimizer)
      out.differences.push_back(fmt::format(
          "The optimizer {} has no counterpart in torch.optim, so that `make_optimizer` raises: choose one there, or "
          "take midstream.resume(file).optimizer, which computes it.",
          emit::python_prose(out.optimizer_name)));
    if (out.optimizer)
      out.differences.insert(out.differences.end(), out.optimizer->differences.begin(),
                             out.optimizer->differences.end());
    if (at(at(optimizer, "config"), "rules") == "keras3" && module.source.find("nn.Embedding") != std::string::npos)
      out.differences.push_back(
          "Keras 3 squares the gradient of an embedding row occurrence by occurrence, torch the sum of them.");
  }
  const json& losses = at(compile, "losses");
  for (size_t i = 0; i < losses.size(); ++i) {
    const json& loss = losses[i];
    if (loss.is_null()) {
      out.losses.push_back("prediction.new_zeros(())");
      continue;
    }
    std::string name = at(loss, "class_name").is_string() ? at(loss, "class_name").get<std::string>() : "";
    const auto text =
        emit::loss_text(name, at(loss, "config"), i < module.output_ranks.size() ? module.output_ranks[i] : 0);
    if (text)
      out.losses.push_back(*text);
    else {
      out.losses.emplace_back();
      out.differences.push_back(
          fmt::format("The loss {} has no Python template: write it in `loss`.", emit::python_prose(name)));
    }
  }
  return out;
}

std::string docstring(const EmittedModule& module, const Pieces& p) {
  std::string out = fmt::format("\"\"\"Trains {} with plain PyTorch, from where Keras stopped.\n\n", module.class_name);
  if (p.differences.empty()) return out + "\"\"\"\n";
  out += "What is not exactly Keras' training (`midstream train` is):\n";
  for (const std::string& d : p.differences) out += "  - " + d + "\n";
  return out + "\"\"\"\n";
}

std::string loss_function(const Pieces& p) {
  std::string out;
  for (size_t i = 0; i < p.losses.size(); ++i) {
    const std::string suffix = p.losses.size() > 1 ? "_" + std::to_string(i + 1) : "";
    const std::string body =
        p.losses[i].empty() ? "raise NotImplementedError(\"this model's loss\")" : "return " + p.losses[i];
    out += fmt::format("\n\ndef loss{}(prediction: Tensor, target: Tensor) -> Tensor:\n    {}\n", suffix, body);
  }
  return out;
}

std::string optimizer_function(const Pieces& p) {
  const std::string unknown = p.unknown_schedule.empty() ? "this optimizer's learning rate is not in the file"
                                                         : "the learning rate schedule " + p.unknown_schedule;
  std::string out = "\n\ndef learning_rate(step: int) -> float:\n    " +
                    (p.rate.empty() ? fmt::format("raise NotImplementedError({})\n", emit::python_string(unknown))
                                    : "return " + p.rate + "\n");
  out += "\n\ndef first_step(state: Path = STATE) -> int:\n"
         "    \"\"\"The number of the next training step: how many Keras had made.\"\"\"\n"
         "    return int(load_file(state)[\"iteration\"]) if state.exists() else 0\n";
  out += "\n\ndef make_optimizer(model: nn.Module, state: Path | None = STATE) -> torch.optim.Optimizer:\n";
  if (!p.optimizer) {
    const std::string name = p.optimizer_name.empty() ? "the model was never compiled: choose an optimizer"
                                                      : "torch.optim has no " + p.optimizer_name +
                                                            ": choose an optimizer, or take "
                                                            "midstream.resume(file).optimizer, which computes it";
    return out + fmt::format("    raise NotImplementedError({})\n", emit::python_string(name));
  }
  out += "    \"\"\"The optimizer, with the state that Keras left in it.\"\"\"\n";
  out += "    slots = load_file(state) if state is not None and state.exists() else {}\n";
  out += "    step = int(slots.get(\"iteration\", torch.tensor(0)))\n    rate = learning_rate(step)\n";
  out +=
      "    named = {name: p for name, p in model.named_parameters() if p.requires_grad}\n    parameters = "
      "list(named.values())\n";
  out += "    optimizer = " + p.optimizer->constructor + "\n";
  out += "    for name, parameter in named.items():\n        entries = {}\n";
  for (const auto& [slot, entry] : p.optimizer->slots) {
    std::string made = entry.second;
    made.replace(made.find("{slot}"), 6, fmt::format("slots[f\"{}.{{name}}\"]", slot));
    out += fmt::format("        if f\"{}.{{name}}\" in slots:\n            entries[\"{}\"] = {}\n", slot, entry.first,
                       made);
  }
  out +=
      "        if entries:\n            optimizer.state[parameter].update(step=torch.tensor(float(step)), **entries)\n";
  return out + "    return optimizer\n";
}

std::string step_function(const Pieces& p, const json& compile, int inputs) {
  const bool one_input = inputs == 1, one_output = p.losses.size() <= 1;
  std::string out = fmt::format(
      "\n\ndef train_step(\n    model: nn.Module, optimizer: torch.optim.Optimizer, x: {}, y: {}, step: int\n) -> "
      "float:\n",
      one_input ? "Tensor" : "Sequence[Tensor]", one_output ? "Tensor" : "Sequence[Tensor]");
  const std::string outputs = one_input ? "model(x)" : "model(*x)";
  out += "    model.train()\n    for group in optimizer.param_groups:\n        group[\"lr\"] = learning_rate(step)\n";
  out += "    optimizer.zero_grad(set_to_none=True)\n";
  if (one_output) {
    out += fmt::format("    value = loss({}, y)\n", outputs);
  } else {
    std::string sum;
    for (size_t i = 0; i < p.losses.size(); ++i) {
      const json& weights = at(compile, "loss_weights");
      const std::string weight =
          weights.is_array() && i < weights.size() && weights[i].is_number() && weights[i].get<double>() != 1
              ? emit::to_python(weights[i].get<double>()) + " * "
              : "";
      sum += fmt::format("{}{}loss_{}(outputs[{}], y[{}])", i ? " + " : "", weight, i + 1, i, i);
    }
    out += fmt::format("    outputs = {}\n    value = {}\n", outputs, sum);
  }
  out += "    value.backward()\n";
  const json& config = at(at(compile, "optimizer"), "config");
  if (at(config, "clipvalue").is_number())
    out += fmt::format("    nn.utils.clip_grad_value_(model.parameters(), {})\n",
                       emit::to_python(config["clipvalue"].get<double>()));
  if (at(config, "global_clipnorm").is_number())
    out += fmt::format("    nn.utils.clip_grad_norm_(model.parameters(), {})\n",
                       emit::to_python(config["global_clipnorm"].get<double>()));
  if (at(config, "clipnorm").is_number())
    out += fmt::format("    for parameter in model.parameters():\n        nn.utils.clip_grad_norm_(parameter, {})\n",
                       emit::to_python(config["clipnorm"].get<double>()));
  return out + "    optimizer.step()\n    return value.item()\n";
}

}  // namespace

std::vector<EmittedTensor> emitted_state(const EmittedModule& module, const Variables& variables) {
  std::vector<EmittedTensor> out;
  for (const EmittedTensor& t : module.tensors) {
    const std::string prefix = "optimizer/" + t.variable + "/";
    for (const Variable& v : variables)
      if (v.role == Role::Slot && v.name.starts_with(prefix) && v.name.find('/', prefix.size()) == std::string::npos)
        out.push_back({v.name.substr(prefix.size()) + "." + t.key, v.name, true});
  }
  if (variables.find("optimizer/iteration")) out.push_back({"iteration", "optimizer/iteration", true});
  return out;
}

std::string emit_training(const EmittedModule& module, const json& compile,
                          const std::vector<std::string>& differences) {
  const Pieces p = pieces_of(module, compile, differences);
  std::string out = docstring(module, p);
  const std::string text = loss_function(p) + optimizer_function(p) + step_function(p, compile, module.inputs);
  out += "\n";
  if (text.find("math.") != std::string::npos) out += "import math\n";
  if (text.find("Sequence[") != std::string::npos) out += "from collections.abc import Sequence\n";
  out += "from pathlib import Path\n\nimport torch\n";
  if (text.find("F.") != std::string::npos) out += "import torch.nn.functional as F\n";
  out += "from model import load\nfrom safetensors.torch import load_file\nfrom torch import Tensor, nn\n\n";
  out += "STATE = Path(__file__).with_name(\"state.safetensors\")\n" + text;
  out += "\n\nif __name__ == \"__main__\":\n    model = load()\n    optimizer = make_optimizer(model)\n";
  out += "    # for step, (x, y) in enumerate(loader, first_step()): train_step(model, optimizer, x, y, step)\n";
  return out;
}

std::string emit_readme(const EmittedModule& module, const EmitOptions& options, const json& compile,
                        const std::vector<std::string>& differences) {
  const Pieces p = pieces_of(module, compile, differences);
  std::string out = fmt::format(
      "# {}\n\nConverted from {} by midstream. Nothing but torch and safetensors is needed.\n\n", module.class_name,
      options.source_file.empty()
          ? "a TensorFlow model"
          : "`" + emit::python_prose(options.source_file) + "`" +
                (options.written_by.empty() ? ""
                                            : " (" + emit::markdown(emit::python_prose(options.written_by)) + ")"));
  out +=
      "| file | what it is |\n|---|---|\n| `model.py` | the model as a `torch.nn.Module` |\n| `weights.safetensors` | "
      "its weights |\n";
  if (!compile.is_null())
    out +=
        "| `training.py` | loss, optimizer and a training step with `torch.optim` |\n| `state.safetensors` | what the "
        "optimizer had gathered |\n";
  out +=
      "\n```python\nfrom model import load\nmodel = load().eval()\n```\n\nInputs and outputs have the layout that the "
      "original had.\n";
  if (p.differences.empty()) return out;
  out += "\n## Training\n\n`training.py` differs from Keras in this (`midstream train` does not):\n\n";
  for (const std::string& d : p.differences) out += "- " + emit::markdown(d) + "\n";
  return out;
}

}  // namespace midstream
