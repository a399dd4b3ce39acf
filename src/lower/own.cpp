// See own.h.
#include "lower/own.h"

#include "base/error.h"
#include "lower/registry.h"

namespace midstream {
namespace {

// A class without a package: "Custom>Name" is what register_keras_serializable() makes of it, "unregistered>Name" what
// midstream calls one that was never registered; files of before Keras 2.13 have the bare name.
std::vector<std::string> names_in_files(const std::string& name) {
  if (name.find('>') != std::string::npos) return {name};
  return {name, "Custom>" + name, "unregistered>" + name};
}

template <class Fn>
void add(Table<Fn> Registry::*table, const char* kind, const std::string& name, const Fn& fn) {
  Registry& all = editable_registry();
  for (const std::string& n : names_in_files(name)) {
    if ((all.*table).find(n) && !all.own.contains(n)) {
      if (n == name)
        throw Error(ErrorKind::Usage, name, std::string("is the name of one of Keras' own ") + kind + ".",
                    "Register your class by the name that its file gives it, \"package>Name\".");
      continue;
    }
    (all.*table).put(n, fn);
    all.own.insert(n);
  }
}

}  // namespace

void register_layer(const std::string& name, keras::LayerFn fn) { add(&Registry::layers, "layers", name, fn); }
void register_activation(const std::string& name, keras::ActivationFn fn) {
  add(&Registry::activations, "activations", name, fn);
}
void register_loss(const std::string& name, keras::LossFn fn) { add(&Registry::losses, "losses", name, fn); }

}  // namespace midstream
