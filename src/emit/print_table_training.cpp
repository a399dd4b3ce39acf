// Optimizers, losses and learning rate schedules as torch spells them, and where torch's rule is another one.
#include <fmt/format.h>

#include <map>

#include "emit/code.h"
#include "emit/training_table.h"

namespace midstream::emit {
namespace {

double number(const json& config, const char* key, double otherwise) {
  const auto it = config.find(key);
  return it != config.end() && it->is_number() ? it->get<double>() : otherwise;
}
bool flag(const json& config, const char* key) {
  const auto it = config.find(key);
  return it != config.end() && it->is_boolean() && it->get<bool>();
}
std::string py(double value) { return to_python(value); }

const char* const kEpsilon =
    "Keras adds epsilon before the bias correction, torch after it: the first steps differ most, by up to 1e-3 of a "
    "step.";

OptimizerText adam(const json& c, const std::string& name, const std::string& more) {
  OptimizerText out;
  out.constructor = fmt::format("torch.optim.{}(parameters, lr=rate, betas=({}, {}), eps={}{}{})", name,
                                py(number(c, "beta_1", 0.9)), py(number(c, "beta_2", 0.999)),
                                py(number(c, "epsilon", 1e-7)), flag(c, "amsgrad") ? ", amsgrad=True" : "", more);
  out.differences = {kEpsilon};
  out.slots = {{"momentum", {"exp_avg", "{slot}"}},
               {"velocity", {"exp_avg_sq", "{slot}"}},
               {"velocity_hat", {"max_exp_avg_sq", "{slot}"}}};
  return out;
}

OptimizerText sgd(const json& c) {
  const double momentum = number(c, "momentum", 0);
  OptimizerText out;
  out.constructor =
      fmt::format("torch.optim.SGD(parameters, lr=rate{}{})", momentum != 0 ? ", momentum=" + py(momentum) : "",
                  flag(c, "nesterov") ? ", nesterov=True" : "");
  if (momentum != 0) {
    out.differences = {
        "Keras multiplies the gradient by the learning rate before it goes into the momentum, torch after: the same "
        "while the rate is constant."};
    out.slots = {{"momentum", {"momentum_buffer", "-{slot} / rate"}}};
  }
  return out;
}

OptimizerText rmsprop(const json& c) {
  const double momentum = number(c, "momentum", 0);
  OptimizerText out;
  out.constructor =
      fmt::format("torch.optim.RMSprop(parameters, lr=rate, alpha={}, eps={}{}{})", py(number(c, "rho", 0.9)),
                  py(number(c, "epsilon", 1e-7)), momentum != 0 ? ", momentum=" + py(momentum) : "",
                  flag(c, "centered") ? ", centered=True" : "");
  out.differences = {
      "Keras adds epsilon under the square root, torch behind it: the difference shows for gradients near the square "
      "root of epsilon."};
  out.slots = {{"velocity", {"square_avg", "{slot}"}},
               {"momentum", {"momentum_buffer", "{slot} / rate"}},
               {"average_gradient", {"grad_avg", "{slot}"}}};
  return out;
}

OptimizerText adagrad(const json& c) {
  OptimizerText out;
  out.constructor = fmt::format("torch.optim.Adagrad(parameters, lr=rate, initial_accumulator_value={}, eps={})",
                                py(number(c, "initial_accumulator_value", 0.1)), py(number(c, "epsilon", 1e-7)));
  out.differences = {"Keras adds epsilon under the square root, torch behind it."};
  out.slots = {{"accumulator", {"sum", "{slot}"}}};
  return out;
}

OptimizerText adamax(const json& c) {
  OptimizerText out = adam(c, "Adamax", "");
  out.differences = {"Keras adds epsilon to the denominator, torch to the gradient inside of the maximum."};
  out.slots = {{"momentum", {"exp_avg", "{slot}"}}, {"norm", {"exp_inf", "{slot}"}}};
  return out;
}

OptimizerText adadelta(const json& c) {
  OptimizerText out;
  out.constructor = fmt::format("torch.optim.Adadelta(parameters, lr=rate, rho={}, eps={})", py(number(c, "rho", 0.95)),
                                py(number(c, "epsilon", 1e-7)));
  out.slots = {{"accumulated_grad", {"square_avg", "{slot}"}}, {"accumulated_delta_var", {"acc_delta", "{slot}"}}};
  return out;
}

}  // namespace

std::optional<OptimizerText> optimizer_text(const std::string& name, const json& c) {
  const double decay = number(c, "weight_decay", 0);
  std::optional<OptimizerText> out;
  if (name == "Adam" && decay == 0)
    out = adam(c, "Adam", "");
  else if (name == "Adam" || name == "AdamW")
    out = adam(c, "AdamW", ", weight_decay=" + py(name == "AdamW" ? number(c, "weight_decay", 0.004) : decay));
  else if (name == "SGD")
    out = sgd(c);
  else if (name == "RMSprop")
    out = rmsprop(c);
  else if (name == "Adagrad")
    out = adagrad(c);
  else if (name == "Adamax")
    out = adamax(c);
  else if (name == "Adadelta")
    out = adadelta(c);
  if (!out) return out;
  if (decay != 0 && name != "Adam" && name != "AdamW")
    out->differences.push_back(
        fmt::format("weight_decay={} of Keras (decoupled, times the rate) is left out here.", py(decay)));
  for (const char* clip : {"clipnorm", "clipvalue", "global_clipnorm"})
    if (c.contains(clip) && c.at(clip).is_number())
      out->differences.push_back(
          fmt::format("{}={} is applied in train_step to dense gradients.", clip, py(c.at(clip).get<double>())));
  if (number(c, "gradient_accumulation_steps", 1) > 1)
    out->differences.push_back(fmt::format("gradient_accumulation_steps={} is left out here: every step updates.",
                                           py(number(c, "gradient_accumulation_steps", 1))));
  if (flag(c, "use_ema")) out->differences.push_back("The moving average of the weights (use_ema) is left out here.");
  return out;
}

std::optional<std::string> loss_text(const std::string& name, const json& c, int rank) {
  // The mean over everything is the only reduction that has a short spelling, and classes are on the last axis.
  const std::string reduction =
      c.value("reduction", json()).is_string() ? c.at("reduction").get<std::string>() : "auto";
  if (reduction != "sum_over_batch_size" && reduction != "auto" && reduction != "mean") return std::nullopt;
  if (number(c, "axis", -1) != -1 || (c.contains("ignore_class") && !c.at("ignore_class").is_null()))
    return std::nullopt;
  const bool logits = flag(c, "from_logits");
  const double smoothing = number(c, "label_smoothing", 0);
  const std::string smooth = smoothing != 0 ? ", label_smoothing=" + py(smoothing) : "";
  // torch wants the classes on axis 1.
  const std::string move = rank == 2 ? "" : ".movedim(-1, 1)";
  if (name == "MeanSquaredError") return "F.mse_loss(prediction, target)";
  if (name == "MeanAbsoluteError") return "F.l1_loss(prediction, target)";
  if (name == "MeanAbsolutePercentageError")
    return "100 * ((prediction - target).abs() / target.abs().clamp(min=1e-7)).mean()";
  if (name == "MeanSquaredLogarithmicError")
    return "F.mse_loss(prediction.clamp(min=1e-7).log1p(), target.clamp(min=1e-7).log1p())";
  if (name == "Huber") return "F.huber_loss(prediction, target, delta=" + py(number(c, "delta", 1)) + ")";
  if (name == "LogCosh") return "(prediction - target + F.softplus(2 * (target - prediction)) - math.log(2.0)).mean()";
  if (name == "Poisson") return "(prediction - target * (prediction + 1e-7).log()).mean()";
  if (name == "KLDivergence")
    return "F.kl_div(prediction.clamp(1e-7, 1).log(), target.clamp(1e-7, 1), reduction=\"none\").sum(dim=-1).mean()";
  if (name == "CosineSimilarity")
    return "-(F.normalize(prediction, dim=-1) * F.normalize(target, dim=-1)).sum(dim=-1).mean()";
  if (name == "SparseCategoricalCrossentropy")
    return logits ? "F.cross_entropy(prediction" + move + ", target.long())"
                  : "F.nll_loss(prediction.clamp(1e-7, 1 - 1e-7).log()" + move + ", target.long())";
  if (name == "CTC")
    return "F.ctc_loss(prediction.transpose(0, 1).log_softmax(dim=-1), target.long(), "
           "torch.full((len(prediction),), prediction.shape[1]), (target != 0).sum(dim=-1), reduction=\"none\").mean()";
  if (name == "CategoricalCrossentropy" && logits)
    return "F.cross_entropy(prediction" + move + ", target" + move + smooth + ")";
  if (name == "CategoricalCrossentropy" && smoothing == 0)
    return "-(target * prediction.clamp(1e-7, 1 - 1e-7).log()).sum(dim=-1).mean()";
  if (name == "BinaryCrossentropy") {
    const std::string labels =
        smoothing == 0 ? "target" : fmt::format("target * (1 - {}) + {} / 2", py(smoothing), py(smoothing));
    return logits ? "F.binary_cross_entropy_with_logits(prediction, " + labels + ")"
                  : "F.binary_cross_entropy(prediction.clamp(1e-7, 1 - 1e-7), " + labels + ")";
  }
  return std::nullopt;
}

std::optional<std::string> schedule_text(const std::string& name, const json& c) {
  const std::string start = py(number(c, "initial_learning_rate", 0.001)), steps = py(number(c, "decay_steps", 1));
  const std::string passed = "step / " + steps;
  const std::string whole = flag(c, "staircase") ? "math.floor(" + passed + ")" : passed;
  const std::string rate = py(number(c, "decay_rate", 1));
  if (name == "ExponentialDecay") return fmt::format("{} * {} ** ({})", start, rate, whole);
  if (name == "InverseTimeDecay") return fmt::format("{} / (1 + {} * ({}))", start, rate, whole);
  if (name == "PolynomialDecay" && !flag(c, "cycle")) {
    const std::string end = py(number(c, "end_learning_rate", 1e-4));
    return fmt::format("({} - {}) * (1 - min({}, 1.0)) ** {} + {}", start, end, passed, py(number(c, "power", 1)), end);
  }
  if (name == "CosineDecay" && (!c.contains("warmup_target") || c.at("warmup_target").is_null())) {
    const std::string alpha = py(number(c, "alpha", 0));
    if (number(c, "alpha", 0) == 0)
      return fmt::format("{} * 0.5 * (1 + math.cos(math.pi * min({}, 1.0)))", start, passed);
    return fmt::format("{} * ((1 - {}) * 0.5 * (1 + math.cos(math.pi * min({}, 1.0))) + {})", start, alpha, passed,
                       alpha);
  }
  return std::nullopt;
}

}  // namespace midstream::emit
